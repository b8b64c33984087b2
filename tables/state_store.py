"""The state of a role's partitions in Kafka: a changelog that has one writer at a time.

Each partition has a transactional producer, named after it. A takeover starts a producer of that
name, and from that moment Kafka refuses every write of the previous one (it is *fenced*), also
of a process that was paused for an hour in the middle of a write. Only then is the changelog
read. What is written together is stored together, or not at all.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    ProducerClosed,
    ProducerFenced,
)
from aiokafka.structs import RecordMetadata

from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic_ids import KnownTopics

log = structlog.get_logger()

Writes = Iterable[tuple[bytes, bytes | None]]
"""Keys with their values; the value None deletes a key."""

READ_PATIENCE_S = 60.0
"""Reading a changelog raises when nothing arrives for this long."""
CLOSE_PATIENCE_S = 5.0


class FencedError(RuntimeError):
    """Another process has taken over the partition: nothing was written."""


class StateUnreadableError(RuntimeError):
    """The changelog does not arrive. The worker must end: its successor tries again."""


class Writer:
    """The one writer of a partition's changelog, until another process takes it over."""

    def __init__(self, producer: AIOKafkaProducer, tp: TopicPartition) -> None:
        self._producer = producer
        self._tp = tp
        self._known = KnownTopics()
        self._writing = asyncio.Lock()
        self._closed = asyncio.Event()

    async def begin(self) -> None:
        """Remember the id of the topic that is written."""
        await self._known.changed(self._producer, [self._tp.topic])

    async def write(self, writes: Writes) -> None:
        """Write all of it in one transaction. Raises `FencedError`, also where it is closed.

        Raises `BrokerError` where the changelog was deleted and created again: the changes alone
        would look like the complete state there.

        A producer that is stopped meanwhile never reports how its transaction ended.
        """
        name = f"{self._tp.topic}/{self._tp.partition}"
        async with self._writing:
            writing = asyncio.ensure_future(self._write(writes))
            closed = asyncio.ensure_future(self._closed.wait())
            try:
                await asyncio.wait({writing, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not writing.done():
                    raise FencedError(f"{name} was closed")
                writing.result()
            except (ProducerFenced, InvalidProducerEpoch, ProducerClosed) as error:
                raise FencedError(name) from error
            finally:
                closed.cancel()
                writing.cancel()

    async def _write(self, writes: Writes) -> None:
        producer, (topic, partition) = self._producer, self._tp
        await producer.begin_transaction()
        sent: list[asyncio.Future[RecordMetadata]] = []
        try:
            for key, value in writes:
                sent.append(await producer.send(topic, value, key=key, partition=partition))
                await asyncio.sleep(
                    0
                )  # a block takes time to encode: let frames through in between
        except (IllegalOperation, ProducerFenced):
            # The transaction ended during sending: an earlier send has the reason.
            await asyncio.gather(*sent)
            raise
        await asyncio.gather(*sent)
        # After the last record: those before went to the topic that this finds, or are gone.
        await self._known.check(producer, [topic])
        await producer.commit_transaction()

    async def close(self) -> None:
        """Close the connection; an open transaction is left to the next writer."""
        self._closed.set()
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self._producer.stop()
        except (KafkaError, TimeoutError) as error:  # fenced, or Kafka is away: it stands so
            log.debug("a changelog's writer was closed", error=repr(error))


@dataclass(frozen=True, slots=True)
class StateStore:
    """The changelog of a role. ``name`` is the prefix of its writers' names."""

    kafka: KafkaClients
    topic: str
    """Full name; partition number = the partition whose state it is."""
    name: str

    async def take_over(self, partition: int) -> tuple[Writer, dict[bytes, bytes]]:
        """Become the partition's writer; return it with the content of the changelog.

        Raises `StateUnreadableError` where the content does not arrive.
        """
        tp = TopicPartition(self.topic, partition)
        producer = self.kafka.producer(transactional_id=f"{self.name}.{partition}")
        try:
            await producer.start()
            writer = Writer(producer, tp)
            await writer.begin()
            return writer, await self._read(tp)
        except BaseException:
            await Writer(producer, tp).close()
            raise

    async def _read(self, tp: TopicPartition) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        async with self.kafka.consumer(
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=16 * 1024 * 1024,
        ) as consumer:
            consumer.assign([tp])
            # After the fence: what is beyond this end does not concern us.
            end = (await consumer.end_offsets([tp]))[tp]
            await consumer.seek_to_beginning(tp)
            loop = asyncio.get_running_loop()
            position, moved_at = -1, loop.time()
            while (now_at := await consumer.position(tp)) < end:
                if now_at > position:
                    position, moved_at = now_at, loop.time()
                elif loop.time() - moved_at > READ_PATIENCE_S:
                    raise StateUnreadableError(f"{tp.topic}/{tp.partition} at {position} of {end}")
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        _keep(found, record.key or b"", record.value)
        return found


def _keep(found: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        found.pop(key, None)
    else:
        found[key] = value
