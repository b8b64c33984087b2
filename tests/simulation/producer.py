"""The simulated producer: batches, idempotence, transactions, in the shape of aiokafka's."""

import asyncio
import copy
from collections.abc import Iterable
from typing import Any, ClassVar

from aiokafka import TopicPartition
from aiokafka.errors import (
    ConcurrentTransactions,
    DuplicateSequenceNumber,
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    ProducerFenced,
)
from aiokafka.producer.transaction_manager import TransactionManager, TransactionResult
from aiokafka.structs import RecordMetadata

from tests.simulation.clients import BACKOFF_S, Bell, Client
from tests.simulation.log import NewRecord
from vpp_streams import clock

BATCH_OVERHEAD = 70
TRANSACTION_TIMEOUT_MS = 60_000


class SimBatch:
    """Records of one partition that are sent together."""

    def __init__(self, most_bytes: int) -> None:
        self.records: list[NewRecord] = []
        self.size_bytes = 0
        self.closed = False
        self._most_bytes = most_bytes

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> object | None:
        size = len(key or b"") + len(value or b"") + BATCH_OVERHEAD
        if self.closed or (self.records and self.size_bytes + size > self._most_bytes):
            self.closed = True
            return None
        stamp_ms = clock.now_ms() if timestamp is None else timestamp
        self.records.append(NewRecord(key, value, stamp_ms, tuple(headers)))
        self.size_bytes += size
        return self.records[-1]

    def close(self) -> None:
        self.closed = True

    def record_count(self) -> int:
        return len(self.records)

    def size(self) -> int:
        return self.size_bytes


class _OnItsWay:
    """A batch of the producer, and who waits for it."""

    def __init__(self, tp: TopicPartition, batch: SimBatch, ready_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.tp, self.batch, self.ready_s = tp, batch, ready_s
        self.done: asyncio.Future[RecordMetadata] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.futures: list[tuple[int, asyncio.Future[RecordMetadata]]] = []
        self.seq = -1

    def stored(self, base: int, stamp_ms: int | None = None) -> None:
        _settle(self.done, self.metadata(base, stamp_ms))
        for at, future in self.futures:
            _settle(future, self.metadata(base + at if base >= 0 else base, stamp_ms))

    def failed(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        for _, future in self.futures:
            if not future.done():
                future.set_exception(copy.copy(error))
        if self.futures:
            self.done.exception()
        if not self.drained.done():
            self.drained.set_result(None)

    def metadata(self, offset: int, stamp_ms: int | None = None) -> RecordMetadata:
        """What a future says of a stored record; ``stamp_ms`` is the broker's stamp."""
        by_broker = stamp_ms is not None
        stamp_ms = stamp_ms if by_broker else self.batch.records[0].timestamp_ms
        return RecordMetadata(
            self.tp.topic, self.tp.partition, self.tp, offset, stamp_ms, int(by_broker), 0
        )


def _settle(future: asyncio.Future[RecordMetadata], metadata: RecordMetadata) -> None:
    if not future.done():
        future.set_result(metadata)


class SimProducer(Client):
    """`AIOKafkaProducer` with acks=all: what it has taken in it sends until it is answered."""

    without_fence: ClassVar[bool] = False
    """A fault put in on purpose: every producer has a transactional id of its own."""

    answers_early: ClassVar[set[str]] = set()
    """Another: topics whose records are said to be stored when they are only taken in."""

    def __init__(
        self,
        transactional_id: str | None = None,
        *,
        transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS,
        enable_idempotence: bool = False,
        linger_ms: int = 0,
        max_batch_size: int = 16_384,
        max_request_size: int = 1_048_576,
        request_timeout_ms: int = 40_000,
        **_other: Any,
    ) -> None:
        super().__init__(request_timeout_ms)
        if transactional_id is not None and self.without_fence:
            transactional_id += f"-{self.kafka.loop.steps}"
        self._id = transactional_id
        self._idempotent = enable_idempotence or transactional_id is not None
        self._timeout_ms = transaction_timeout_ms
        self._linger_s = linger_ms / 1000
        self._most_bytes = max_batch_size
        self._most_request_bytes = max_request_size
        self._queues: dict[TopicPartition, list[_OnItsWay]] = {}
        self._in_flight: list[_OnItsWay] = []
        self._wake = Bell()
        self._txn = TransactionManager(transactional_id, transaction_timeout_ms)
        self._error: BaseException | None = None
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    # Start and stop

    async def start(self) -> None:
        await self.bootstrap()
        kafka = self.kafka
        while not self._txn.has_pid():
            try:
                self._txn.set_pid_and_epoch(
                    *await kafka.call(lambda: kafka.init_producer(self._id, self._timeout_ms))
                )
            except KafkaError as error:
                if not (error.retriable or isinstance(error, ConcurrentTransactions)):
                    raise
                await asyncio.sleep(BACKOFF_S)
        self._sender = asyncio.create_task(self._send_for_ever())

    async def stop(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sender is not None:
            flushed = asyncio.create_task(self.flush())
            await asyncio.wait([flushed, self._sender], return_when=asyncio.FIRST_COMPLETED)
            flushed.cancel()
            self._sender.cancel()

    async def __aenter__(self) -> "SimProducer":
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def flush(self) -> None:
        waiting = [way.done for way in self._all()]
        if waiting:
            await asyncio.wait(waiting)

    def _all(self) -> list[_OnItsWay]:
        return [*self._in_flight, *(way for queue in self._queues.values() for way in queue)]

    # Taking in

    async def send(  # noqa: PLR0917  # as it is called
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        await self._may_send()
        if len(value or b"") + len(key or b"") > self._most_request_bytes:
            raise MessageSizeTooLargeError
        tp = TopicPartition(topic, partition or 0)
        until_s = self.kafka.loop.now_s + self.request_timeout_s
        while True:
            self._may_add()
            queue = self._queues.get(tp)
            way = queue[-1] if queue else self._queue(tp, SimBatch(self._most_bytes))
            added = way.batch.append(
                timestamp=timestamp_ms, key=key, value=value, headers=headers or ()
            )
            if added is not None:
                future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
                way.futures.append((way.batch.record_count() - 1, future))
                if topic in self.answers_early:
                    _settle(future, way.metadata(-1))
                return future
            self._wake.ring()
            left_s = until_s - self.kafka.loop.now_s
            await asyncio.wait([way.drained], timeout=max(0.0, left_s))
            if self.kafka.loop.now_s >= until_s:
                raise KafkaTimeoutError

    async def send_and_wait(self, topic: str, *args: Any, **options: Any) -> RecordMetadata:
        return await (await self.send(topic, *args, **options))

    async def _may_send(self) -> None:
        if self._id is not None and not self._txn.is_in_transaction():
            raise IllegalOperation("Can't send messages while not in transaction")

    def _may_add(self) -> None:
        if self._closed:
            raise ProducerClosed
        if self._error is not None:
            raise copy.copy(self._error)

    def _queue(self, tp: TopicPartition, batch: SimBatch) -> _OnItsWay:
        self._txn.maybe_add_partition_to_txn(tp)
        way = _OnItsWay(tp, batch, self.kafka.loop.now_s + self._linger_s)
        self._queues.setdefault(tp, []).append(way)
        self._wake.ring()
        return way

    # Transactions

    async def begin_transaction(self) -> None:
        self._transactional()
        self._txn.begin_transaction()

    async def commit_transaction(self) -> None:
        self._transactional()
        self._txn.committing_transaction()
        await self._until_ended()

    async def abort_transaction(self) -> None:
        self._transactional()
        self._txn.aborting_transaction()
        await self._until_ended()

    def _transactional(self) -> None:
        if self._id is None:
            raise IllegalOperation("You need to configure transaction_id to use transactions")

    async def _until_ended(self) -> None:
        for way in self._all():
            way.batch.close()
        self._wake.ring()
        await asyncio.shield(self._txn.wait_for_transaction_end())

    def transaction(self) -> "_Transaction":
        return _Transaction(self)

    # Sending

    async def _send_for_ever(self) -> None:
        """Raises what aiokafka's sender ends with: then nothing is taken any more."""
        try:
            while True:
                await self._add_partitions()
                if not await self._send_what_is_ready():
                    if self._txn.needs_transaction_commit() is not None and not self._all():
                        await self._end_transaction()
                    else:
                        await self._rest()
                    self._wake.clear()
        except (ProducerFenced, KafkaError) as error:
            self._error = error
            for way in self._all():
                way.failed(error)
            if self._id is not None:
                self._txn.fatal_error(error)
                self._txn.wait_for_transaction_end().exception()

    async def _rest(self) -> None:
        now_s = self.kafka.loop.now_s
        soonest = min((queue[0].ready_s for queue in self._queues.values()), default=now_s + 3600)
        await self._wake.wait(max(soonest - now_s, 0.0))

    async def _ask(self, do: Any) -> Any:
        """Ask the coordinator until it answers; an older epoch is fenced."""
        while True:
            try:
                return await self.kafka.call(do)
            except InvalidProducerEpoch:
                raise ProducerFenced from None
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(BACKOFF_S)

    async def _add_partitions(self) -> None:
        partitions = sorted(self._txn.partitions_to_add()) if self._id is not None else []
        if partitions:
            pid, epoch, kafka = self._txn.producer_id, self._txn.producer_epoch, self.kafka
            await self._ask(lambda: kafka.add_partitions(self._id or "", pid, epoch, partitions))
            for tp in partitions:
                self._txn.partition_added(tp)

    async def _end_transaction(self) -> None:
        commit = self._txn.needs_transaction_commit() is TransactionResult.COMMIT
        if not self._txn.is_empty_transaction():
            pid, epoch, kafka = self._txn.producer_id, self._txn.producer_epoch, self.kafka
            await self._ask(
                lambda: kafka.end_transaction(self._id or "", pid, epoch, commit=commit)
            )
        self._txn.complete_transaction()

    async def _send_what_is_ready(self) -> bool:
        now_s = self.kafka.loop.now_s
        for tp, queue in list(self._queues.items()):
            way = queue[0]
            if not (way.ready_s <= now_s or way.batch.closed or len(queue) > 1):
                continue
            queue.pop(0)
            if not queue:
                del self._queues[tp]
            way.batch.close()
            way.seq = self._txn.sequence_number(tp)
            self._txn.increment_sequence_number(tp, way.batch.record_count())
            if not way.drained.done():
                way.drained.set_result(None)
            self._in_flight.append(way)
        if not self._in_flight:
            return False
        while self._in_flight:
            await self._send_once()
        return True

    async def _send_once(self) -> None:
        pid, epoch, kafka = self._txn.producer_id, self._txn.producer_epoch, self.kafka
        if not self._idempotent:
            pid = -1
        batches = [(way.tp, way.batch.records, way.seq) for way in self._in_flight]
        try:
            answers = await kafka.call(lambda: kafka.produce(batches, pid, epoch, self._id))
        except KafkaError as error:
            answers = dict.fromkeys([way.tp for way in self._in_flight], error)
        again = []
        for way in self._in_flight:
            answer = answers[way.tp]
            if isinstance(answer, tuple):
                way.stored(*answer)
            elif isinstance(answer, DuplicateSequenceNumber):
                way.stored(-1)
            elif isinstance(answer, KafkaError) and answer.retriable:
                again.append(way)
            else:
                fenced = isinstance(answer, InvalidProducerEpoch)
                way.failed(ProducerFenced() if fenced else answer)
        self._in_flight = again
        if again:
            await asyncio.sleep(BACKOFF_S)


class _Transaction:
    """``async with producer.transaction()``."""

    def __init__(self, producer: SimProducer) -> None:
        self._producer = producer

    async def __aenter__(self) -> "_Transaction":
        await self._producer.begin_transaction()
        return self

    async def __aexit__(self, kind: object, *_error: object) -> None:
        if kind is None:
            await self._producer.commit_transaction()
        elif not self._producer._txn.is_fatal_error():  # noqa: SLF001  # aiokafka's own state
            await self._producer.abort_transaction()
