"""Creates the topics that are missing on the broker, and checks those that exist."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import MAX_RECORD_BYTES, KafkaClients, administering
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

LEADERS_WAIT_S = 30.0
"""How long new topics may be without a leader, s."""

ANOTHER_BROKER_S = 30.0
"""How long an attempt is repeated while brokers that are known do not answer, s."""
NO_LEADER = -1
"""What Kafka gives as the leader of a partition that has none."""
_NOT_YET = (UnknownTopicOrPartitionError.errno, LeaderNotAvailableError.errno)
_SILENT = (NodeNotReadyError, KafkaConnectionError, RequestTimedOutError)
T = TypeVar("T")
REPLICAS = 3
"""Replicas of a topic on a cluster: with two of them in sync, one broker may fail."""

_Wanted = dict[str, Topic[Any]]


async def ensure_topics(clients: KafkaClients) -> None:
    """Create the topics that are missing and check the partitions of those that exist.

    Raises `BrokerError` where the broker does not answer or a topic has other partitions.
    """
    wanted = {clients.full(topic): topic for topic in (*topics.ALL, *topics.INTERNAL)}

    async def ensure(admin: AIOKafkaAdminClient) -> None:
        missing = wanted.keys() - set(await admin.list_topics())
        new = {name: wanted[name] for name in sorted(missing)}
        if new:
            await _create(admin, new, await _replication(admin, clients.settings))
        await _check_partitions(admin, wanted)

    await _with_any_broker(clients, ensure)


async def check_topics(clients: KafkaClients) -> set[str]:
    """Full names of the topics that do not exist yet; changes nothing.

    Raises `BrokerError` where the broker does not answer or a topic has other partitions.
    """
    wanted = {clients.full(topic): topic for topic in topics.ALL}

    async def check(admin: AIOKafkaAdminClient) -> set[str]:
        existing = wanted.keys() & set(await admin.list_topics())
        await _check_partitions(admin, {name: wanted[name] for name in existing})
        return wanted.keys() - existing

    return await _with_any_broker(clients, check)


async def _with_any_broker(
    clients: KafkaClients, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]
) -> T:
    """Repeat work while a broker does not answer: the next attempt may choose another one."""
    loop = asyncio.get_running_loop()
    async with administering(clients) as admin:
        give_up_s = loop.time() + ANOTHER_BROKER_S
        while True:
            try:
                return await work(admin)
            except _SILENT as error:
                if loop.time() > give_up_s:
                    raise BrokerError(
                        f"Kafka at {clients.settings.kafka} does not answer any more ({error})"
                    ) from None
            await asyncio.sleep(0.2)


def topic_config(topic: Topic[Any], replication: int) -> dict[str, str]:
    """The broker's settings for a topic."""
    config = {"cleanup.policy": topic.keep, "max.message.bytes": str(MAX_RECORD_BYTES)}
    if "delete" in topic.keep:
        config["retention.ms"] = str(topic.retention_ms)
    if topic.uncompacted_ms:
        config["min.compaction.lag.ms"] = str(topic.uncompacted_ms)
    if topic.timed_by_broker:
        config["message.timestamp.type"] = "LogAppendTime"
    if replication >= REPLICAS:
        # With acks=all: a record that one broker alone has is not safe yet.
        config["min.insync.replicas"] = "2"
    return config


async def _replication(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    """Replicas of new topics: as set; else three, where as many brokers can have one each."""
    if settings.kafka_replication is not None:
        return settings.kafka_replication
    brokers = (await admin.describe_cluster())["brokers"]
    return REPLICAS if len(brokers) >= REPLICAS else 1


async def _check_partitions(admin: AIOKafkaAdminClient, wanted: _Wanted) -> None:
    for info in await _described(admin, list(wanted)):
        topic = wanted[info["topic"]]
        if len(info["partitions"]) != topic.partitions:
            raise BrokerError(
                f"topic {info['topic']} has {len(info['partitions'])} partitions, we need"
                f" {topic.partitions}; delete it or choose another VPP_NAMESPACE"
            )


async def _create(admin: AIOKafkaAdminClient, missing: _Wanted, replication: int) -> None:
    new = [
        NewTopic(
            name, topic.partitions, replication, topic_configs=topic_config(topic, replication)
        )
        for name, topic in missing.items()
    ]
    try:
        answer = await admin.create_topics(new)
    except _SILENT:
        raise
    except KafkaError as error:
        raise BrokerError(f"cannot create topics: {error}") from None
    for name, code, *message in answer.topic_errors:
        # Another process may have created it first.
        if code not in (NoError.errno, TopicAlreadyExistsError.errno):
            raise BrokerError(
                f"cannot create topic {name}: {message[0] or for_code(code).__name__}"
            )
    await _described(admin, list(missing))


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> list[dict[str, Any]]:
    """What the cluster says of topics, once each has partitions and every partition a leader.

    Each request may reach another broker. A broker hears of a new topic a moment after the one
    that created it, and until then describes it as unknown and without partitions. A consumer
    that starts before there are leaders would wait for its next metadata refresh.
    """
    if not names:  # the broker would describe every topic that it has
        return []
    try:
        async with asyncio.timeout(LEADERS_WAIT_S):
            while True:
                described: list[dict[str, Any]] = await admin.describe_topics(names)
                if all(_is_led(info) for info in described):
                    return described
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BrokerError(
            f"some topics ({names[0]} ...) have no leader after {LEADERS_WAIT_S:.0f} s;"
            " does every broker run?"
        ) from None


def _is_led(info: dict[str, Any]) -> bool:
    """Whether a topic is known to the broker and led. Raises `BrokerError` for other errors."""
    code = info["error_code"]
    if code not in (NoError.errno, *_NOT_YET):
        raise BrokerError(f"cannot read topic {info['topic']}: {for_code(code).__name__}")
    partitions = info["partitions"]
    return bool(partitions) and all(p["leader"] != NO_LEADER for p in partitions)
