"""What a gateway costs: ``python benchmarks/gateway.py``.

Each figure is of a gateway process (its CPU time, its memory) on the broker of VPP_KAFKA, with
devices that send one reading a message: `own` is the gateway's engine, `stock` the library's,
`bare` a server that only counts what comes, the most that sockets alone allow. Ratios are of the
same run. ``--hold 600 --devices 19000`` instead holds that many at 1 Hz, and counts that what Kafka
has is what was sent.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop
from gateway_load import LoadFleet, allow_many_files, device_id, site_of
from gateway_world import Certificates, command_frames, delete_topics, readings_in_kafka, register

from vpp_streams import topics
from vpp_streams.codecs import encode_json
from vpp_streams.kafka import new_producer
from vpp_streams.settings import Settings, load_settings

ROUNDS, WARM_UP = 12, 3
ACKS_EVERY = 5
"""Readings per Ack, as at 1 Hz with an Ack every 5 s."""
PUSHES = 8


def tell(text: str) -> None:
    """Progress, on one line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


class Target:
    """A process of `benchmarks/gateway_target.py`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    async def figures(self) -> dict[str, Any]:
        """What it has used so far; its longest stall since it was last asked."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"\n")
        return json.loads(await self.process.stdout.readline())  # type: ignore[no-any-return]


@asynccontextmanager
async def target(
    what: str, settings: Settings, certificates: Certificates | None, ack_ms: int = 5000
) -> AsyncIterator[Target]:
    """A gateway, or a bare server, for the body."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "gateway_target.py"),
        what,
        f"--ack-ms={ack_ms}",
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
    """Readings per CPU second, and bytes a connection."""
    tls = certificates.client if certificates else None
    async with target(what, settings, certificates, int(ACKS_EVERY * every_s * 1000)) as gateway:
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


async def push(settings: Settings, numbers: range) -> tuple[float, float, float]:
    """ms: p99 from written to Kafka to seen by the device, the longest stall, the gateway's CPU."""
    async with target("own", settings, None) as gateway:
        fleet = LoadFleet()
        await fleet.connect(settings.host, gateway.port, numbers)
        producer = new_producer(settings)
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
) -> None:
    """Hold the devices at 1 Hz, then compare with Kafka."""
    async with target("own", settings, tls) as gateway:
        fleet = LoadFleet()
        tell(f"connecting {len(numbers):,} devices")
        await fleet.connect(settings.host, gateway.port, numbers, tls.client if tls else None)
        start, begin = await gateway.figures(), time.monotonic()
        await fleet.hold(seconds, tell)
        end, took_s = await gateway.figures(), time.monotonic() - begin
        await fleet.until(lambda: fleet.acked == fleet.sent, "every ack")
        fleet.close()
    tell("counting what Kafka has")
    unique, lines = await readings_in_kafka(settings)
    tell("")
    cpu_s = end["cpu_s"] - start["cpu_s"]
    print(f"{len(numbers):,} devices at 1 Hz for {took_s:.0f} s{' (mTLS)' if tls else ''}")
    print(f"  sent {fleet.sent:,}  acked {fleet.acked:,}  in Kafka {unique:,} ({lines:,} lines)")
    print(f"  lost {fleet.sent - unique:,}  else {dict(fleet.counts) or 'nothing'}")
    print(f"  gateway CPU {100 * cpu_s / took_s:.0f} % of a core, {fleet.sent / cpu_s:,.0f}/CPU s")
    print(f"  longest stall {end['stall_s'] * 1000:.0f} ms, {end['rss'] / 2**20:,.0f} MiB")
    if unique != fleet.sent:
        sys.exit("readings were lost")


async def table(settings: Settings, options: argparse.Namespace, tls: Certificates) -> None:
    """Measure everything and print it."""
    median: Callable[[list[float]], float] = statistics.median
    print(f"{'':<6} {'':<6} {'readings/CPU s':>15} {'x stock':>8} {'KiB/connection':>15}")
    for mode, count in (("plain", options.devices), ("mTLS", options.tls_devices)):
        certificates = tls if mode == "mTLS" else None
        found: dict[str, list[tuple[float, float]]] = {"stock": [], "own": [], "bare": []}
        for turn in range(options.repeat):
            for what, figures in found.items():
                tell(f"{mode} {what}, {turn + 1} of {options.repeat}")
                numbers, every_s = range(count), count / options.rate
                figures.append(
                    await rate_and_memory(what, settings, numbers, every_s, certificates)
                )
        tell("")
        stock = median([rate for rate, _ in found["stock"]])
        for what, figures in found.items():
            rate, size = median([r for r, _ in figures]), median([s for _, s in figures])
            print(f"{mode:<6} {what:<6} {rate:>15,.0f} {rate / stock:>8.1f} {size / 1024:>15.1f}")
    tell("pushes")
    pushes = [await push(settings, range(options.devices)) for _ in range(options.repeat)]
    tell("")
    p99_ms, stall_ms, cpu_ms = (median([one[i] for one in pushes]) for i in (0, 1, 2))
    print(f"push to {options.devices:,} devices: p99 {p99_ms:.0f} ms,", end=" ")
    print(f"longest stall {stall_ms:.0f} ms, {cpu_ms:.0f} ms of CPU")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--tls-devices", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=20_000, help="readings a second")
    parser.add_argument("--repeat", type=int, default=1, help="medians of so many")
    parser.add_argument("--hold", type=float, metavar="SECONDS", help="hold --devices at 1 Hz")
    parser.add_argument("--mtls", action="store_true", help="with --hold: with certificates")
    options = parser.parse_args()
    allow_many_files()
    settings = load_settings().model_copy(update={"namespace": f"bench-{uuid.uuid4().hex[:8]}"})
    devices = max(options.devices, options.tls_devices)
    tell("importing the devices")
    await register(settings, [site_of(number) for number in range(devices)])
    with TemporaryDirectory() as directory:
        named = range(options.devices if options.hold else options.tls_devices)
        made = [device_id(n) for n in named] if options.mtls or not options.hold else []
        tls = Certificates(Path(directory), made)
        try:
            if options.hold:
                used = tls if options.mtls else None
                await hold(settings, range(options.devices), options.hold, used)
            else:
                await table(settings, options, tls)
        finally:
            await delete_topics(settings)


if __name__ == "__main__":
    uvloop.run(main())
