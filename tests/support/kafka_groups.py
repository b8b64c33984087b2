"""How far a role's consumer group has come on the test broker, and waiting for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    NodeNotReadyError,
    RequestTimedOutError,
)

from tests.support.kafka_world import until
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings


class GroupOffsets:
    """How far a role's group is in some topics."""

    def __init__(
        self,
        settings: Settings,
        role: str,
        topics: Sequence[Topic],
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
    ) -> None:
        self._group = f"{settings.namespace}.{role}"
        self._admin = admin
        self._consumer = consumer
        self._partitions = [
            TopicPartition(t.full(settings.namespace), p)
            for t in topics
            for p in range(t.partitions)
        ]

    async def ends(self) -> list[int]:
        """The end offset of each partition."""
        ends = await self._consumer.end_offsets(self._partitions)
        return [ends[tp] for tp in self._partitions]

    async def committed(self) -> list[int]:
        """The committed offset of each partition; 0 where the group has none, or none is known.

        None is known before a group has met on this broker, and while the one that knows is away.
        """
        try:
            found = await self._admin.list_consumer_group_offsets(self._group)
        except (GroupCoordinatorNotAvailableError, NodeNotReadyError, RequestTimedOutError):
            found = {}
        return [max(found[tp].offset, 0) if tp in found else 0 for tp in self._partitions]


@asynccontextmanager
async def group_offsets(
    settings: Settings, role: str, *topics: Topic
) -> AsyncIterator[GroupOffsets]:
    """The offsets of a role's group, which can be asked for many times."""
    clients = KafkaClients(settings)
    admin, consumer = clients.admin(request_timeout_ms=10_000), clients.consumer()
    await admin.start()
    await consumer.start()
    try:
        yield GroupOffsets(settings, role, topics, admin, consumer)
    finally:
        await consumer.stop()
        await admin.close()


async def wait_for_group(settings: Settings, role: str, *topics: Topic) -> None:
    """Wait until a role has committed all that is in its topics now (heartbeats go on)."""
    async with group_offsets(settings, role, *topics) as offsets:
        ends = await offsets.ends()

        async def done() -> bool:
            committed = await offsets.committed()
            return all(now >= end for now, end in zip(committed, ends, strict=True))

        await until(done, f"{role} to be done with {', '.join(t.name for t in topics)}")
