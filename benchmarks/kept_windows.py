"""Memory of the windows that are kept for corrections, and what their compression costs.

    python -m benchmarks.kept_windows

One partition in a process of its own per row, through --hours hours of a reading a minute, with a
snapshot each minute. Compared in one run, for each number of devices: windows as columns, as they
were kept before; and compressed once they are closed for good. Memory is what the process grew by
from the first half hour on, per device and hour; cost is CPU time per reading, with windows and
snapshots.
"""

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.homes import Homes
from benchmarks.report import Table, parser, progress, publish
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.kept_windows import PackedWindow
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.process.lean_arrow import use_arrow_without_pandas

BEGIN_MINUTES = 31
"""After so many minutes memory is counted: two quarters are closed, and the first is compressed."""


def measure(devices: int, hours: int, packs: bool) -> tuple[float, float, float]:
    """Bytes per device and hour, CPU us per reading, and the share of windows that are packed."""
    use_arrow_without_pandas()
    homes = Homes(devices, partitions=(0,))
    part = FleetPartition(0, "telemetry", Registry(homes.sites()), Policy())
    if not packs:
        part.windows.pack_next = lambda: None  # type: ignore[method-assign]  # as it was before
    offset, spent_s, before = 0, 0.0, 0
    minutes = BEGIN_MINUTES + hours * 60
    for minute in range(minutes):
        if minute == BEGIN_MINUTES:
            before = _resident()
        frames = [b for _, b in homes.by_partition(minute * 60 + 30, 1000, seq=minute)]
        frames = [_noisy(batch, minute) for batch in frames]
        last_ms = frames[-1].column("received_at_ms")[0].as_py()
        none = Batch.of(frames[-1].slice(0, 0))
        began_s = time.process_time()
        for batch in frames:
            part.apply(Frame(offset, Batch.of(batch)))
            offset += 1
        part.snapshot()
        for second in range(60):  # heartbeats, which are there without any reading
            part.apply(Frame(offset, none, stream_time_ms=last_ms + second * 1000))
            offset += 1
        if minute >= BEGIN_MINUTES:
            spent_s += time.process_time() - began_s
    grown = _resident() - before
    windows = part.windows.windows.values()
    packed = sum(isinstance(window, PackedWindow) for window in windows)
    readings = devices * hours * 60
    return grown / devices / hours, spent_s / readings * 1e6, packed / len(windows)


def _noisy(batch: pa.RecordBatch, minute: int) -> pa.RecordBatch:
    """The readings with powers that differ from minute to minute, as those of homes do."""
    rng = np.random.default_rng([minute, batch.num_rows])
    columns = {name: batch.column(name) for name in batch.schema.names}
    for name in ("battery_w", "grid_w", "solar_w", "load_w"):
        noise = np.round(rng.normal(0, 60, batch.num_rows), 1)
        columns[name] = pa.array(columns[name].to_numpy() + noise)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _alone(devices: int, hours: int, packs: bool) -> tuple[float, float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, devices, hours, packs).result()


def table_of(args: argparse.Namespace) -> Table:
    """Measure both forms for each number of devices, in turn."""
    table = Table(
        f"{args.hours} h of windows kept",
        ("devices, form", "x smaller", "bytes per device and hour", "us per reading", "compressed"),
    )
    for devices in args.devices:
        runs: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
        for number in range(args.repeat):
            for packs, found in runs.items():
                progress(f"run {number + 1}: {devices:,} devices, {'' if packs else 'not '}packed")
                found.append(_alone(devices, args.hours, packs))
        medians = {
            packs: [statistics.median(values) for values in zip(*rows, strict=True)]
            for packs, rows in runs.items()
        }
        for packs, name in ((False, "columns"), (True, "compressed")):
            size, cost, share = medians[packs]
            table.add(f"{devices:,}, {name}", medians[False][0] / size, round(size), cost, share)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=1)
    options.add_argument("--devices", type=int, nargs="+", default=[1_000, 10_000, 62_500])
    options.add_argument("--hours", type=int, default=1)
    args = options.parse_args(argv)
    publish(args, [table_of(args)])


if __name__ == "__main__":
    main()
