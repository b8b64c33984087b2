"""What this process wrote to the log that it reads, until the reader hands it over."""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from aiokafka import ConsumerRecord, TopicPartition

from vpp_streams import clock

MOST = 64
"""Records of a partition that may wait; more are left out, and fetched when their turn comes."""
MANY = 128
"""Once so many wait in all partitions, their writer lets the reader go first, for a moment."""
ROOM_PATIENCE_S = 0.25


class Echoes:
    """Records by partition, each a run of rising offsets."""

    def __init__(self) -> None:
        self._waiting: dict[TopicPartition, deque[ConsumerRecord]] = {}
        self._ends: dict[TopicPartition, tuple[int, int]] = {}
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def take(self, record: ConsumerRecord) -> None:
        """Take in a record that Kafka has confirmed."""
        tp = TopicPartition(record.topic, record.partition)
        self._ends[tp] = record.offset + 1, clock.now_ms()
        waiting = self._waiting.setdefault(tp, deque())
        if waiting and record.offset <= waiting[-1].offset:
            waiting.clear()  # the log was replaced, and its offsets begin again
        if len(waiting) < MOST:
            waiting.append(record)
        if self._count() > MANY:
            self._room.clear()
        self._some.set()

    async def some(self) -> list[TopicPartition]:
        """The partitions with records, once there are new ones."""
        await self._some.wait()
        self._some.clear()
        return [tp for tp, waiting in self._waiting.items() if waiting]

    async def room(self) -> None:
        """Return when there is room for more, or after a moment."""
        if not self._room.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(ROOM_PATIENCE_S):
                    await self._room.wait()

    def end(self, tp: TopicPartition) -> tuple[int, int]:
        """The end of the log as the newest record states it, and when (ms); zeros if none does."""
        return self._ends.get(tp, (0, 0))

    def from_(self, tp: TopicPartition, offset: int) -> list[ConsumerRecord]:
        """Take out the records that follow each other from an offset; older ones are dropped.

        Empty where there is none of this offset: it was not written by us, or left out.
        """
        waiting = self._waiting.get(tp, deque())
        found: list[ConsumerRecord] = []
        while waiting and waiting[0].offset <= offset + len(found):
            record = waiting.popleft()
            if record.offset == offset + len(found):
                found.append(record)
        if self._count() <= MANY // 2:
            self._room.set()
        return found

    def first(self, tp: TopicPartition) -> int | None:
        """Offset of the oldest record that waits."""
        waiting = self._waiting.get(tp)
        return waiting[0].offset if waiting else None

    def has(self, tp: TopicPartition) -> bool:
        """Whether records of a partition wait."""
        return bool(self._waiting.get(tp))

    def keep(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget all partitions but these."""
        kept = set(partitions)
        for tp in [tp for tp in self._waiting if tp not in kept]:
            del self._waiting[tp]
            self._ends.pop(tp, None)
        if self._count() <= MANY // 2:
            self._room.set()

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))
