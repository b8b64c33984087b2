"""Replay of recorded telemetry: readings per CPU second, against only reading the Parquet.

    python -m benchmarks.replay

Makes a recording of --devices at 1 Hz for --seconds in a temporary directory, as `vpp record`
does, and takes from it: the Parquet's columns only (the baseline); the frames of a replay, encoded
(`plan_frames`, in process); and the whole of `vpp replay --speed max` into Kafka.
"""

import argparse
import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from benchmarks.homes import Homes
from benchmarks.report import Table, cpu_s, parser, progress, publish
from benchmarks.world import delete_topics
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_frame, encode_json
from vpp_streams.domain.files.frames_plan import plan_frames
from vpp_streams.domain.files.recording_layout import ASSETS_FILE
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.replay.recording import recording_in
from vpp_streams.replay.replay import Pacer, replay
from vpp_streams.replay.sources import Span, open_recording
from vpp_streams.settings import load_settings

ROWS = 1000


def record(directory: Path, homes: Homes, seconds: int) -> float:
    """Write the recording; returns the CPU seconds without those for creating the frames."""
    spent, offsets = 0.0, dict.fromkeys(range(PARTITIONS), 0)
    with recording_in(directory, "telemetry") as recording:
        for second in range(seconds):
            frames = [(p, encode_frame(batch)) for p, batch in homes.by_partition(second, ROWS)]
            began = time.process_time()
            for p, value in frames:
                recording.add(p, offsets[p], value, False)
                offsets[p] += 1
            spent += time.process_time() - began
        began = time.process_time()
        recording.checkpoint()
        spent += time.process_time() - began
        assert recording.counters["readings"] == homes.n * seconds
    lines = [encode_json(site) + b"\n" for site in homes.sites()]
    (directory / ASSETS_FILE).write_bytes(b"".join(lines))
    return spent


def read_only(directory: Path) -> int:
    """Every column of every part, as Arrow."""
    parts = directory.glob("date=*/hour=*/part-*.parquet")
    return sum(len(pq.read_table(part, partitioning=None)) for part in parts)


def planned(directory: Path) -> int:
    """The frames of a replay as bytes, without sending them."""
    source = open_recording(directory, Span())
    readings = 0
    for step in plan_frames(source.streams(), PARTITIONS, source.pace):
        for frame in step.frames:
            encode_frame(frame.batch)
            readings += len(frame.batch)
    return readings


async def played(directory: Path) -> tuple[float, float]:
    """(CPU, clock) seconds of a replay into Kafka; its topics are deleted."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    await ensure_topics(KafkaClients(settings))
    try:
        cpu, clock = time.process_time(), time.perf_counter()
        await replay(settings, open_recording(directory, Span()), Pacer(None))
        return time.process_time() - cpu, time.perf_counter() - clock
    finally:
        await delete_topics(settings)


def table_of(args: argparse.Namespace) -> Table:
    """Record, then read in each way."""
    homes, readings = Homes(args.devices), args.devices * args.seconds
    table = Table(
        f"{readings:,} recorded readings of {args.devices:,} devices",
        ("what", "x read", "readings per CPU-s", "readings/s"),
    )
    with TemporaryDirectory() as name:
        directory = Path(name) / "recording"
        progress("recording")
        record_s = record(directory, homes, args.seconds)
        for count in (read_only, planned):
            assert count(directory) == readings, count.__name__
        progress("reading it again")
        read_s = cpu_s(lambda: read_only(directory), args.repeat)
        plan_s = cpu_s(lambda: planned(directory), args.repeat)
        table.add("only read the Parquet", 1.0, round(readings / read_s), None)
        table.add("frames of a replay, in process", plan_s / read_s, round(readings / plan_s), None)
        if not args.pure:
            spent, took = asyncio.run(played(directory))
            table.add("replay into Kafka", spent / read_s, round(readings / spent),
                      round(readings / took))  # fmt: skip
        table.add("record, from frames", record_s / read_s, round(readings / record_s), None)
        size = sum(file.stat().st_size for file in directory.rglob("*.parquet"))
    table.notes.append(f"the recording has {size / readings:.1f} bytes per reading")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=3)
    options.add_argument("--devices", type=int, default=10_000)
    options.add_argument("--seconds", type=int, default=100)
    options.add_argument("--pure", action="store_true", help="without Kafka")
    args = options.parse_args(argv)
    publish(args, [table_of(args)], None if args.pure else load_settings().kafka)


if __name__ == "__main__":
    main()
