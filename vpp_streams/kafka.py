"""Kafka as every process here uses it: topics, one producer's settings, compacted readers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from schemas.assets import Site
from schemas.wire import UNREADABLE
from vpp_streams import topics
from vpp_streams.domain.registry import Registry
from vpp_streams.errors import BrokerError
from vpp_streams.settings import Settings

log = structlog.get_logger()


def no_broker(settings: Settings, error: object) -> BrokerError:
    """The one-line error for a broker that does not answer."""
    return BrokerError(
        f"no Kafka answers at {settings.kafka} ({error}); start one with `vpp broker start`,"
        " or point VPP_KAFKA at yours"
    )


def no_topic(settings: Settings, topic: topics.Topic) -> BrokerError:
    """The one-line error for a world that was never started."""
    return BrokerError(
        f"there is no topic {topic.full(settings.namespace)} at {settings.kafka}; VPP_NAMESPACE"
        " says in which world you are (`vpp up` lives in `demo`)"
    )


def new_producer(settings: Settings, linger_ms: int = 5) -> AIOKafkaProducer:
    """A producer whose records are safe when its future is done (acks=all, idempotent)."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=512 * 1024,
        max_request_size=4 * 1024 * 1024,
    )


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing and check the partitions of those that exist.

    Raises `BrokerError` where the broker does not answer or a topic has another shape.
    """
    async with _admin(settings) as admin:
        ours = (*topics.ALL, *topics.CHANGELOGS)
        wanted = {topic.full(settings.namespace): topic for topic in ours}
        missing = wanted.keys() - set(await admin.list_topics())
        await _create(admin, {name: wanted[name] for name in sorted(missing)}, settings)
        await _check_partitions(admin, wanted)


async def check_topics(settings: Settings) -> set[str]:
    """Names of the topics that are not there yet; changes nothing.

    Raises `BrokerError` where the broker does not answer or a topic has another shape.
    """
    async with _admin(settings) as admin:
        wanted = {topic.full(settings.namespace): topic for topic in topics.ALL}
        there = wanted.keys() & set(await admin.list_topics())
        await _check_partitions(admin, {name: wanted[name] for name in there})
        return wanted.keys() - there


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
    except (KafkaConnectionError, OSError) as error:
        await admin.close()
        raise no_broker(settings, error) from None
    try:
        yield admin
    finally:
        await admin.close()


async def _check_partitions(admin: AIOKafkaAdminClient, wanted: dict[str, topics.Topic]) -> None:
    # An empty list of names would describe every topic of the broker.
    for info in await admin.describe_topics(list(wanted)) if wanted else ():
        topic = wanted[info["topic"]]
        if len(info["partitions"]) != topic.partitions:
            raise BrokerError(
                f"topic {info['topic']} has {len(info['partitions'])} partitions, we need"
                f" {topic.partitions}; delete it or choose another VPP_NAMESPACE"
            )


async def _create(
    admin: AIOKafkaAdminClient, missing: dict[str, topics.Topic], settings: Settings
) -> None:
    new = [
        NewTopic(
            name,
            topic.partitions,
            settings.replication,
            topic_configs={
                "cleanup.policy": topic.keep,
                "max.message.bytes": str(4 * 1024 * 1024),
                **({"retention.ms": str(topic.retention_ms)} if topic.keep == "delete" else {}),
            },
        )
        for name, topic in missing.items()
    ]
    if not new:
        return
    try:
        answer = await admin.create_topics(new)
    except KafkaError as error:
        raise BrokerError(f"cannot create topics: {error}") from None
    for name, code, *message in answer.topic_errors:
        # Another process may have created it first.
        if code not in (NoError.errno, TopicAlreadyExistsError.errno):
            raise BrokerError(
                f"cannot create topic {name}: {message[0] or for_code(code).__name__}"
            )
    # The broker answers before every topic has a leader; a consumer that comes too early
    # would wait for its next metadata refresh.
    while True:
        described = await admin.describe_topics(list(missing))
        if all(d["error_code"] == 0 and d["partitions"] for d in described):
            return
        await asyncio.sleep(0.05)


async def read_to_end_then_follow(
    settings: Settings,
    topic: topics.Topic,
    on_record: Callable[[bytes | None, bytes | None, int], None],
    caught_up: asyncio.Event,
    since_ms: int = 0,
) -> None:
    """Hand every record (key, value, offset) of a topic to ``on_record``, for ever.

    ``caught_up`` is set once all that was there at the start has been handed over. With
    ``since_ms``, records that were written before are left out. Cancel to stop.
    """

    def apply(record: ConsumerRecord) -> None:
        on_record(record.key, record.value, record.offset)

    await follow_whole_records(settings, topic, apply, caught_up, since_ms)


async def follow_all(
    group: asyncio.TaskGroup,
    settings: Settings,
    since_ms: Mapping[topics.Topic, int],
    reader: Callable[[topics.Topic], Callable[[bytes | None, bytes | None, int], None]],
) -> None:
    """Follow topics in tasks of ``group``, each from its time on, as `read_to_end_then_follow`.

    Returns once all that was there at the start has been handed to the topics' readers.
    """
    caught_up = {topic: asyncio.Event() for topic in since_ms}
    for topic, since in since_ms.items():
        follow = read_to_end_then_follow(settings, topic, reader(topic), caught_up[topic], since)
        group.create_task(follow)
    for known in caught_up.values():
        await known.wait()


async def follow_whole_records(
    settings: Settings,
    topic: topics.Topic,
    on_record: Callable[[ConsumerRecord], None],
    caught_up: asyncio.Event,
    since_ms: int = 0,
) -> None:
    """As `read_to_end_then_follow`, with all that Kafka knows of a record."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        await consumer.start()
    except (KafkaConnectionError, OSError) as error:
        raise no_broker(settings, error) from None
    try:
        partitions = [
            TopicPartition(topic.full(settings.namespace), p) for p in range(topic.partitions)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        if since_ms:
            begins = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
            for tp in partitions:
                consumer.seek(tp, begins[tp].offset if begins[tp] else ends[tp])
        else:
            await consumer.seek_to_beginning(*partitions)
        while True:
            if not caught_up.is_set():
                positions = [await consumer.position(tp) >= ends[tp] for tp in partitions]
                if all(positions):
                    caught_up.set()
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    on_record(record)
    finally:
        await consumer.stop()


@asynccontextmanager
async def following(
    settings: Settings,
    topic: topics.Topic,
    on_record: Callable[[bytes | None, bytes | None, int], None],
) -> AsyncIterator[asyncio.Task[None]]:
    """Run `read_to_end_then_follow` beside the body, which starts once it has caught up."""
    caught_up = asyncio.Event()
    task = asyncio.create_task(read_to_end_then_follow(settings, topic, on_record, caught_up))
    waiter = asyncio.create_task(caught_up.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task  # it only ends by an error
        yield task
    finally:
        waiter.cancel()
        task.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)


async def records_since(
    settings: Settings, topic: topics.Topic, since_ms: int, partitions: Collection[int] = ()
) -> AsyncIterator[ConsumerRecord]:
    """Records written from a time on (all partitions unless told), to their end as it is now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    try:
        await consumer.start()
    except (KafkaConnectionError, OSError) as error:
        raise no_broker(settings, error) from None
    try:
        name = topic.full(settings.namespace)
        if name not in await consumer.topics():
            raise no_topic(settings, topic)
        mine = [TopicPartition(name, p) for p in partitions or range(topic.partitions)]
        consumer.assign(mine)
        begins = await consumer.offsets_for_times(dict.fromkeys(mine, since_ms))
        ends = await consumer.end_offsets(mine)
        for tp in mine:
            consumer.seek(tp, begins[tp].offset if begins[tp] else ends[tp])
        while any([await consumer.position(tp) < ends[tp] for tp in mine]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record
    finally:
        await consumer.stop()


async def send_one(settings: Settings, topic: topics.Topic, key: bytes, value: bytes) -> None:
    """Write one record to a topic of one partition. Raises `BrokerError` where it cannot."""
    producer = new_producer(settings)
    try:
        await producer.start()
    except (KafkaConnectionError, OSError) as error:
        raise no_broker(settings, error) from None
    try:
        await producer.send_and_wait(topic.full(settings.namespace), value, key=key, partition=0)
    except UnknownTopicOrPartitionError:
        raise no_topic(settings, topic) from None
    finally:
        await producer.stop()


def apply_asset(registry: Registry, value: bytes | None, key: bytes | None = None) -> None:
    """Apply one record of topic ``assets``; one that cannot be read is logged and left out.

    A tombstone (no value) removes the site that its key names.
    """
    if value is None:
        registry.remove((key or b"").decode(errors="replace"))
        return
    try:
        registry.apply(msgspec.json.decode(value, type=Site))
    except UNREADABLE as error:
        log.warning("assets: a record that cannot be read was left out", error=str(error))
