"""On three brokers, of which one is killed and one freezes, every reading counts once."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.exact_readings import (
    ReadingsWorld,
    check_rejected,
    check_windows,
    raw_frames,
    readings,
)
from tests.support.kafka_groups import wait_for_group
from tests.support.kafka_world import until, workers
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, administering, consuming, producing
from vpp_streams.local.three_brokers import ThreeBrokers, three_brokers
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
SILENT_MS = 3000
"""A third of Kafka's default: the tests wait for it."""
NAME = topics.COMMANDS.full("three")
PARTITIONS = [TopicPartition(NAME, p) for p in range(topics.COMMANDS.partitions)]


async def test_what_kafka_took_is_there_once_after_a_broker_was_killed(tmp_path: Path) -> None:
    async with three_brokers(tmp_path, SILENT_MS) as cluster:
        clients = KafkaClients(Settings(kafka=cluster.bootstrap, namespace="three"))
        await ensure_topics(clients)
        await _assert_two_of_three_must_have_a_record(clients)
        async with producing(clients) as producer:
            before = await _send(producer, range(200))
            await asyncio.gather(*before)
            on_the_way = await _send(producer, range(200, 400))
            cluster.kill(2)
            on_the_way += await _send(producer, range(400, 600))
            await asyncio.gather(*on_the_way)
        assert await _count(clients) == Counter({b"%d" % n: 1 for n in range(600)})


async def _send(producer: AIOKafkaProducer, numbers: range) -> list[asyncio.Future[object]]:
    """Numbered records, spread over all partitions; each future is done once Kafka has it."""
    return [await producer.send(NAME, b"%d" % n, partition=n % len(PARTITIONS)) for n in numbers]


async def _count(clients: KafkaClients) -> Counter[bytes]:
    """How often each record is in the topic."""
    found: Counter[bytes] = Counter()
    async with consuming(clients) as consumer:
        consumer.assign(PARTITIONS)
        ends = await consumer.end_offsets(PARTITIONS)
        await consumer.seek_to_beginning(*PARTITIONS)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.update(record.value for record in records)
    return found


async def _assert_two_of_three_must_have_a_record(clients: KafkaClients) -> None:
    async with administering(clients) as admin:
        (described,) = await admin.describe_topics([NAME])
        assert {len(p["replicas"]) for p in described["partitions"]} == {3}
        resource = ConfigResource(ConfigResourceType.TOPIC, NAME, {"min.insync.replicas": ""})
        (answer,) = await admin.describe_configs([resource])
    values = {row[0]: row[1] for row in answer.resources[0][4]}
    assert values["min.insync.replicas"] == "2"


@pytest.mark.nightly
async def test_every_reading_counts_once_while_a_broker_is_killed_and_one_freezes(
    tmp_path: Path,
) -> None:
    rng = random.Random(7)
    arrivals = readings(rng, 120)
    frames, malformed = raw_frames(arrivals, rng)
    thirds = [frames[n * len(frames) // 3 : (n + 1) * len(frames) // 3] for n in range(3)]
    async with three_brokers(tmp_path / "kafka", SILENT_MS) as cluster:
        settings = Settings(kafka=cluster.bootstrap, namespace="three", state_dir=tmp_path)
        await ensure_topics(KafkaClients(settings))
        world = ReadingsWorld(settings)
        await world.producer.start()
        try:
            with workers(settings, tmp_path) as start:
                await world.import_assets()
                start("ingest")
                start("fleet")
                await world.feed(thirds[0])
                await _all_counted(settings)
                cluster.kill(2)
                await world.feed(thirds[1])
                await _all_counted(settings)
                await _back(cluster, settings, 2)
                cluster.freeze(3)
                await world.feed(thirds[2])
                await _all_counted(settings)
                cluster.thaw(3)
                await world.close_windows()
                await wait_for_group(settings, "fleet", topics.TELEMETRY)
                check_windows(await world.windows(), arrivals)
                check_rejected(await world.rejected(), malformed)
        finally:
            await world.producer.stop()


async def _all_counted(settings: Settings) -> None:
    """Wait until both roles have committed all that was fed."""
    await wait_for_group(settings, "ingest", *topics.LIVE_RAW)
    await wait_for_group(settings, "fleet", topics.TELEMETRY)


async def _back(cluster: ThreeBrokers, settings: Settings, node: int) -> None:
    """Start a broker again, and wait until it has all that the others have."""
    cluster.start(node)
    names = [topic.full(settings.namespace) for topic in (*topics.ALL, *topics.INTERNAL)]

    async def in_sync() -> bool:
        async with administering(KafkaClients(settings)) as admin:
            described = await admin.describe_topics(names)
        return all(len(p["isr"]) == 3 for d in described for p in d["partitions"])

    await until(in_sync, "the killed broker to be in sync again")
