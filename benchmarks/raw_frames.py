"""A fleet's raw telemetry without its sockets: N homes at 1 Hz, written as gateways do.

    python -m benchmarks.raw_frames --devices 500000 --seconds 60 --namespace bench-1

Imports the homes into the registry, then writes frames to raw.powerwall: by columns like the
gateway's (or --form lines: NDJSON, as other producers may write), of the homes of one partition
whose moment in the second falls into the same --flush-ms, at most 512 KiB. Every reading has its
device, boot and number, so that what arrives can be counted.

A frame's bytes are made once, and each second only what moved is written over (in lines the digits,
as ints and times have fixed widths): half a million readings a second cost a fraction of a core.
Prints readings per second, CPU, and whether it kept up with the clock (nothing is ever left out: a
generator that is late sends late, and says so). The namespace's topics are left there; workers
started in it read what was written, `--delete` removes them in the end.
"""

import argparse
import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

import numpy as np
from aiokafka import AIOKafkaProducer

from benchmarks.frame_bytes import Frame, FrameColumns, digits, frames_of
from benchmarks.homes import Homes
from benchmarks.report import Table, parser, progress, publish
from benchmarks.world import import_sites, world
from schemas.raw_frames import ARROW, HEADER_CONTENT_TYPE
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings, load_settings

LATE_MS = 500
"""The generator did not keep up if a hundredth of the frames is later than this, ms."""
MAX_ON_THE_WAY = 200


@dataclass(slots=True)
class Sent:
    """The counts of what was written."""

    readings: int = 0
    """Readings that Kafka confirmed on all replicas."""
    frames: int = 0
    bytes_: int = 0
    seconds: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0
    late_ms: list[float] = field(default_factory=list)
    """Lateness of each frame by the wall clock, ms."""

    @property
    def late_p99_ms(self) -> float:
        """99th percentile of the frames' lateness, ms."""
        return float(np.percentile(self.late_ms, 99)) if self.late_ms else 0.0

    @property
    def kept_up(self) -> bool:
        """Whether the frames were sent on time, apart from single delays."""
        return self.late_p99_ms <= LATE_MS


async def generate(
    producer: AIOKafkaProducer, settings: Settings, frames: Sequence[Frame], seconds: int
) -> Sent:
    """Write this many seconds of readings, each frame at its time by the wall clock."""
    name = topics.RAW_POWERWALL.full(settings.namespace)
    headers = [("ce_specversion", b"1.0"), ("ce_source", b"gateway-0")]
    if isinstance(frames[0], FrameColumns):
        headers.append((HEADER_CONTENT_TYPE, ARROW))
    sent = Sent(seconds=seconds)
    on_the_way: deque[tuple[Awaitable[object], int]] = deque()
    begin = int(time.time()) + 1
    await asyncio.sleep(begin - time.time())
    cpu_before, clock_before = time.process_time(), time.perf_counter()
    for n in range(seconds):
        now = digits(begin + n, n)
        for frame in frames:
            due = begin + n + frame.due_ms / 1000
            await asyncio.sleep(max(due - time.time(), 0))
            sent.late_ms.append(max(time.time() - due, 0) * 1000)
            value = frame.at(now)
            named = [*headers, ("ce_id", b"%d" % sent.frames)]
            future = await producer.send(name, value, partition=frame.partition, headers=named)
            on_the_way.append((future, frame.lines))
            sent.frames += 1
            sent.bytes_ += len(value)
            if len(on_the_way) > MAX_ON_THE_WAY:
                await _confirm(on_the_way, sent)
        if n % 10 == 9:
            progress(f"{n + 1} of {seconds} s: {sent.readings:,} readings are in Kafka")
    while on_the_way:
        await _confirm(on_the_way, sent)
    sent.took_s = time.perf_counter() - clock_before
    sent.cpu_s = time.process_time() - cpu_before
    return sent


async def _confirm(on_the_way: deque[tuple[Awaitable[object], int]], sent: Sent) -> None:
    """Wait for Kafka's answer to the oldest frame; raises if Kafka did not accept it."""
    future, lines = on_the_way.popleft()
    await future
    sent.readings += lines


async def run(args: argparse.Namespace) -> Sent:
    """Import the homes, create the frames, and generate."""
    settings = load_settings(namespace=args.namespace)
    async with world(settings, keep=not args.delete) as producer:
        homes = Homes(args.devices)
        if not args.imported:
            progress(f"{args.devices:,} homes into the registry of {settings.namespace}")
            await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        frames = frames_of(homes, args.flush_ms, by_columns=args.form == "columns")
        progress(f"{len(frames):,} frames a second of {homes.n / len(frames):,.0f} readings")
        return await generate(producer, settings, frames, args.seconds)


def main(argv: Sequence[str] | None = None) -> None:
    """Generate and print."""
    options = parser(__doc__)
    options.add_argument("--devices", type=int, default=100_000)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--namespace", default=f"bench-{uuid.uuid4().hex[:8]}")
    options.add_argument(
        "--flush-ms", type=int, default=400, help="how long a gateway collects readings"
    )
    options.add_argument("--form", choices=("columns", "lines"), default="columns")
    options.add_argument("--imported", action="store_true", help="the homes are in the registry")
    options.add_argument("--delete", action="store_true", help="delete the topics at the end")
    args = options.parse_args(argv)
    sent = asyncio.run(run(args))
    table = Table(
        f"Raw frames of {args.devices:,} devices at 1 Hz for {args.seconds} s",
        ("namespace", "CPU/wall", "readings", "per s", "per CPU-s", "MB/s", "kept up", "late p99"),
    )
    table.add(
        args.namespace, sent.cpu_s / sent.took_s, sent.readings,
        round(sent.readings / sent.took_s), round(sent.readings / sent.cpu_s),
        sent.bytes_ / sent.took_s / 1e6, "yes" if sent.kept_up else "no",
        f"{sent.late_p99_ms:.0f} ms",
    )  # fmt: skip
    table.notes.append(f"every one of {sent.frames:,} frames is confirmed by Kafka")
    publish(args, [table], load_settings().kafka)


if __name__ == "__main__":
    main()
