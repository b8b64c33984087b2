"""What a gateway costs: a whole one on Kafka, and thousands of devices, one reading a message.

    python -m benchmarks.gateway
    python -m benchmarks.gateway --hold 300 --devices 10000 --mtls

CPU and memory are those of the gateway's process: `own` is our WebSocket engine (`writing lines`:
without compiled loops, so that readings become lines instead of columns), `coroutines` the
library's (a task per connection), `bare` a server that only counts what comes, which is all that
sockets allow. Pushes: one command to every device at once, from written to Kafka to seen by the
device, and the longest time that the gateway's loop did not come round meanwhile.

--hold holds --devices at 1 Hz, and counts that Kafka has what was sent.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop

from benchmarks.gateway_load import LoadFleet, allow_many_files, device_id, site_of
from benchmarks.gateway_world import Certificates, command_frames, readings_in_kafka
from benchmarks.report import Table, parser, progress, publish
from benchmarks.world import import_sites, world
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_json
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings, load_settings

ROUNDS, WARM_UP = 12, 3
ACKS_EVERY = 5
"""Readings per Ack, as at 1 Hz with an Ack every 5 s."""
PUSHES = 8


ENGINES = ("stock", "own", "lines", "bare")
SHOWN = {"stock": "coroutines", "lines": "own, writing lines"}


class Target:
    """A process of `benchmarks/gateway_target.py`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    async def figures(self) -> dict[str, Any]:
        """The usage so far, and the longest stall since the last call."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"\n")
        return json.loads(await self.process.stdout.readline())  # type: ignore[no-any-return]


@asynccontextmanager
async def target(
    what: str,
    settings: Settings,
    certificates: Certificates | None,
    ack_ms: int = 5000,
    *,
    stalls: bool = True,
) -> AsyncIterator[Target]:
    """A gateway, or a bare server, during the body. ``stalls``: look for them, which costs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.gateway_target",
        what,
        f"--ack-ms={ack_ms}",
        *(["--stalls"] if stalls else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "VPP_KAFKA": settings.kafka,
            "VPP_NAMESPACE": settings.namespace,
            "VPP_LOG_LEVEL": "WARNING",
            **(certificates.env if certificates else {}),
        },
    )
    assert process.stdin
    assert process.stdout
    try:
        yield Target(process, int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


async def rate_and_memory(
    what: str, settings: Settings, numbers: range, every_s: float, certificates: Certificates | None
) -> tuple[float, float]:
    """Readings per CPU second, and bytes per connection."""
    tls = certificates.client if certificates else None
    ack_ms = int(ACKS_EVERY * every_s * 1000)
    async with target(what, settings, certificates, ack_ms, stalls=False) as gateway:
        fleet = LoadFleet()
        before = await gateway.figures()
        await fleet.connect(settings.host, gateway.port, numbers, tls)
        await fleet.rounds(WARM_UP, every_s)
        start, already = await gateway.figures(), fleet.sent
        await fleet.rounds(ROUNDS, every_s)
        if what == "bare":
            await asyncio.sleep(0.2)
        else:
            await fleet.until(lambda: fleet.acked == fleet.sent, "every ack")
        end = await gateway.figures()
        assert what != "bare" or end["frames"] == fleet.sent
        assert not fleet.counts, fleet.counts
        fleet.close()
    rate = (fleet.sent - already) / (end["cpu_s"] - start["cpu_s"])
    return rate, (end["rss"] - before["rss"]) / len(numbers)


async def push(what: str, settings: Settings, numbers: range) -> tuple[float, float, float]:
    """ms: p99 from written to Kafka to received by the device, longest stall, gateway's CPU."""
    async with target(what, settings, None) as gateway:
        fleet = LoadFleet()
        await fleet.connect(settings.host, gateway.port, numbers)
        producer = KafkaClients(settings).producer()
        await producer.start()
        topic = topics.GATEWAY_OUT.full(settings.namespace)
        taken_ms: list[float] = []
        stalls_ms: list[float] = []
        cpu_ms: list[float] = []
        for rank in range(PUSHES):
            fleet.send_round()
            await asyncio.sleep(0.3)
            before = await gateway.figures()
            fleet.arrivals.clear()
            epochs = {device.name: device.epoch for device in fleet.devices}
            values = [encode_json(f) for f in command_frames(epochs, time.time_ns() // 10**6)]
            begin = time.monotonic()
            for value in values:
                await producer.send(topic, value, partition=0)
            await fleet.until(lambda: len(fleet.arrivals) == len(fleet.devices), "the commands")
            after = await gateway.figures()
            fleet.answer()
            if rank:  # the first warms up
                taken_ms += [(at - begin) * 1000 for at in fleet.arrivals]
                stalls_ms.append(after["stall_s"] * 1000)
                cpu_ms.append((after["cpu_s"] - before["cpu_s"]) * 1000)
        await producer.stop()
        await fleet.until(lambda: fleet.acked == fleet.sent, "every ack")
        fleet.close()
    p99_ms = float(np.percentile(taken_ms, 99))
    return p99_ms, statistics.median(stalls_ms), statistics.median(cpu_ms)


async def hold(
    settings: Settings, numbers: range, seconds: float, tls: Certificates | None
) -> Table:
    """Hold the devices at 1 Hz, then compare with Kafka."""
    async with target("own", settings, tls) as gateway:
        fleet = LoadFleet()
        progress(f"connecting {len(numbers):,} devices")
        await fleet.connect(settings.host, gateway.port, numbers, tls.client if tls else None)
        start, begin = await gateway.figures(), time.monotonic()
        await fleet.hold(seconds, progress)
        end, took_s = await gateway.figures(), time.monotonic() - begin
        await fleet.until(lambda: fleet.acked == fleet.sent, "every ack")
        fleet.close()
    progress("counting what Kafka has")
    unique, lines = await readings_in_kafka(settings)
    cpu_s = end["cpu_s"] - start["cpu_s"]
    table = Table(
        f"{len(numbers):,} devices at 1 Hz for {took_s:.0f} s on one gateway",
        ("connections", "x sent", "sent", "acked", "in Kafka", "lost", "CPU of a core",
         "readings per CPU-s", "longest stall ms", "gateway MB"),
    )  # fmt: skip
    table.add(
        "mTLS" if tls else "plain", unique / fleet.sent, fleet.sent, fleet.acked, unique,
        fleet.sent - unique, f"{100 * cpu_s / took_s:.0f} %", round(fleet.sent / cpu_s),
        end["stall_s"] * 1000, end["rss"] / 2**20,
    )  # fmt: skip
    table.notes.append(f"{lines - unique:,} of the lines in Kafka are repeats")
    table.notes.append(f"unexpected: {dict(fleet.counts) or 'nothing'}")
    return table


async def rates(settings: Settings, args: argparse.Namespace, tls: Certificates) -> Table:
    """Readings per CPU second and memory, by engine, plain and with certificates."""
    table = Table(
        f"Readings through a gateway, {args.devices:,} devices plain, {args.tls_devices:,} by mTLS",
        ("engine", "x coroutines", "readings per CPU-s", "KiB per connection"),
    )
    for mode, count in (("plain", args.devices), ("mTLS", args.tls_devices)):
        certificates = tls if mode == "mTLS" else None
        found: dict[str, list[tuple[float, float]]] = {what: [] for what in ENGINES}
        for turn in range(args.repeat):
            for what, figures in found.items():
                progress(f"{mode} {what}, {turn + 1} of {args.repeat}")
                numbers, every_s = range(count), count / args.rate
                figures.append(
                    await rate_and_memory(what, settings, numbers, every_s, certificates)
                )
        stock = statistics.median(rate for rate, _ in found["stock"])
        for what, figures in found.items():
            rate, size = (statistics.median(one[i] for one in figures) for i in (0, 1))
            table.add(f"{mode}, {SHOWN.get(what, what)}", rate / stock, round(rate), size / 1024)
    return table


async def pushes(settings: Settings, args: argparse.Namespace) -> Table:
    """One command to every device, by engine."""
    table = Table(
        f"A command to each of {args.devices:,} devices",
        ("engine", "x coroutines", "p99 ms", "longest stall ms", "CPU ms"),
    )
    found: dict[str, list[tuple[float, float, float]]] = {"stock": [], "own": []}
    for turn in range(args.repeat):
        for what, figures in found.items():
            progress(f"pushes by {what}, {turn + 1} of {args.repeat}")
            figures.append(await push(what, settings, range(args.devices)))
    stock_ms = statistics.median(p99_ms for p99_ms, _, _ in found["stock"])
    for what, figures in found.items():
        p99_ms, stall_ms, cpu_ms = (statistics.median(one[i] for one in figures) for i in range(3))
        table.add(SHOWN.get(what, what), p99_ms / stock_ms, p99_ms, stall_ms, cpu_ms)
    return table


async def measure(settings: Settings, args: argparse.Namespace) -> list[Table]:
    """All tables, or the one of --hold."""
    progress("importing the devices")
    sites = [site_of(number) for number in range(max(args.devices, args.tls_devices))]
    named = range(args.devices if args.hold else args.tls_devices)
    async with world(settings) as producer:
        partitions = [partition_of(site.site_id, PARTITIONS) for site in sites]
        await import_sites(producer, settings, sites, partitions)
        with TemporaryDirectory() as directory:
            made = [device_id(n) for n in named] if args.mtls or not args.hold else []
            tls = Certificates(Path(directory), made)
            if args.hold:
                used = tls if args.mtls else None
                return [await hold(settings, range(args.devices), args.hold, used)]
            return [await rates(settings, args, tls), await pushes(settings, args)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=3)
    options.add_argument("--devices", type=int, default=5000)
    options.add_argument("--tls-devices", type=int, default=1500)
    options.add_argument("--rate", type=float, default=20_000, help="readings a second")
    options.add_argument("--hold", type=float, metavar="SECONDS", help="hold --devices at 1 Hz")
    options.add_argument("--mtls", action="store_true", help="with --hold: with certificates")
    args = options.parse_args(argv)
    allow_many_files()
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    tables = uvloop.run(measure(settings, args))
    publish(args, tables, settings.kafka)
    lost = [row for table in tables if args.hold for row in table.rows if row[1] != 1]
    if lost:
        sys.exit("readings were lost")


if __name__ == "__main__":
    main()
