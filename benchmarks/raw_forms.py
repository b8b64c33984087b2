"""What a native reading costs from the device's message to a canonical row, by form of raw frames.

    python -m benchmarks.raw_forms

Sessions of many devices take in a message each, as a gateway's do; what they produce is gathered
and encoded for Kafka, and ingest reads it: all in this process, without sockets and Kafka. `lines`
are NDJSON, `columns` one Arrow batch. With `lz4` or `zstd` the frame is compressed and decompressed
in between, as a producer and a consumer do. The ratio is to lines of as many readings in a frame.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from benchmarks.homes import BOOT, T0_MS, Homes
from benchmarks.report import Table, cpu_s, parser, publish
from schemas.bounds import PARTITIONS
from schemas.protocol import Hello, Telemetry
from schemas.raw_frames import has_columns
from schemas.wire import encode_call, encode_send
from vpp_streams.domain import kernels
from vpp_streams.domain.moments import Now
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import Source, canonicalize, canonicalize_columns
from vpp_streams.gateway.actions import Limits, Produce
from vpp_streams.gateway.gathering import Gathering, RawRecord
from vpp_streams.gateway.session import Session
from vpp_streams.kafka import topics

SIZES = (10, 100, 1000)
NOW = Now(T0_MS + 1000, 1000)
SOURCE = Source("raw.powerwall", 0, 0, NOW.utc_ms)
LIMITS = Limits(live_per_s=1e9, live_burst=1e9)
CODECS = (None, "lz4", "zstd")


@contextmanager
def form(name: str) -> Iterator[None]:
    """Sessions produce this form during the body; ingest is not affected by it."""
    before = kernels.COMPILED
    kernels.COMPILED = before if name == "columns" else None
    try:
        yield
    finally:
        kernels.COMPILED = before


class Fleet:
    """A session for each home of a partition, and the messages of their devices."""

    def __init__(self, homes: Homes) -> None:
        self.homes = homes
        self.sites = homes.sites()
        self._next = 0
        self._sessions = [
            Session(site.devices[0], site, 0, LIMITS, backfill_delay_ms=(0, 1),
                    counters=Counter(), now=NOW)
            for site in self.sites
        ]  # fmt: skip
        for session in self._sessions:
            session.receive(encode_call("h", Hello(boot=f"{BOOT:x}", next_seq=0)), NOW)
            session.registered(1, NOW)

    def messages(self) -> list[bytes]:
        """The next reading of every device."""
        homes, seq = self.homes, self._next
        self._next += 1
        return [
            encode_send(str(seq), Telemetry(
                b=f"{BOOT:x}", s=seq, t=T0_MS + i % 1000, p=float(homes.battery_w[i]),
                g=float(homes.grid_w[i]), pv=float(homes.solar_w[i]), l=float(homes.load_w[i]),
                soc=float(homes.soc[i]), hz=50.01, v=float(homes.voltage_v[i]), tc=24.5, isl=False,
            ))
            for i in range(homes.n)
        ]  # fmt: skip

    def record(self, messages: list[bytes]) -> RawRecord:
        """What a gateway sends to Kafka for these messages."""
        gathering = Gathering(topics.RAW_POWERWALL, 0)
        for session, message in zip(self._sessions, messages, strict=True):
            (produce,) = session.receive(message, NOW)
            assert isinstance(produce, Produce)
            gathering.add(produce, len(produce.readings), _ignore)
        (record,) = gathering.records()
        return record


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per reading, us, and bytes."""

    gateway_us: float
    codec_us: float
    ingest_us: float
    size: float

    @property
    def together_us(self) -> float:
        """From the message to the canonical batch."""
        return self.gateway_us + self.codec_us + self.ingest_us


def cost_of(fleet: Fleet, name: str, codec: str | None, repeat: int) -> Cost:
    """Measure one form of as many readings in a frame as there are devices."""
    registry, n = Registry(fleet.sites), fleet.homes.n
    rounds = iter([fleet.messages() for _ in range(repeat + 3)])
    with form(name):
        record = fleet.record(next(rounds))
        gateway_s = cpu_s(lambda: fleet.record(next(rounds)), repeat)
    by_columns = has_columns(record.headers.items())
    assert by_columns is (name == "columns")
    read = canonicalize_columns if by_columns else canonicalize
    found = read(record.value, SOURCE, registry, PARTITIONS)
    assert sum(batch.num_rows for batch in found.batches.values()) == n, found.rejected[:1]
    ingest_s = cpu_s(partial(read, record.value, SOURCE, registry, PARTITIONS), repeat)
    size, codec_s = float(len(record.value)), 0.0
    if codec is not None:
        used = pa.Codec(codec)
        packed = used.compress(record.value)
        size = float(len(packed))
        codec_s = cpu_s(_there_and_back(used, record.value), repeat)
    us = 1e6 / n
    return Cost(gateway_s * us, codec_s * us, ingest_s * us, size / n)


def _there_and_back(codec: pa.Codec, value: bytes) -> Callable[[], None]:
    def run() -> None:
        codec.decompress(codec.compress(value), len(value))

    return run


def _ignore(_stored: bool) -> None: ...


def table_of(repeat: int) -> Table:
    """Measure each form, codec and size."""
    table = Table(
        "A native reading from its message to a canonical row",
        ("readings in a frame, form", "x lines", "us together", "gateway us", "codec us",
         "ingest us", "bytes"),
    )  # fmt: skip
    for size in SIZES:
        fleet = Fleet(Homes(size, (0,)))
        gc.freeze()
        lines_us = 0.0
        for codec in CODECS:
            for name in ("lines", "columns") if kernels.COMPILED else ("lines",):
                cost = cost_of(fleet, name, codec, repeat)
                lines_us = lines_us or cost.together_us
                table.add(
                    f"{size:,} {name}{f', {codec}' if codec else ''}", lines_us / cost.together_us,
                    cost.together_us, cost.gateway_us, cost.codec_us, cost.ingest_us, cost.size,
                )  # fmt: skip
    table.notes.append("x lines: how many times cheaper than lines without compression")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parser(__doc__, repeat=50).parse_args(argv)
    publish(args, [table_of(args.repeat)])


if __name__ == "__main__":
    main()
