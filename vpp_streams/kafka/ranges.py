"""Reads ranges of topics, to an end that is known beforehand."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.clients import KafkaClients, consuming, no_topic
from vpp_streams.kafka.decode import Read, receive
from vpp_streams.kafka.topic import Topic

T = TypeVar("T")

STALL_S = 30.0
"""A read that receives nothing for this long, though there is more, is given up."""
_POLL_MS = 500


class RangeReader:
    """Reads ranges of some topics with one consumer."""

    def __init__(self, clients: KafkaClients, consumer: AIOKafkaConsumer) -> None:
        self._clients = clients
        self._consumer = consumer

    async def bounds(
        self, topic: Topic[Any], since_ms: int, partition: int = 0
    ) -> tuple[int, int, int]:
        """Offsets of the first record kept and the first since ``since_ms``, and the end offset."""
        tp = self._at(topic, partition)
        kept = (await self._consumer.beginning_offsets([tp]))[tp]
        end = (await self._consumer.end_offsets([tp]))[tp]
        since = (await self._consumer.offsets_for_times({tp: max(since_ms, 0)}))[tp]
        return kept, end if since is None else since.offset, end

    async def raw(
        self, topic: Topic[Any], first: int, end: int, partition: int = 0
    ) -> AsyncIterator[ConsumerRecord]:
        """Records with ``first`` <= offset < ``end``, not decoded.

        Raises `BrokerError` where nothing arrives for `STALL_S`.
        """
        tp = self._at(topic, partition)
        self._consumer.seek(tp, first)
        self._consumer.resume(tp)
        try:
            async for record in _up_to(self._consumer, {tp: end}):
                yield record
        finally:
            self._consumer.pause(tp)

    async def read(
        self, topic: Topic[T], first: int, end: int, partition: int = 0
    ) -> AsyncIterator[Read[T]]:
        """Records with ``first`` <= offset < ``end``; refused ones and removals are left out.

        Dead letters are written by the processes that follow the topic.
        """
        async for raw in self.raw(topic, first, end, partition):
            match receive(topic, raw):
                case Read() as read:
                    yield read

    def _at(self, topic: Topic[Any], partition: int) -> TopicPartition:
        return TopicPartition(self._clients.full(topic), partition)


@asynccontextmanager
async def reading(
    clients: KafkaClients, *topics: Topic[Any], **options: Any
) -> AsyncIterator[RangeReader]:
    """A reader of these topics during the body.

    Raises `BrokerError` where Kafka does not answer or has no such topic.
    """
    async with consuming(clients, **options) as consumer:
        existing = await consumer.topics()
        for topic in topics:
            if clients.full(topic) not in existing:
                raise no_topic(clients.settings, topic)
        # Assigned once, for all: a consumer that is stopped right after its assignment has changed
        # may wait for ever.
        partitions = [
            TopicPartition(clients.full(t), p) for t in topics for p in range(t.partitions)
        ]
        consumer.assign(partitions)
        consumer.pause(*partitions)  # only requested ranges are fetched
        yield RangeReader(clients, consumer)


async def read_between(
    clients: KafkaClients,
    topic: Topic[T],
    since_ms: int,
    until_ms: int | None = None,
    partitions: Collection[int] = (),
) -> AsyncIterator[Read[T]]:
    """Records written from ``since_ms`` on and before ``until_ms``, at most to the current end.

    Of ``partitions`` (empty = all), each in order; refused records and removals are left out.
    Raises `BrokerError` where there is no such topic, or nothing arrives for `STALL_S`.
    """
    async for raw in raw_between(clients, topic, since_ms, until_ms, partitions):
        match receive(topic, raw):
            case Read() as read:
                yield read


async def raw_between(
    clients: KafkaClients,
    topic: Topic[Any],
    since_ms: int,
    until_ms: int | None = None,
    partitions: Collection[int] = (),
) -> AsyncIterator[ConsumerRecord]:
    """As `read_between`, but not decoded: for callers that decode few of many records."""
    async with consuming(clients) as consumer:
        name = clients.full(topic)
        if name not in await consumer.topics():
            raise no_topic(clients.settings, topic)
        mine = [TopicPartition(name, p) for p in partitions or range(topic.partitions)]
        consumer.assign(mine)
        ends = await _offsets_at(consumer, mine, until_ms)
        for tp, first in (await _offsets_at(consumer, mine, since_ms)).items():
            consumer.seek(tp, first)
        async for raw in _up_to(consumer, ends):
            yield raw


async def records_since(
    clients: KafkaClients, topic: Topic[T], since_ms: int, partitions: Collection[int] = ()
) -> AsyncIterator[Read[T]]:
    """As `read_between`, from ``since_ms`` to the current end."""
    async for read in read_between(clients, topic, since_ms, None, partitions):
        yield read


async def _offsets_at(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], at_ms: int | None
) -> dict[TopicPartition, int]:
    """The first offset written at ``at_ms`` or later; the end where there is none, or no time."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    if at_ms is None:
        return ends
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(at_ms, 0)))
    return {tp: found[tp].offset if found[tp] else ends[tp] for tp in partitions}


async def _up_to(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord]:
    """Records from the consumer's positions up to, not including, these offsets."""
    loop = asyncio.get_running_loop()
    received_s = loop.time()
    while open_ := [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
        found = await consumer.getmany(*open_, timeout_ms=_POLL_MS)
        if found:
            received_s = loop.time()
        elif loop.time() - received_s > STALL_S:
            raise BrokerError(f"Kafka sent nothing of {open_[0].topic} for {STALL_S:.0f} s")
        for tp, records in found.items():
            for record in records:
                if record.offset < ends[tp]:
                    yield record
