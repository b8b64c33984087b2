"""Site windows are published in frames, each partition's in order, and only while it is ours."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest
from aiokafka.errors import KafkaTimeoutError

from agents.context import AgentContext
from agents.window_publisher import WindowsPublisher
from schemas.window_frames import windows_of
from schemas.windows import SiteWindow
from tests.support.fleet_partition import partition, run, stream
from tests.support.memory_kafka import MemoryKafka
from vpp_streams.domain.fleet import window_batches
from vpp_streams.domain.fleet.site_sums import SiteSums
from vpp_streams.domain.fleet.window_batches import records_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

JOBS = [sums for out in run(partition(), stream(3)) for sums in out.sums]


class World:
    """A publisher whose producer keeps what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(window_batches, "ROWS_AT_ONCE", 2)
        self.kafka = MemoryKafka(lambda: 0)
        health = HealthReporter("fleet")
        context = AgentContext(
            settings=Settings(),
            clients=KafkaClients(Settings()),
            registry=Registry(),
            health=health,
            letters=DeadLetters(health.process_id, health.counters),
            now_ms=lambda: 0,
            producer=self.kafka,
        )
        self.publisher = WindowsPublisher(context)

    async def publish(self, *waited_for: Awaitable[None]) -> None:
        """Run the publisher until these are done."""
        running = asyncio.create_task(self.publisher.run())
        try:
            await asyncio.gather(*waited_for)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def published(self) -> list[SiteWindow]:
        return [w for record in self.kafka.read(topics.SITE_WINDOWS) for w in windows_of(record)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def ours() -> bool:
    return True


async def test_every_window_is_published_in_order_in_frames_of_some_sites(world: World) -> None:
    await world.publish(*[world.publisher.publish(sums, 0, ours) for sums in JOBS])
    assert world.published() == [window for sums in JOBS for window in records_of(sums)]
    assert len(world.kafka.records) < len(world.published())


async def test_what_is_no_longer_ours_is_not_published(world: World) -> None:
    job = max(JOBS, key=lambda sums: len(sums.sites))
    looks = 0

    def once() -> bool:
        nonlocal looks
        looks += 1
        return looks == 1

    await world.publish(world.publisher.publish(job, 0, once))
    assert world.published() == list(records_of(job))[:2]


async def test_a_window_that_readers_refuse_is_published_alone(world: World) -> None:
    """Its readers make a dead letter of it, and of nothing else."""
    job: SiteSums = max(JOBS, key=lambda sums: len(sums.sites))
    job.max_w[0, 0] = float("inf")
    await world.publish(world.publisher.publish(job, 0, ours))
    framed = [bool(record.headers) for record in world.kafka.records]
    assert framed.count(False) == 1
    alone = world.kafka.records[framed.index(False)]
    site_id = job.rows.site_ids[job.sites[0]]
    assert f'"site_id":"{site_id}"'.encode() in (alone.value or b"")
    assert sum(framed) == len(framed) - 1 > 0


async def test_an_error_of_kafka_reaches_who_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*_args: object, **_options: object) -> asyncio.Future[object]:
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(KafkaTimeoutError())
        return failed

    monkeypatch.setattr(world.kafka, "send", send)
    with pytest.raises(KafkaTimeoutError):
        await world.publish(world.publisher.publish(JOBS[0], 0, ours))
