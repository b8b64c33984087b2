"""Reads partitions of the log: every record, once and in order, from given positions.

A plain consumer without a group. Each partition starts where its state stands, on the last
record that the state includes: if the log holds another record there, it is another log (the
topic was deleted and created again, or its end was cut off), and is read from its beginning. During
reading, the topic's id shows the same: the new log may be longer than the old one by then, and
nothing else would show it. Records lost from the log are counted. A partition that has more and
does not move raises `StalledError`.

What this process has written itself may come from `tables.echoes` instead of a fetch, where it is
exactly what follows; a gap in the offsets is fetched.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from tables.echoes import Echoes
from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.domain.telemetry.log_reading import Progress, in_turns
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic_ids import LOOK_S, KnownTopics

log = structlog.get_logger()

POLL_MS = 100
GATHER_BYTES = 1024 * 1024
"""A reader that gathers fetches once this much is there, else each `POLL_MS`: one answer for the
frames of many partitions instead of one for each."""
AT_ONCE = 16
"""Most records of a partition that are handed over in a row. Who applies them may be slow, and then
the other partitions would stand still, and be taken for stalled."""
STALLED_S = 60.0
"""A partition that has more records, and makes no progress for this long, has stalled."""


class StalledError(RuntimeError):
    """A partition has records that do not arrive. The worker must end; its successor continues."""


def mark_of(record: ConsumerRecord) -> Mark:
    """A mark of a record, by which it is recognized."""
    return Mark(record.timestamp, zlib.crc32(record.value or b""))


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a partition continues."""

    offset: int = 0
    """Offset of the first record that was not read yet."""
    mark: Mark | None = None
    """Mark of the record before it; None = not known."""


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one partition."""

    tp: TopicPartition
    after: int
    """Everything before this offset was handed over before."""
    records: Sequence[ConsumerRecord]
    replaced: bool = False
    """Whether the log was replaced: offsets begin again."""


Deliver = Callable[[Records], Awaitable[None]]


class LogReader:
    """Hands over the records of assigned partitions."""

    def __init__(
        self,
        kafka: KafkaClients,
        deliver: Deliver,
        *,
        gather_bytes: int = 1,
        echoes: Echoes | None = None,
    ) -> None:
        self._kafka = kafka
        self._deliver = deliver
        self._gather_bytes = gather_bytes
        self._echoes = echoes
        self._echoed: set[TopicPartition] = set()
        """Partitions that are not fetched, because echoes follow where they are."""
        self._handing = asyncio.Lock()
        """Held from a look at a partition's position until what follows it is delivered."""
        self._positions: dict[TopicPartition, Position] = {}
        self._wanted: dict[TopicPartition, Position] | None = None
        """A new assignment that was not taken up yet."""
        self._replaced: set[TopicPartition] = set()
        self._consumer: AIOKafkaConsumer | None = None
        self._known = KnownTopics()
        self._made_again: set[str] = set()
        """Topics that were replaced, and are not read from their beginnings yet."""
        self.on_other_log: Callable[[TopicPartition], None] = lambda _tp: None
        """Called for a replaced log, before any record of its beginning is handed over."""
        self.applied: Callable[[], Mapping[TopicPartition, int]] = dict
        """Gives the offset of the first record that was not applied, of each partition that is
        read; set by the role."""
        self.stalled = ""
        """Which partitions have more records and apply none, in words; "" = none."""
        self.missing = 0
        """Number of records that were removed from the log before they were read."""
        self.replaced_logs = 0

    def read(self, positions: Mapping[TopicPartition, Position]) -> None:
        """From now on read these partitions, each from its position, and no others.

        A partition that is read already continues from where it is.
        """
        now = self._next()
        self._wanted = {tp: now.get(tp, start) for tp, start in positions.items()}

    def drop(self, tp: TopicPartition) -> None:
        """Forget a partition, so that the next `read` starts it from its position."""
        self._positions.pop(tp, None)
        self._echoed.discard(tp)
        if self._wanted is not None:
            self._wanted.pop(tp, None)

    def go_back(self, tp: TopicPartition, position: Position) -> None:
        """Read a partition again from a position, where the records handed over were not taken."""
        self._wanted = {**self._next(), tp: position}

    def _next(self) -> dict[TopicPartition, Position]:
        """The newest assignment, also one that is empty or was not taken up yet."""
        return self._positions if self._wanted is None else self._wanted

    def lag(self, tp: TopicPartition, applied: int) -> int:
        """Number of records of a partition that are in the log and not applied; 0 = not known.

        ``applied`` is the offset of the first record that was not applied yet.
        """
        seen = self.seen(tp)
        return max(seen[0] - applied, 0) if seen else 0

    def lags(self) -> dict[TopicPartition, int]:
        """Number of records of each partition that are in the log and not applied, where known."""
        found = ((tp, self.seen(tp), at) for tp, at in self.applied().items())
        return {tp: max(seen[0] - at, 0) for tp, seen, at in found if seen is not None}

    def seen(self, tp: TopicPartition) -> tuple[int, int] | None:
        """The log's end as Kafka last reported it, and when (ms since 1970, our clock)."""
        if self._consumer is None or tp not in self._consumer.assignment():
            return None
        end, at_ms = self._consumer.highwater(tp), self._consumer.last_poll_timestamp(tp)
        if self._echoes is not None and tp in self._echoed:
            return self._echoes.end(tp)
        return None if end is None or not at_ms else (end, at_ms)

    async def look(self) -> None:
        """Ask Kafka whether the topics are still the same, and call `on_other_log` for those that
        are not.
        """
        if self._consumer is None:
            return
        names = {tp.topic for tp in self._positions}
        changed = await self._known.changed(self._consumer, names)
        self._made_again |= changed
        for tp in self._positions:
            if tp.topic in changed:
                self.on_other_log(tp)

    async def run(self) -> None:
        """Read for ever; cancel to stop. Raises `StalledError`."""
        async with self._kafka.consumer(
            auto_offset_reset="none",
            fetch_max_wait_ms=POLL_MS,
            fetch_min_bytes=self._gather_bytes,
            max_partition_fetch_bytes=8 * 1024 * 1024,
            fetch_max_bytes=32 * 1024 * 1024,
        ) as consumer:
            self._consumer = consumer
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_for_ever(consumer))
                group.create_task(self._watch_for_ever(consumer))
                if self._echoes is not None:
                    group.create_task(self._echo_for_ever(consumer, self._echoes))

    async def _read_for_ever(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            if self._wanted is not None:
                await self._take_up(consumer)
            self._begin_those_made_again(consumer)
            if not self._positions:
                await asyncio.sleep(POLL_MS / 1000)
                continue
            try:
                found = await consumer.getmany(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:
                await self._find_again(consumer, error.args[0])
                continue
            for tp, records in in_turns(found, AT_ONCE):
                async with self._handing:
                    if self._wanted is not None:
                        break  # the rest is read again
                    if tp.topic in self._made_again:
                        continue  # read from its beginning, next
                    await self._hand_over(consumer, tp, records)

    async def _echo_for_ever(self, consumer: AIOKafkaConsumer, echoes: Echoes) -> None:
        while True:
            for tp in await echoes.some():
                async with self._handing:
                    await self._hand_over_echoes(consumer, tp, echoes)

    async def _hand_over_echoes(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, echoes: Echoes
    ) -> None:
        position = self._positions.get(tp)
        if self._wanted is not None or position is None or tp.topic in self._made_again:
            return
        if position.mark is not None:
            return  # fetched first: only that shows whether it is the log that was read before
        first = echoes.first(tp)
        if tp in self._echoed and first is not None and first < position.offset:
            self._start_again(consumer, tp, f"{first} was written after {position.offset - 1}")
        elif records := echoes.from_(tp, position.offset):
            if tp not in self._echoed:
                consumer.pause(tp)
                self._echoed.add(tp)
            await self._pass_on(tp, position.offset, records)
        elif echoes.has(tp):
            self._fetch_again(consumer, tp)  # others wrote in between

    def _fetch_again(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        """Fetch a partition, from where it is, until echoes follow it."""
        if tp in self._echoed:
            self._echoed.discard(tp)
            consumer.seek(tp, self._positions[tp].offset)
            consumer.resume(tp)

    async def _take_up(self, consumer: AIOKafkaConsumer) -> None:
        wanted, self._wanted = self._wanted or {}, None
        self._positions = wanted
        self._replaced &= wanted.keys()
        consumer.assign(list(wanted))
        self._echoed.clear()
        if self._echoes is not None:
            self._echoes.keep(wanted)
        for tp, position in wanted.items():
            self._seek(consumer, tp, position)
        # Requested before anything is read: from here on a changed id means another log.
        await self.look()

    def _begin_those_made_again(self, consumer: AIOKafkaConsumer) -> None:
        names, self._made_again = self._made_again, set()
        for tp in [tp for tp in self._positions if tp.topic in names]:
            self._start_again(consumer, tp, "the topic was deleted and made again")

    def _seek(self, consumer: AIOKafkaConsumer, tp: TopicPartition, position: Position) -> None:
        """Seek to the record that is known, to check that it is still the same."""
        known = position.mark is not None and position.offset > 0
        consumer.seek(tp, position.offset - 1 if known else position.offset)

    async def _hand_over(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> None:
        position = self._positions[tp]
        if position.mark is not None and records[0].offset < position.offset:
            if mark_of(records[0]) != position.mark:
                self._start_again(consumer, tp, "the record that was read last is another one")
                return
            records = records[1:]
        elif records[0].offset < position.offset:
            records = [r for r in records if r.offset >= position.offset]  # the others were echoed
        elif records[0].offset > position.offset:
            self._count_missing(tp, position.offset, records[0].offset)
        if records:
            await self._pass_on(tp, position.offset, records)

    async def _pass_on(
        self, tp: TopicPartition, after: int, records: Sequence[ConsumerRecord]
    ) -> None:
        replaced = tp in self._replaced
        self._replaced.discard(tp)
        # Marked as read before it is handed over: a new assignment meanwhile starts where the
        # state stands, not here.
        self._positions[tp] = Position(records[-1].offset + 1)
        await self._deliver(Records(tp, after, records, replaced))

    def _start_again(self, consumer: AIOKafkaConsumer, tp: TopicPartition, why: str) -> None:
        self.replaced_logs += 1
        self.on_other_log(tp)
        log.error(
            "the log is not the one that was read before; it is read from its beginning",
            topic=tp.topic,
            partition=tp.partition,
            why=why,
        )
        self._replaced.add(tp)
        self._positions[tp] = Position()
        consumer.seek(tp, 0)
        self._fetch_again(consumer, tp)

    def _count_missing(self, tp: TopicPartition, expected: int, found: int) -> None:
        if expected == 0:
            return  # a log whose beginning has expired: no position was there
        self.missing += found - expected
        log.error(
            "records were removed from the log before they were read",
            topic=tp.topic,
            partition=tp.partition,
            records=found - expected,
        )

    async def _find_again(
        self, consumer: AIOKafkaConsumer, lost: Mapping[TopicPartition, int]
    ) -> None:
        """Positions outside their log: before its beginning or after its end."""
        await self.look()
        lost = {tp: at for tp, at in lost.items() if tp.topic not in self._made_again}
        if not lost:
            return
        begins = await consumer.beginning_offsets(list(lost))
        ends = await consumer.end_offsets(list(lost))
        for tp in lost:
            at = self._positions[tp].offset
            if at > ends[tp]:
                self._start_again(consumer, tp, f"it ends at {ends[tp]}, we are at {at}")
            elif at < begins[tp]:
                self._count_missing(tp, at, begins[tp])
            self._positions[tp] = Position(begins[tp] if at > ends[tp] else max(at, begins[tp]))
            consumer.seek(tp, self._positions[tp].offset)

    async def _watch_for_ever(self, consumer: AIOKafkaConsumer) -> None:
        """Raise where a partition has more and makes no progress while Kafka answers.

        Where it is read and not applied, `stalled` says so: records wait for work that hangs.
        """
        loop = asyncio.get_running_loop()
        progress: Progress[TopicPartition] = Progress(STALLED_S, LOOK_S)
        applying: Progress[TopicPartition] = Progress(STALLED_S, LOOK_S)
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()
            at = {tp: position.offset for tp, position in self._positions.items()}
            try:
                ends = await consumer.end_offsets(list(at)) if at else {}
            except (KafkaError, OSError):
                progress.reset()  # Kafka is away: no partition moves
                applying.reset()
                continue
            for tp in self._echoed & ends.keys():
                if ends[tp] > self._positions[tp].offset or ends[tp] < at[tp]:
                    # Others may have written after our last, or the end was cut off.
                    self._fetch_again(consumer, tp)
            applied = {tp: offset for tp, offset in self.applied().items() if tp in ends}
            self.stalled = _not_applied(applying.stuck(applied, ends, loop.time()), applied)
            if stalled := progress.stuck(at, ends, loop.time()):
                where = ", ".join(f"{tp.topic}/{tp.partition} at {at[tp]}" for tp in stalled)
                raise StalledError(f"nothing was read for {STALLED_S:.0f} s, with more in {where}")


def _not_applied(stalled: Sequence[TopicPartition], applied: Mapping[TopicPartition, int]) -> str:
    where = ", ".join(f"{tp.topic}/{tp.partition} at {applied[tp]}" for tp in stalled)
    return f"nothing was applied for {STALLED_S:.0f} s, with more in {where}" if where else ""
