"""A simulated Kafka: topics, transactions, groups, a disk that fills up, a network that lags.

A request travels for a while, is carried out at one moment and its answer travels back; a broker
that is away refuses, one that is frozen holds what comes until it goes on, and a link that breaks
loses answers to what was done. All delays are drawn from the seed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTxnState,
    KafkaError,
    KafkaStorageError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.simulation.group import Groups
from tests.simulation.log import Log, NewRecord, Stored
from tests.simulation.loop import SimLoop

T = TypeVar("T")

EARLIEST, LATEST = -2, -1
LEAST_HOLD_S = 1.0
"""A fetch with nothing to bring is held for so long, whatever the client asked for: a slow broker
may, and a seed plays several times as fast."""
MOST_AHEAD_MS = 3_600_000
"""A record may be stamped so much later than the broker's clock (Kafka 4's default)."""


@dataclass(slots=True)
class Topic:
    """A topic that exists."""

    topic_id: int
    logs: list[Log]
    log_append_time: bool = False


@dataclass(slots=True)
class _Transactions:
    """What the coordinator knows of a transactional id."""

    pid: int
    epoch: int = 0
    timeout_ms: int = 60_000
    partitions: list[TopicPartition] = field(default_factory=list)
    """In the open transaction, in the order in which they came."""
    began: int = 0
    """Number of the open transaction."""
    ended_by: bool | None = None
    """How the newest transaction ended, where its producer said so: True = it was committed."""


@dataclass(slots=True)
class Offer:
    """What a fetch brings for one partition."""

    position: int
    """From where it was asked."""
    next: int
    records: list[Stored]
    highwater: int
    stable_end: int


class SimKafka:
    """The broker. Methods that clients call are carried out by `call`, after a while."""

    def __init__(self, loop: SimLoop, rng: Random, now_ms: Callable[[], int]) -> None:
        self.loop = loop
        self.now_ms = now_ms
        self.topics: dict[str, Topic] = {}
        self.away = False
        self.frozen = False
        self.full = False
        self.lose_answers = 0.0
        """Share of answers that never arrive."""
        self.delay_s = (0.0002, 0.003)
        self.counts: Counter[str] = Counter()
        self.on_append: Callable[[TopicPartition, list[Stored]], None] = lambda tp, records: None
        """Told of every batch that is written, once."""
        self.groups = Groups(self)
        self._rng = rng
        self._ids = 0
        self._pids = 0
        self._transactions: dict[str, _Transactions] = {}
        self._held: list[Callable[[], None]] = []
        self.outside = loop.outside_context()

    # The network

    async def call(self, do: Callable[[], T], timeout_s: float = 40.0) -> T:
        """Have the broker do this; returns or raises what it answers."""
        return await self._exchange(lambda reply: reply(do()), timeout_s)

    async def join(
        self, group: str, member: str, partitions: int, session_s: float
    ) -> tuple[int, tuple[int, ...]]:
        """Join a group; answered once everybody has."""
        groups = self.groups
        return await self._exchange(
            lambda reply: groups.join(group, member, partitions, session_s, reply), 60.0
        )

    async def long_poll(
        self, positions: dict[TopicPartition, int], most: int, wait_s: float, *, committed: bool
    ) -> tuple[dict[TopicPartition, "Offer | Exception"], dict[TopicPartition, int]]:
        """What a fetch brings, and the logs' ends: at once if there is something, else when there
        is, or after a while."""

        def begin(reply: Callable[[Any], None]) -> None:
            found = self.fetch(positions, most, committed=committed)
            if found:
                reply((found, self.ends(positions)))
                return
            open_ = [True]

            def look(*, last: bool = False) -> None:
                if open_[0]:
                    news = self.fetch(positions, most, committed=committed)
                    if news or last:
                        open_[0] = False
                        reply((news, self.ends(positions)))
                    else:
                        wait()

            def wait() -> None:
                for tp in positions:
                    self.log(tp).waiting.append(look)

            wait()
            hold_s = max(wait_s, LEAST_HOLD_S)
            self.loop.call_later(hold_s, lambda: look(last=True), context=self.outside)

        return await self._exchange(begin, 40.0)

    async def _exchange(  # noqa: C901  # one branch for each way in which a broker fails
        self, begin: Callable[[Callable[[T], None]], None], timeout_s: float
    ) -> T:
        answer: asyncio.Future[T] = self.loop.create_future()
        later, outside = self.loop.call_later, self.outside

        def arrive() -> None:
            if self.away:
                later(self._delay(), fail, NodeNotReadyError(), context=outside)
            elif self.frozen:
                self._held.append(arrive)
            else:
                try:
                    begin(reply)
                except KafkaError as error:
                    later(self._delay(), fail, error, context=outside)

        def reply(done: T) -> None:
            if self.away or self._rng.random() < self.lose_answers:
                later(self._delay(), fail, NodeNotReadyError(), context=outside)
            else:
                later(self._delay(), succeed, done, context=outside)

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        def succeed(done: T) -> None:
            if not answer.done():
                answer.set_result(done)

        later(self._delay(), arrive, context=outside)
        late = later(timeout_s, fail, RequestTimedOutError())
        try:
            return await answer
        finally:
            late.cancel()

    def _delay(self) -> float:
        low, high = self.delay_s
        return low + (high - low) * self._rng.random()

    def come_back(self) -> None:
        """Away or frozen no longer."""
        self.away = self.frozen = False
        held, self._held = self._held, []
        for arrive in held:
            self.loop.call_later(self._delay(), arrive, context=self.outside)
        self.groups.grace()

    # Topics

    def create(self, name: str, partitions: int, *, log_append_time: bool = False) -> None:
        """Make a topic; one that was deleted comes again under a new id."""
        if name in self.topics:
            raise TopicAlreadyExistsError
        self._ids += 1
        logs = [Log(self._ids) for _ in range(partitions)]
        self.topics[name] = Topic(self._ids, logs, log_append_time)

    def delete(self, name: str) -> None:
        """Delete a topic with all that is in it."""
        gone = self.topics.pop(name, None)
        if gone is None:
            raise UnknownTopicOrPartitionError
        for log in gone.logs:
            log.wake()

    def log(self, tp: TopicPartition) -> Log:
        """Of a partition. Raises `UnknownTopicOrPartitionError`."""
        topic = self.topics.get(tp.topic)
        if topic is None or tp.partition >= len(topic.logs):
            raise UnknownTopicOrPartitionError
        return topic.logs[tp.partition]

    # Writing

    def produce(
        self,
        batches: Iterable[tuple[TopicPartition, list[NewRecord], int]],
        pid: int,
        epoch: int,
        transactional_id: str | None,
    ) -> dict[TopicPartition, tuple[int, int | None] | Exception]:
        """Write a batch (with its first sequence number) to each of these partitions."""
        answers: dict[TopicPartition, tuple[int, int | None] | Exception] = {}
        for tp, batch, seq in batches:
            try:
                answers[tp] = self._append(
                    tp, batch, pid=pid, epoch=epoch, seq=seq, transactional_id=transactional_id
                )
            except Exception as error:
                answers[tp] = error
        return answers

    def _append(
        self,
        tp: TopicPartition,
        batch: list[NewRecord],
        *,
        pid: int,
        epoch: int,
        seq: int,
        transactional_id: str | None,
    ) -> tuple[int, int | None]:
        log = self.log(tp)
        if self.full:
            raise KafkaStorageError
        now_ms = self.now_ms()
        stamped = self.topics[tp.topic].log_append_time
        if not stamped and any(r.timestamp_ms > now_ms + MOST_AHEAD_MS for r in batch):
            raise InvalidTimestampError
        if transactional_id is not None:
            known = self._transactions[transactional_id]
            if epoch < known.epoch:
                raise InvalidProducerEpoch
            if tp not in known.partitions:
                raise InvalidTxnState
        self.counts["records"] += len(batch)
        before = log.end
        base = log.append(
            batch,
            now_ms if stamped else None,
            pid,
            epoch,
            seq,
            transactional=transactional_id is not None,
        )
        if base == before:
            self.on_append(tp, log.records[-len(batch) :])
        return base, log.stamp_at(base) if stamped else None

    def init_producer(self, transactional_id: str | None, timeout_ms: int) -> tuple[int, int]:
        """Producer id and epoch; of a transactional one this ends what its predecessor began."""
        if transactional_id is None:
            self._pids += 1
            return self._pids, 0
        known = self._transactions.get(transactional_id)
        if known is None:
            self._pids += 1
            known = self._transactions[transactional_id] = _Transactions(self._pids)
        else:
            known.epoch += 1
            known.ended_by = None
            self._end(known, commit=False)
        known.timeout_ms = timeout_ms
        return known.pid, known.epoch

    def add_partitions(
        self, transactional_id: str, pid: int, epoch: int, partitions: list[TopicPartition]
    ) -> None:
        """These are part of the producer's transaction from now on."""
        known = self._of(transactional_id, pid, epoch)
        for tp in partitions:
            self.log(tp)
        if not known.partitions:
            known.ended_by = None
            known.began += 1
            self.loop.call_later(
                known.timeout_ms / 1000, self._expire, known, known.began, context=self.outside
            )
        known.partitions += [tp for tp in partitions if tp not in known.partitions]

    def end_transaction(self, transactional_id: str, pid: int, epoch: int, *, commit: bool) -> None:
        """Commit or abort."""
        known = self._of(transactional_id, pid, epoch)
        if not known.partitions:
            if known.ended_by == commit:
                return  # its answer was lost, and it asks again
            raise InvalidTxnState
        self._end(known, commit=commit)
        known.ended_by = commit

    def _expire(self, known: _Transactions, number: int) -> None:
        """A transaction that is open for too long is aborted, and its producer fenced."""
        if known.began == number and known.partitions:
            known.epoch += 1
            self._end(known, commit=False)

    def _of(self, transactional_id: str, pid: int, epoch: int) -> _Transactions:
        known = self._transactions.get(transactional_id)
        if known is None or known.pid != pid:
            raise InvalidProducerIdMapping
        if epoch < known.epoch:
            raise InvalidProducerEpoch
        return known

    def _end(self, known: _Transactions, *, commit: bool) -> None:
        for tp in known.partitions:
            topic = self.topics.get(tp.topic)
            if topic is not None:
                topic.logs[tp.partition].end_transaction(
                    known.pid, known.epoch, self.now_ms(), commit=commit
                )
        known.partitions.clear()

    # Reading

    def offset(
        self, tp: TopicPartition, time_ms: int, *, committed: bool
    ) -> tuple[int, int] | None:
        """Offset and timestamp of the first record since then, or of an end of the log."""
        log = self.log(tp)
        if time_ms == EARLIEST:
            return log.start, -1
        if time_ms == LATEST:
            return (log.stable_end if committed else log.end), -1
        found = log.first_since(time_ms, committed=committed)
        return None if found is None else (found.offset, found.timestamp_ms)

    def fetch(
        self, positions: dict[TopicPartition, int], most: int, *, committed: bool
    ) -> dict[TopicPartition, Offer | Exception]:
        """What is new in these partitions, at once; those with nothing are left out."""
        found: dict[TopicPartition, Offer | Exception] = {}
        for tp, position in positions.items():
            try:
                log = self.log(tp)
            except UnknownTopicOrPartitionError as error:
                found[tp] = error
                continue
            if not log.start <= position <= log.end:
                found[tp] = OffsetOutOfRangeError()
                continue
            records, after = log.read(position, most, committed=committed)
            if after > position:
                found[tp] = Offer(position, after, records, log.end, log.stable_end)
        return found

    def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """High-water marks, as every answer to a fetch tells them."""
        return {
            tp: self.topics[tp.topic].logs[tp.partition].end
            for tp in partitions
            if tp.topic in self.topics
        }
