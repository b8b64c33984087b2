"""Two instances of a role on a real Kafka: one works, and the other continues, in its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from schemas.duty import Duty as DutyReport
from schemas.grid import FrequencyEvent
from tests.support.waiting import PATIENCE_S
from vpp_streams.errors import LostDutyError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.fenced import start_fenced
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.ranges import read_between
from vpp_streams.process.background import plainly
from vpp_streams.process.connection import connected
from vpp_streams.process.duty import Duty
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


def event(number: int) -> FrequencyEvent:
    return FrequencyEvent(region="north", hz=50.0, at_ms=number)


@dataclass
class Instance:
    duty: Duty
    running: asyncio.Task[None]
    read: list[int]

    async def begun(self) -> None:
        begin = asyncio.ensure_future(self.duty.begin())
        await asyncio.wait({begin, self.running}, return_when="FIRST_COMPLETED", timeout=PATIENCE_S)
        assert begin.done(), "it never began"

    async def write(self, number: int) -> None:
        await self.duty.outlet.write(topics.GRID_FREQUENCY, event(number))

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@asynccontextmanager
async def instance(settings: Settings, name: str) -> AsyncIterator[Instance]:
    clients, health, read = KafkaClients(settings), HealthReporter("tester"), list[int]()
    health.process_id = name
    async with (
        connected(clients, health) as kafka,
        kafka.follower.following(
            Feed(topics.GRID_FREQUENCY, lambda one: read.append(one.record.at_ms))
        ),
    ):
        duty = Duty("tester", clients, kafka.follower, health)
        found = Instance(duty, asyncio.create_task(plainly(duty.run())), read)
        try:
            yield found
        finally:
            await found.end()


async def reports(settings: Settings) -> list[DutyReport]:
    return [r.record async for r in read_between(KafkaClients(settings), topics.DUTY, 0)]


async def test_the_standby_continues_when_the_other_hands_over(topics_ready: Settings) -> None:
    async with instance(topics_ready, "a") as first, instance(topics_ready, "b") as second:
        await first.begun()
        standby = asyncio.create_task(second.begun())
        for number in range(20):
            await first.write(number)
        assert not standby.done()
        with pytest.raises(RuntimeError, match="not on duty"):
            await second.write(99)
        await first.end()
        await standby
        assert second.read == list(range(20)), "it begins with all that was written before"
        await second.write(20)
    found = await reports(topics_ready)
    assert [(r.process_id, r.term) for r in found if r.released] == [("a", 1), ("b", 2)]


async def test_one_that_is_replaced_writes_nothing_more(topics_ready: Settings) -> None:
    """The other starts its producer while this one reports, as after a pause it did not notice."""
    clients = KafkaClients(topics_ready)
    async with instance(topics_ready, "a") as first:
        await first.begun()
        await first.write(1)
        successor = await start_fenced(clients, f"{topics_ready.namespace}.tester.duty")
        try:
            with pytest.raises(LostDutyError):
                await first.write(2)
            with pytest.raises(LostDutyError):
                await first.duty.confirm()
            await Outlet(successor, topics_ready.namespace).write(topics.GRID_FREQUENCY, event(3))
        finally:
            await successor.close()
        with pytest.raises(LostDutyError, match="standby"):
            await asyncio.wait_for(first.running, PATIENCE_S)
    written = [r.record.at_ms async for r in read_between(clients, topics.GRID_FREQUENCY, 0)]
    assert written == [1, 3]
