"""Closing windows: the cost of what is published, and the longest time that the loop stands still.

    python -m benchmarks.closing

One partition of --devices homes, a reading a minute each, through every minute of a quarter of an
hour. At each minute's end its windows are closed, added up and published; at the last also those of
the quarter. Compared in one run, over the same readings:

* *a record each, at once*: a window is closed in one go, and each site's window becomes an object,
  a JSON document and a record in a batch of 128 KB. This is how it was done before;
* *frames, by steps*: as the fleet role does it.

Times are CPU time of the thread. The longest stall is the longest stretch without a turn of the
loop, of the 14 minutes that close alone, and of the minute that closes with the quarter. A frame
of readings and the tick of regions in it are left out; they are the same for both. The snapshot is
that of the frame after, as it is taken every 5 s, and its longest stretch.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from benchmarks.homes import Homes
from benchmarks.report import Table, parser, progress, publish
from schemas.encoding import encode_json
from schemas.window_frames import encode_windows
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.site_sums import SiteSums
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.fleet.window_batches import batches_of, records_of
from vpp_streams.domain.registry.registry import Registry

MINUTES = 15
RECORD_BATCH_BYTES = 128 * 1024
Steps = Callable[[FleetPartition, Frame, Outputs], Iterator[None]]
Publish = Callable[[SiteSums], Iterator[int]]


@dataclass(slots=True)
class Spent:
    """CPU seconds of stretches between two turns of the loop."""

    closing_s: list[float] = field(default_factory=list)
    publishing_s: list[float] = field(default_factory=list)
    snapshot_s: list[float] = field(default_factory=list)
    windows: int = 0
    bytes: int = 0


def at_once(part: FleetPartition, frame: Frame, out: Outputs) -> Iterator[None]:
    """Close in one go."""
    for _ in part.steps(frame, out):
        pass
    yield


def by_steps(part: FleetPartition, frame: Frame, out: Outputs) -> Iterator[None]:
    """Close as the role does, with a turn of the loop between steps."""
    yield from part.steps(frame, out)
    yield


def records(sums: SiteSums) -> Iterator[int]:
    """A record for each window; yields the bytes of each batch."""
    builder, size = _builder(), 0
    for number, window in enumerate(records_of(sums)):
        value = encode_json(window)
        builder.append(number, None, window.site_id.encode(), value, [])
        size += len(value)
        if size >= RECORD_BATCH_BYTES:
            yield len(builder.build())
            builder, size = _builder(), 0
    if size:
        yield len(builder.build())


def frames(sums: SiteSums) -> Iterator[int]:
    """Frames of many windows; yields the bytes of each."""
    for batch in batches_of(sums, 0):
        yield len(encode_windows(batch.frame))


WAYS: dict[str, tuple[Steps, Publish]] = {
    "a record each, at once": (at_once, records),
    "frames, by steps": (by_steps, frames),
}


def measure(homes: Homes, rows: int, steps: Steps, published: Publish) -> list[Spent]:
    """What each minute's closing costs, in the order of the minutes."""
    part = FleetPartition(0, "telemetry", Registry(homes.sites()), Policy())
    offset, spent = 0, []
    for minute in range(MINUTES):
        for _, batch in homes.by_partition(minute * 60 + 30, rows, seq=minute):
            part.apply(Frame(offset, Batch.of(batch)))
            offset += 1
        part.snapshot()
        end_ms = (int(batch.column("received_at_ms")[0].as_py()) // 60_000 + 1) * 60_000
        none = Batch.of(batch.slice(0, 0))
        found, out = Spent(), Outputs()
        frame = Frame(offset, none, stream_time_ms=end_ms + Policy().lateness_ms)
        found.closing_s = stretches(steps(part, frame, out))
        offset += 1
        for sums in out.sums:
            found.windows += len(sums.sites)
            each = published(sums)
            sizes: list[int] = []
            found.publishing_s += stretches(_noting(each, sizes))
            found.bytes += sum(sizes)
        found.snapshot_s = stretches(_snapshot(part))
        spent.append(found)
    return spent


def stretches(work: Iterator[object]) -> list[float]:
    """CPU seconds of each stretch of some work between two turns of the loop."""
    found, ended = [], object()
    while True:
        began_s = time.thread_time()
        result = next(work, ended)
        found.append(time.thread_time() - began_s)
        if result is ended:
            return found


def _noting(sizes: Iterator[int], into: list[int]) -> Iterator[None]:
    for size in sizes:
        into.append(size)
        yield


def _snapshot(part: FleetPartition) -> Iterator[None]:
    part.snapshot()
    yield


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=0, batch_size=4 * RECORD_BATCH_BYTES,
    )  # fmt: skip


def table_of(args: argparse.Namespace) -> Table:
    """Measure both ways, in turn."""
    table = Table(
        f"Closing windows of {args.devices:,} homes in one partition",
        ("way", "x cheaper", "us per window", "of it closing", "bytes per window",
         "stall ms: minute", "quarter", "publishing", "snapshot"),
    )  # fmt: skip
    homes = Homes(args.devices, partitions=(0,))
    runs: dict[str, list[list[Spent]]] = {name: [] for name in WAYS}
    for number in range(args.repeat):
        for name, (steps, published) in WAYS.items():
            progress(f"run {number + 1}: {name}")
            runs[name].append(measure(homes, args.rows, steps, published))
    baseline = None
    for name, found in runs.items():
        cells = [statistics.median(values) for values in zip(*map(_cells, found), strict=True)]
        baseline = baseline or cells[0]
        table.add(name, baseline / cells[0], *cells)
    return table


def _cells(run: Sequence[Spent]) -> list[float]:
    windows = sum(one.windows for one in run)
    closing_s = sum(sum(one.closing_s) for one in run)
    publishing_s = sum(sum(one.publishing_s) for one in run)
    minutes, quarter = run[1:-1], run[-1]  # the first one has the start of everything in it
    return [
        (closing_s + publishing_s) / windows * 1e6,
        closing_s / windows * 1e6,
        sum(one.bytes for one in run) / windows,
        max(max(one.closing_s) for one in minutes) * 1e3,
        max(quarter.closing_s) * 1e3,
        max(max(one.publishing_s) for one in run[1:]) * 1e3,
        max(max(one.snapshot_s) for one in run[1:]) * 1e3,
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=3)
    options.add_argument("--devices", type=int, default=62_500)
    options.add_argument("--rows", type=int, default=1000, help="readings in a frame")
    args = options.parse_args(argv)
    publish(args, [table_of(args)])


if __name__ == "__main__":
    from vpp_streams.process.lean_arrow import use_arrow_without_pandas

    use_arrow_without_pandas()
    main()
