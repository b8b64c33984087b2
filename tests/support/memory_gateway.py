"""A real gateway on a free port of loopback, whose Kafka is a memory that stores all at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

from aiokafka.structs import RecordMetadata, TopicPartition

from schemas.assets import Device, Site
from schemas.telemetry import RawLine
from tests.support.raw_records import readings_of
from vpp_streams.domain.registry.demo_tokens import token_hash
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.server import ENGINES, Gateway
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

DEVICE_ID, TOKEN = "home-1", "secret"
SITE = Site("site-1", "north", (Device(DEVICE_ID, "powerwall", token_sha256=token_hash(TOKEN)),))


class MemoryOutlet:
    """Answers for every record at once, with a rising offset, and keeps it."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []
        self.readings: list[RawLine] = []
        """Live ones, in whichever form they came."""
        self._offsets = count(1)
        self._happened = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is checked after each record."""
        while not condition():
            self._happened.clear()
            await self._happened.wait()

    async def send(
        self,
        topic: Topic[Any],
        record: Any,
        *,
        headers: Mapping[str, bytes] | None = None,
        **_options: Any,
    ) -> asyncio.Future[RecordMetadata]:
        self.records.append((topic.name, record))
        if topic in topics.LIVE_RAW:
            self.readings += readings_of(record, (headers or {}).items())
        self._happened.set()
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        at = TopicPartition(topic.name, 0)
        future.set_result(RecordMetadata(topic.name, 0, at, next(self._offsets), 0, 0, 0))
        return future

    async def write(self, topic: Topic[Any], record: Any) -> RecordMetadata:
        return await (await self.send(topic, record))


@asynccontextmanager
async def gateway_in_memory(
    limits: Limits, *, engine: str = "own"
) -> AsyncIterator[tuple[Gateway, MemoryOutlet]]:
    """Run a gateway that has one device; its port is ``gateway.port``."""
    outlet, settings = MemoryOutlet(), Settings(gateway_port=0, flush_ms=250)
    health = HealthReporter("gateway")
    gateway = Gateway(settings, 0, limits, cast(Outlet, outlet), health)
    gateway.registry.apply(SITE)
    listening = ENGINES[engine](gateway)
    await listening.listen(settings, None)
    gateway.port = listening.port
    works = (gateway.framer.run(), gateway.sweep_for_ever(), gateway.outbox.run())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield gateway, outlet
    finally:
        await gateway.drain(listening)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
