"""Names of before, for those who are not converted yet; each only calls what replaced it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.assets import Site
from schemas.wire import UNREADABLE
from vpp_streams.domain.registry import Registry
from vpp_streams.kafka import admin
from vpp_streams.kafka.clients import KafkaClients, consuming, producing
from vpp_streams.settings import Settings
from vpp_streams.topics import Topic

log = structlog.get_logger()
OnRecord = Callable[[bytes | None, bytes | None, int], None]


def new_producer(settings: Settings, linger_ms: int = 5) -> AIOKafkaProducer:
    """See `KafkaClients.producer`."""
    return KafkaClients(settings).producer(linger_ms)


async def ensure_topics(settings: Settings) -> None:
    """See `admin.ensure_topics`."""
    await admin.ensure_topics(KafkaClients(settings))


async def read_to_end_then_follow(
    settings: Settings,
    topic: Topic[Any],
    on_record: OnRecord,
    caught_up: asyncio.Event,
    since_ms: int = 0,
) -> None:
    """See `follower.Follower.follow`; hands over what is on the broker."""
    async with consuming(KafkaClients(settings)) as consumer:
        partitions = [
            TopicPartition(topic.full(settings.namespace), p) for p in range(topic.partitions)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        for tp in partitions:
            consumer.seek(tp, begins[tp].offset if begins[tp] else ends[tp])
        while True:
            if not caught_up.is_set():
                positions = [await consumer.position(tp) >= ends[tp] for tp in partitions]
                if all(positions):
                    caught_up.set()
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    on_record(record.key, record.value, record.offset)


@asynccontextmanager
async def following(
    settings: Settings, topic: Topic[Any], on_record: OnRecord
) -> AsyncIterator[asyncio.Task[None]]:
    """See `follower.Follower.following`."""
    caught_up = asyncio.Event()
    task = asyncio.create_task(read_to_end_then_follow(settings, topic, on_record, caught_up))
    waiter = asyncio.create_task(caught_up.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield task
    finally:
        waiter.cancel()
        task.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)


async def send_one(settings: Settings, topic: Topic[Any], key: bytes, value: bytes) -> None:
    """See `outlet.Outlet`."""
    async with producing(KafkaClients(settings)) as producer:
        await producer.send_and_wait(topic.full(settings.namespace), value, key=key, partition=0)


def apply_asset(registry: Registry, value: bytes | None) -> None:
    """Apply one record of topic ``assets``; one that cannot be read is logged and left out."""
    if value is None:
        return
    try:
        registry.apply(msgspec.json.decode(value, type=Site))
    except UNREADABLE as error:
        log.warning("assets: a record that cannot be read was left out", error=str(error))
