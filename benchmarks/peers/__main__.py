"""The job of ingest and fleet beside Kafka Streams, on the same raw frames in Kafka.

    python -m benchmarks.peers                       # some minutes
    python -m benchmarks.peers --readings 300000 --rounds 1 --engines ours heap

Raw readings become a twin of each device, without repeats, and windows of 1 and 15 minutes of each
site, which are published when they close; state goes to a changelog. In each round the same
frames are written into new topics for each engine, one after the other. Ours does more (canonical
telemetry as a topic of its own, corrections, regions).

CPU is of the engine's processes, with garbage collection and compilation; the ratio is ours to
theirs. Windows of a sample of sites must equal those of plain arithmetic to 1e-9, or it exits with
1. A JDK and Maven build the application once; without them only ours is measured.
"""

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from benchmarks.homes import Homes
from benchmarks.peers import java_app
from benchmarks.peers.engines import ENGINES, FLOW, OURS, Job, Result, run
from benchmarks.peers.recording import Recording, Reference
from benchmarks.report import Table, parser, progress, publish
from benchmarks.world import import_sites, make_topics, world
from schemas.encoding import frame_headers
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings, load_settings

DSL_EACH = 5
"""The DSL reads one reading a record, and one of so many of the readings."""
ON_THE_WAY = 100


async def write(
    producer: AIOKafkaProducer, settings: Settings, recording: Recording, *, singly: str | None
) -> Job:
    """Write a recording; ``singly`` = into that topic, one line a record, keyed by site."""
    reference = Reference(recording.homes)
    raw = topics.RAW_POWERWALL.full(settings.namespace)
    homes = recording.homes
    site_of = {
        device_id.encode(): site_id.encode()
        for device_id, site_id in zip(homes.device_ids, homes.site_ids, strict=True)
    }
    sent = []
    for number, frame in enumerate(recording.frames()):
        reference.add(frame)
        if singly is None:
            headers = list(frame_headers("telemetry.raw.v1", "gateway-0", str(number)).items())
            sent.append(
                await producer.send(raw, frame.value, partition=frame.partition, headers=headers)
            )
        else:
            for line in frame.value.split(b"\n"):
                site = site_of[line.split(b'"', 4)[3]]
                sent.append(await producer.send(singly, line, key=site, partition=frame.partition))
        if len(sent) > ON_THE_WAY:
            await asyncio.gather(*sent)
            sent.clear()
    await asyncio.gather(*sent)
    return Job.of(settings, recording, reference, singly or raw)


async def one_round(args: argparse.Namespace, number: int) -> dict[str, Result]:
    """Every engine once, each on topics of its own; each round begins with another one."""
    shift = number % len(args.engines)
    began_s = int(time.time())
    order = [*args.engines[shift:], *args.engines[:shift]]
    return {engine: await alone(engine, args, began_s) for engine in order}


async def alone(engine: str, args: argparse.Namespace, began_s: int) -> Result:
    """Write a recording for an engine, and run the engine on it."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    homes, singly = Homes(args.devices), None
    seconds = max(args.readings // homes.n, 1)
    async with world(settings) as producer:
        await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        if engine == "dsl":
            singly = f"{settings.namespace}.readings"
            seconds = max(seconds // DSL_EACH, 1)
            await make_topics(settings, singly)
        recording = Recording(homes, seconds, began_s)
        return await run(engine, await write(producer, settings, recording, singly=singly))


def table_of(rounds: list[dict[str, Result]], args: argparse.Namespace) -> Table:
    """Medians of the rounds; the ratio is that of the medians."""
    table = Table(
        f"Raw readings of {args.devices:,} devices to twins, windows and changelog,"
        f" a backlog of {args.readings:,}",
        ("engine", "x ours, warm", "warm, k readings per CPU-s", "warm us", "with start us",
         "peak MB"),
    )  # fmt: skip
    costs = {
        engine: (
            statistics.median(r[engine].cost.warm_s for r in rounds) * 1e6,
            statistics.median(r[engine].cost.cold_s for r in rounds) * 1e6,
            statistics.median(r[engine].cost.peak_mb for r in rounds),
        )
        for engine in args.engines
    }
    for engine, (warm_us, cold_us, peak_mb) in costs.items():
        ratio = costs[OURS][0] / warm_us if OURS in costs else None
        table.add(ENGINES[engine], ratio, 1000 / warm_us, warm_us, cold_us, round(peak_mb))
    windows = sum(len(one.wrong) for r in rounds for one in r.values())
    table.notes.append(
        f"Medians of {len(rounds)}. Windows of every engine that differ from plain arithmetic:"
        f" {windows}."
    )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--readings", type=int, default=4_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--devices", type=int, default=8_000)
    options.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=[OURS, FLOW, "heap", "rocks"]
    )
    args = options.parse_args(argv)
    theirs = set(args.engines) - {OURS, FLOW}
    lacks = java_app.missing() if theirs else None
    if lacks:
        args.engines = [engine for engine in args.engines if engine not in theirs]
    elif theirs:
        progress("building the Java application")
        java_app.build()
    rounds = [asyncio.run(one_round(args, number)) for number in range(args.rounds)]
    wrong = [line for found in rounds for one in found.values() for line in one.wrong]
    table = table_of(rounds, args)
    if lacks:
        table.notes.append(f"Kafka Streams was not measured: {lacks}")
    publish(args, [table], load_settings().kafka)
    if wrong:
        sys.exit("\n".join(wrong[:20]))


if __name__ == "__main__":
    main()
