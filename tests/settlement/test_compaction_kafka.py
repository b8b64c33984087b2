"""What owners decided while settlement was away is found in a topic that Kafka has compacted."""

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from schemas.preferences import Preferences
from tests.support.kafka_world import read_all, until
from vpp_streams import clock
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.domain.settle.leaving import OptOuts
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import topic_config
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.kafka.decode import decode
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
EAGER = {"segment.ms": "1", "min.cleanable.dirty.ratio": "0.0"}
"""Each record is a segment of its own, and compacted as soon as Kafka may."""


def decisions(now_ms: int) -> list[Preferences]:
    """A pause of two hours, ended after one; then a change that has nothing to do with it."""
    since_ms = now_ms - DAY_MS
    until_ms = since_ms + 2 * HOUR_MS
    return [
        Preferences(site_id="a", set_at_ms=since_ms, by="owner:a", paused_until_ms=until_ms),
        Preferences(site_id="a", set_at_ms=since_ms + HOUR_MS, by="owner:a"),
        Preferences(site_id="a", set_at_ms=now_ms, by="owner:a", backup_reserve=0.5),
    ]


async def write_at(producer: AIOKafkaProducer, name: str, records: list[Preferences]) -> None:
    """Write records as of the times at which they were decided."""
    for one in records:
        value = msgspec.json.encode(one)
        await producer.send_and_wait(name, value, b"a", 0, timestamp_ms=one.set_at_ms)


async def test_a_pause_that_began_and_ended_while_nobody_read_is_not_compacted_away(
    settings: Settings,
) -> None:
    clients, name = KafkaClients(settings), topics.PREFERENCES.full(settings.namespace)
    config = topic_config(topics.PREFERENCES, 1) | EAGER
    at_once = {key: value for key, value in config.items() if key != "min.compaction.lag.ms"}
    probe = f"{name}.probe"
    async with administering(clients) as admin:
        new = [NewTopic(n, 1, 1, topic_configs=c) for n, c in ((name, config), (probe, at_once))]
        await admin.create_topics(new)
    producer = clients.producer()
    await producer.start()

    async def compacted(times: int) -> None:
        """The same decisions, in the same order, in a topic that Kafka compacts at once."""

        async def first_are_gone() -> bool:
            left = [record.offset for record in await read_all(settings, probe)]
            return min(left) > times * len(decisions(0))

        await write_at(producer, probe, decisions(clock.now_ms()))
        await until(first_are_gone, "Kafka to compact what is written beside it")

    try:
        await write_at(producer, name, decisions(clock.now_ms()))
        for times in range(2):  # the second time, it has passed every topic once
            await compacted(times)
    finally:
        await producer.stop()
    known = OptOuts()
    for record in await read_all(settings, name):
        for one in known.decided(decode(topics.PREFERENCES, record.value), {}):
            known.apply(one)
    (pause,) = known.within((0, 2**50))
    assert pause.until_ms == pause.from_ms + HOUR_MS
