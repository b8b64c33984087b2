"""Dead letters on a real Kafka: each record's once, whoever refuses it how often."""

import asyncio
from typing import Any

import pytest

from schemas.rejected import RejectedRecord
from tests.support.waiting import PATIENCE_S
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.ranges import read_between
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
DEEP = b'{"a":' + b"[" * 2000


async def letters(clients: KafkaClients) -> list[RejectedRecord]:
    return [read.record async for read in read_between(clients, topics.RECORDS_REJECTED, 0)]


async def follow_until_refused(clients: KafkaClients, role: str, applied: list[Any]) -> None:
    """A process that reads the topic from its beginning, and ends when its letters are out."""
    health = HealthReporter(role)

    def note(read: Read[Any]) -> None:
        applied.append(read.record)

    async with (
        connected(clients, health) as kafka,
        kafka.follower.following(Feed(topics.GRID_FREQUENCY, note)),
    ):
        assert health.counters["records_rejected"] == 2
        async with asyncio.timeout(PATIENCE_S):
            await kafka.letters.settled()


async def test_a_refused_record_has_one_dead_letter_also_when_it_is_read_again(
    topics_ready: Settings,
) -> None:
    clients = KafkaClients(topics_ready)
    name = clients.full(topics.GRID_FREQUENCY)
    producer = clients.producer()
    await producer.start()
    try:
        for value in (DEEP, b'{"region":"north","hz":1,"at_ms":1}', GOOD):
            await producer.send_and_wait(name, value, key=b"north", partition=0)
    finally:
        await producer.stop()
    applied: list[Any] = []
    await follow_until_refused(clients, "first", applied)
    await follow_until_refused(clients, "first-again", applied)
    found = await letters(clients)
    assert [(m.rejected_id, m.reason) for m in found] == [
        ("grid.frequency-0-0", "too_deep"),
        ("grid.frequency-0-1", "invalid"),
    ]
    assert all(m.process.startswith("first-") for m in found)
    assert [event.region for event in applied] == ["north", "north"]


GOOD = b'{"region":"north","hz":50.0,"at_ms":1}'
