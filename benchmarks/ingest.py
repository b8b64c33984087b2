"""How fast a core converts raw frames to canonical ones.

    python -m benchmarks.ingest

Readings per CPU second for a native body (a line each, or a frame by columns) and three vendors'
documents, and how many times as long that takes as only decoding the same frames' lines in the same
run: what is left to be won. The last column is how many times as long it takes to read each line
on its own, without making a frame.
"""

import gc
from collections.abc import Sequence
from functools import partial

import msgspec
import pyarrow as pa

from benchmarks.report import Table, cpu_s, parser, publish
from device_sim import vendor
from schemas.assets import Device, Site
from schemas.raw_frames import RAW_COLUMNS_V1, encode_raw
from schemas.telemetry import NativeBody, RawLine
from vpp_streams.domain import kernels
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import (
    Source,
    canonicalize,
    canonicalize_columns,
)
from vpp_streams.domain.telemetry.raw_line import read_line

PARTITIONS = 8
LINES = 1000
NOW_MS = 1_763_855_001_000
SOURCE = Source("raw.powerwall", 0, 0, NOW_MS)


def sites() -> list[Site]:
    """Homes of one partition, as in a gateway's frame."""
    names = (f"home-{i:06d}" for i in range(100 * LINES))
    ours = (name for name in names if partition_of(name, PARTITIONS) == 0)
    return [
        Site(name, "north", (Device(f"pw-{name}", "powerwall"),))
        for name, _ in zip(ours, range(LINES), strict=False)
    ]


def frame(homes: list[Site], form: str | None) -> bytes:
    """One reading of each home, native or in a vendor's form."""
    lines = []
    for i, home in enumerate(homes):
        native = NativeBody(
            NOW_MS - i, 1200.5 + i, -200.25, 3000.0, 4000.25 + i, 0.5132, 50.01, 231.4, 24.5
        )
        body: object = vendor.render(form, native) if form else native
        raw = msgspec.Raw(msgspec.json.encode(body))
        line = RawLine(home.devices[0].device_id, NOW_MS, i, raw, f"{0xB700 + i:x}")
        lines.append(msgspec.json.encode(line))
    return b"\n".join(lines) + b"\n"


def columns_of(homes: list[Site]) -> bytes:
    """The same native readings as a raw frame by columns."""
    columns: dict[str, object] = {
        "device_id": [home.devices[0].device_id for home in homes],
        "boot": [0xB700 + i for i in range(len(homes))],
        "seq": range(len(homes)),
        "received_at_ms": [NOW_MS] * len(homes),
        "measured_at_ms": [NOW_MS - i for i in range(len(homes))],
        "interval_ms": [1000] * len(homes),
        "battery_w": [1200.5 + i for i in range(len(homes))],
        "grid_w": [-200.25] * len(homes),
        "solar_w": [3000.0] * len(homes),
        "load_w": [4000.25 + i for i in range(len(homes))],
        "soc": [0.5132] * len(homes),
        "frequency_hz": [50.01] * len(homes),
        "voltage_v": [231.4] * len(homes),
        "temperature_c": [24.5] * len(homes),
        "islanded": [-1] * len(homes),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in RAW_COLUMNS_V1]
    return encode_raw(pa.RecordBatch.from_arrays(arrays, schema=RAW_COLUMNS_V1))


def read_each(lines: list[bytes], registry: Registry) -> None:
    """Read the lines one by one, as those are that are neither plain nor usual."""
    for line in lines:
        read_line(line, registry)


def table_of(repeat: int) -> Table:
    """Measure each form."""
    homes = sites()
    registry = Registry(homes)
    decode = msgspec.json.Decoder(RawLine).decode_lines
    gc.freeze()
    table = Table(
        f"Raw frames of {LINES} lines to canonical ones",
        ("form", "x decode", "readings per CPU-s", "decode only per CPU-s", "x line by line"),
    )
    by_columns = columns_of(homes)
    expected = canonicalize(frame(homes, None), SOURCE, registry, PARTITIONS)
    assert canonicalize_columns(by_columns, SOURCE, registry, PARTITIONS) == expected
    for form in (None, "tesla_gateway", "fronius", "enphase"):
        raw = frame(homes, form)
        found = canonicalize(raw, SOURCE, registry, PARTITIONS)
        assert sum(batch.num_rows for batch in found.batches.values()) == LINES, found.rejected[:1]
        ours_s = cpu_s(partial(canonicalize, raw, SOURCE, registry, PARTITIONS), repeat)
        decode_s = cpu_s(partial(decode, raw), repeat)
        lines = raw.splitlines()
        each_s = cpu_s(partial(read_each, lines, registry), repeat)
        forms = {form or "native": ours_s}
        if form is None:
            forms["native, by columns"] = cpu_s(
                partial(canonicalize_columns, by_columns, SOURCE, registry, PARTITIONS), repeat
            )
        for name, form_s in forms.items():
            table.add(
                name, form_s / decode_s, round(LINES / form_s), round(LINES / decode_s),
                each_s / form_s,
            )  # fmt: skip
    table.notes.append(f"innermost loops: {kernels.which()}")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parser(__doc__, repeat=50).parse_args(argv)
    publish(args, [table_of(args.repeat)])


if __name__ == "__main__":
    main()
