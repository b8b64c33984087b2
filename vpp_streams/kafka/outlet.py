"""The one way out: writes records with the key, partition and encoding of their topic."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata

from schemas.encoding import encode_frame, encode_json
from schemas.entry_frames import encode_entries
from schemas.window_frames import HEADERS as WINDOW_HEADERS
from schemas.window_frames import encode_windows
from vpp_streams.errors import BrokerError, RefusedError
from vpp_streams.kafka import tracing
from vpp_streams.kafka.clients import KafkaClients, no_topic, producing
from vpp_streams.kafka.echo import Echo
from vpp_streams.kafka.topic import Topic

T = TypeVar("T")


class Outlet:
    """Writes records with one started producer."""

    def __init__(
        self, producer: AIOKafkaProducer, namespace: str, echo: Echo | None = None
    ) -> None:
        self._producer = producer
        self._namespace = namespace
        self._echo = echo

    async def send(
        self,
        topic: Topic[T],
        record: T,
        *,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> "Sent":
        """Hand a record to the producer; the future is done once Kafka has it.

        ``partition`` is for topics whose writer chooses it. Raises `RefusedError` for a partition
        that the topic does not have, `aiokafka.errors.KafkaError` where Kafka accepts nothing.
        """
        return await self._send(topic, record, encode(topic, record), partition, headers)

    async def send_to_each(self, topics: Iterable[Topic[T]], record: T) -> None:
        """Hand a record to the producer for several topics, in order, encoded once.

        Raises as `send`.
        """
        encoded: dict[Any, bytes] = {}
        for topic in topics:
            if topic.contract not in encoded:
                encoded[topic.contract] = encode(topic, record)
            await self._send(topic, record, encoded[topic.contract], None, None)

    async def _send(
        self,
        topic: Topic[T],
        record: T,
        value: bytes,
        partition: int | None,
        headers: Mapping[str, bytes] | None,
    ) -> "Sent":
        all_headers = list(headers.items()) if headers else []
        if topic.contract == "windows" and isinstance(record, pa.RecordBatch):
            all_headers += WINDOW_HEADERS.items()
        trace = tracing.outgoing(topic.name)
        if trace is not None and trace.header is not None:
            all_headers.append((tracing.HEADER, trace.header))
        sent = await self._producer.send(
            topic.full(self._namespace),
            value,
            key=topic.key.of(record).encode() if topic.key else None,
            partition=existing_partition(topic, record, partition),
            headers=all_headers or None,
        )
        if trace is not None:
            trace.until(sent)
        if self._echo is not None and topic is self._echo.topic:
            self._echo.follow(sent, value, all_headers, record)
        return sent

    async def write(self, topic: Topic[T], record: T) -> RecordMetadata:
        """As `send`, but returns once Kafka has the record, with its partition and offset."""
        return await (await self.send(topic, record))

    async def remove(self, topic: Topic[Any], key: str, partition: int = 0) -> "Sent":
        """Write the record that removes a key from a compacted topic."""
        return await self._producer.send(
            topic.full(self._namespace), None, key=key.encode(), partition=partition
        )

    async def flush(self) -> None:
        """Return when Kafka has all that was sent, or when that failed."""
        await self._producer.flush()


Sent = Any
"""aiokafka's future of a `RecordMetadata`; it ships no types."""


async def write_one(clients: KafkaClients, topic: Topic[T], record: T) -> None:
    """Write one record. Raises `BrokerError` where Kafka or the topic is missing."""
    async with producing(clients) as producer:
        try:
            await Outlet(producer, clients.settings.namespace).write(topic, record)
        except UnknownTopicOrPartitionError:
            raise no_topic(clients.settings, topic) from None


async def write_many(clients: KafkaClients, topic: Topic[T], records: Iterable[T]) -> None:
    """Write records; on return Kafka has all of them. Raises `BrokerError`."""
    try:
        async with producing(clients) as producer:
            outlet = Outlet(producer, clients.settings.namespace)
            await asyncio.gather(*[await outlet.send(topic, record) for record in records])
    except KafkaError as error:
        raise BrokerError(
            f"Kafka did not take everything for {topic.name} ({error!r}); run the same command"
            " again"
        ) from None


def encode(topic: Topic[T], record: T) -> bytes:
    """A record's bytes, encoded by its topic's contract."""
    match topic.contract:
        case "ndjson":
            return record  # type: ignore[return-value]  # frames of lines are bytes
        case "arrow":
            return encode_frame(record)
        case "entries":
            return encode_entries(record)
        case "windows" if isinstance(record, pa.RecordBatch):
            return encode_windows(record)
        case _:
            return encode_json(record)


def existing_partition(topic: Topic[T], record: T, chosen: int | None = None) -> int:
    """The partition of a record. Raises `RefusedError` where the topic has no such partition."""
    partition = topic.partition_for(record)
    if partition is None:
        partition = chosen
    elif chosen is not None and chosen != partition:
        raise RefusedError(
            f"a record for partition {partition} of {topic.name} was sent to {chosen}"
        )
    if partition is None or not 0 <= partition < topic.partitions:
        raise RefusedError(f"{topic.name} has no partition {partition}")
    return partition
