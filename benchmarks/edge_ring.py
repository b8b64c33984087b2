"""The ring of a home on a disk: what a reading costs that must survive a power cut.

    python -m benchmarks.edge_ring --folder /var/lib/vpp-edge

Readings are appended one by one and acked in fives, as at 1 Hz, to the memory ring (the baseline)
and to the ring in a file, as it is (``synchronous=FULL``, a commit waits for its fsync) and with
NORMAL (it does not, so a power cut loses what was not yet written back). Elapsed time and bytes
depend on the disk: give --folder a place on the one that will be used. Then a ring is filled with
a week at 1 Hz, opened, and read as backfill.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import edge.store
from benchmarks.report import Table, parser, progress, publish
from edge.durable_ring import DurableRing
from edge.ring import MemoryRing, Ring
from schemas.bodies import NativeBody

T0_MS = 1_763_856_000_000
WEEK_S = 7 * 86_400
ACKED_TOGETHER = 5
ROWS = 80
"""Rows of a Backfill."""


def body_of(second: int) -> NativeBody:
    """A home's reading with every value."""
    return NativeBody(
        T0_MS + 1000 * second, 1234.5, -321.0, 2210.1, 3123.6, 0.61234, 49.987, 231.4, 24.1, False
    )


def file_ring(path: Path, synchronous: str = "FULL") -> DurableRing:
    """A ring of two weeks in a file."""
    as_it_is = edge.store.SYNCHRONOUS
    edge.store.SYNCHRONOUS = synchronous
    try:
        return DurableRing(path, capacity=2 * WEEK_S, keep_ms=2000 * WEEK_S, new_boot=lambda: "b1")
    finally:
        edge.store.SYNCHRONOUS = as_it_is


def written_bytes() -> int:
    """Bytes that this process has had written to a disk."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["write_bytes"])


def cost_of(ring: Ring, readings: int) -> tuple[float, float, float]:
    """(CPU s, median elapsed s, bytes written) of a reading, with its share of an ack."""
    elapsed = []
    wrote, cpu = written_bytes(), time.process_time()
    for second in range(readings):
        began = time.perf_counter()
        seq, _ = ring.add(body_of(second), 0)
        elapsed.append(time.perf_counter() - began)
        if second % ACKED_TOGETHER == ACKED_TOGETHER - 1:
            ring.forget(range(seq - ACKED_TOGETHER + 1, seq + 1))
    cpu = time.process_time() - cpu
    return cpu / readings, median(elapsed), (written_bytes() - wrote) / readings


def append_table(folder: Path, readings: int) -> Table:
    """The cost of an append in each ring."""
    columns = ("ring", "memory x (CPU)", "CPU us", "elapsed us", "bytes written", "MB a day")
    table = Table("A reading kept, and acked", columns)
    rings: dict[str, Callable[[], Ring]] = {
        "memory": lambda: MemoryRing("b1", 2 * WEEK_S),
        "file": lambda: file_ring(folder / "full.db"),
        "file, NORMAL": lambda: file_ring(folder / "normal.db", "NORMAL"),
    }
    baseline_s = 0.0
    for name, new_ring in rings.items():
        progress(name)
        cpu_s, elapsed_s, wrote = cost_of(new_ring(), readings)
        baseline_s = baseline_s or cpu_s
        day_mb = wrote * 86_400 / 1e6
        table.add(name, cpu_s / baseline_s, cpu_s * 1e6, elapsed_s * 1e6, wrote, day_mb)
    return table


def runs(ring: Ring) -> Iterator[range]:
    """The ring's readings in Backfills, each acked."""
    while run := ring.due_run(0, ROWS):
        yield run
        ring.forget(run)


def week_table(folder: Path, seconds: int) -> Table:
    """The cost of a long outage: opening the file, and sending all of it."""
    table = Table("After an outage", ("readings", "real time x", "file MB", "open s", "backfill s"))
    path = folder / "week.db"
    ring = file_ring(path, "OFF")  # the filling is not measured
    progress(f"{seconds:,} readings are written")
    for second in range(seconds):
        ring.add(body_of(second), 0)
    ring.close()
    size_mb = path.stat().st_size / 1e6
    began = time.perf_counter()
    again = file_ring(path)
    open_s = time.perf_counter() - began
    began = time.perf_counter()
    sent = sum(len(again.bodies(run)) for run in runs(again))
    backfill_s = time.perf_counter() - began
    again.close()
    if sent != seconds:
        raise RuntimeError(f"{sent} of {seconds} readings were read again")
    table.add(f"{seconds:,}", seconds / backfill_s, size_mb, open_s, backfill_s)
    table.notes.append("real time x: readings read and acked in the time in which one is measured.")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options: argparse.ArgumentParser = parser(__doc__)
    options.add_argument("--readings", type=int, default=2000)
    options.add_argument("--seconds", type=int, default=WEEK_S, help="length of the outage")
    options.add_argument("--folder", type=Path, help="where the files are written, and removed")
    args = options.parse_args(argv)
    with TemporaryDirectory(dir=args.folder) as folder:
        tables = [
            append_table(Path(folder), args.readings),
            week_table(Path(folder), args.seconds),
        ]
    publish(args, tables)


if __name__ == "__main__":
    main()
