"""Workers fed from Kafka: readings per CPU second of the fleet role, and of an idiomatic app."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaProducer

from benchmarks import idiomatic_faust
from benchmarks.homes import Homes
from benchmarks.watch import watching
from benchmarks.workers import end, spawn, workers
from benchmarks.world import committed, import_sites, make_topics, world
from schemas.encoding import encode_frame, encode_json, frame_headers
from schemas.telemetry import SCHEMA_NAME
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings, load_settings

PATIENCE_S = 300.0
ROWS = 1000


async def fed(
    feed: Callable[[int], Awaitable[int]],
    cpu: Callable[[], float],
    until: Callable[[int], Awaitable[None]],
    seconds: int,
) -> float:
    """Readings per CPU second of a worker; the first second creates its rows and is not counted."""
    fed_ = await feed(0)
    await until(fed_)
    before, warm = cpu(), fed_
    for second in range(1, seconds + 1):
        fed_ += await feed(second)
    await until(fed_)
    return (fed_ - warm) / (cpu() - before)


async def real_worker(homes: Homes, readings: int) -> float:
    """Readings per CPU second of `vpp worker fleet`."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(world(settings))
        await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        (child,) = stack.enter_context(workers(settings, {"fleet": 1}))
        watch = await stack.enter_async_context(watching(settings))

        async def feed(second: int) -> int:
            return await write_frames(producer, settings, homes, second)

        async def until(applied: int) -> None:
            if not await watch.until(
                lambda: watch.counter("fleet", "readings") >= applied, PATIENCE_S
            ):
                raise RuntimeError(f"the fleet worker did not apply {applied:,} readings in time")

        return await fed(feed, lambda: child.usage().cpu_s, until, max(readings // homes.n, 1))


async def write_frames(
    producer: AIOKafkaProducer, settings: Settings, homes: Homes, second: int
) -> int:
    """A second of canonical frames, as ingest writes them."""
    name, headers = topics.TELEMETRY.full(settings.namespace), frame_headers(SCHEMA_NAME, "b", "0")
    sent = [
        await producer.send(
            name, encode_frame(batch), partition=partition, headers=list(headers.items())
        )
        for partition, batch in homes.by_partition(second, ROWS)
    ]
    await asyncio.gather(*sent)
    return homes.n


async def idiomatic_worker(homes: Homes, readings: int) -> float:
    """Readings per CPU second of the idiomatic Faust app."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    name = f"{settings.namespace}.{idiomatic_faust.TOPIC}"
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(world(settings))
        await make_topics(settings, name, *(f"{name}-{t}-changelog" for t in ("twins", "energies")))
        logs = Path(stack.enter_context(TemporaryDirectory()))
        child = spawn("idiomatic", ("benchmarks.idiomatic_faust", "worker"), settings, logs)
        stack.callback(lambda: end([child]))

        async def feed(second: int) -> int:
            sent = [
                await producer.send(name, encode_json(reading), key=site_id.encode(),
                                    partition=int(partition))
                for site_id, partition, reading in homes.one_by_one(second)
            ]  # fmt: skip
            await asyncio.gather(*sent)
            return homes.n

        async def until(done: int) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while await committed(settings, name, name) < done:
                child.usage()  # raises if it has ended
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the idiomatic worker did not do {done:,} in time")
                await asyncio.sleep(0.5)

        return await fed(feed, lambda: child.usage().cpu_s, until, max(readings // homes.n, 1))
