"""Records of a stateless role: done, and committed, once their outputs are safe."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from agents.faust_seam import Membership
from tables.log_reader import Position, Records, mark_of
from vpp_streams.domain.fleet.columnar import Mark

Outputs = Sequence[Awaitable[object]]


def position_of(committed: OffsetAndMetadata) -> Position:
    """Where a partition continues, from what was committed."""
    timestamp, _, checksum = committed.metadata.partition(".")
    known = timestamp.isdigit() and checksum.isdigit()
    return Position(
        max(committed.offset, 0), Mark(int(timestamp), int(checksum)) if known else None
    )


def committed_as(record: ConsumerRecord) -> OffsetAndMetadata:
    """The commit for when this record is done: the next offset, and a mark of the log."""
    mark = mark_of(record)
    return OffsetAndMetadata(record.offset + 1, f"{mark.timestamp_ms}.{mark.checksum}")


class InFlight:
    """Records whose outputs are on their way to Kafka, done strictly in order of arrival."""

    def __init__(self, membership: Membership, most: int = 1000) -> None:
        self._membership = membership
        self._most = most
        self._pending: deque[tuple[TopicPartition, ConsumerRecord, Outputs]] = deque()
        self._settling = asyncio.Lock()
        self._applied: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, ConsumerRecord] = {}
        """Newest record of each partition that is done and not committed."""
        self._other_logs: set[TopicPartition] = set()
        """Partitions whose log was replaced, and whose new beginning was not read yet."""

    def positions(self) -> Mapping[TopicPartition, int]:
        """Our partitions, each with the offset of the first record that was not applied yet."""
        return self._applied

    def start(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Take these partitions, each from its position; one that was ours continues."""
        self._applied = {
            tp: self._applied.get(tp, position.offset) for tp, position in positions.items()
        }
        self._other_logs &= self._applied.keys()

    def takes(self, records: Records) -> bool:
        """Whether records are the next ones of a partition that is ours."""
        if records.replaced:
            self._applied[records.tp] = 0
            self._other_logs.discard(records.tp)
        return records.tp in self._applied and records.after <= self._applied[records.tp]

    def begins_again(self, tp: TopicPartition) -> None:
        """Note that the log was replaced; nothing is committed until its beginning is read."""
        self._other_logs.add(tp)
        self._done.pop(tp, None)

    async def add(self, tp: TopicPartition, record: ConsumerRecord, outputs: Outputs) -> None:
        """Take over a record; waits when too many are on their way."""
        if tp in self._applied:  # else it was taken from us while the outputs were made
            self._applied[tp] = max(self._applied[tp], record.offset + 1)
        self._pending.append((tp, record, outputs))
        if len(self._pending) > self._most:
            await self.settle()

    async def settle(self) -> None:
        """Await the outputs of all that is pending now. Raises what a send raised."""
        async with self._settling:
            for _ in range(len(self._pending)):
                tp, record, outputs = self._pending[0]
                await asyncio.gather(*outputs)
                self._pending.popleft()
                self._done[tp] = record

    async def commit(self, look: Callable[[], Awaitable[object]]) -> None:
        """Commit what is done, with a mark by which the log is recognized.

        ``look`` finds out which logs were replaced (`begins_again`). It runs after it is decided
        what to commit: a commit to a log whose beginning was not read would skip that beginning
        for good.
        """
        done, self._done = self._done, {}
        await look()
        ours = self._applied.keys() - self._other_logs
        offsets = {tp: committed_as(record) for tp, record in done.items() if tp in ours}
        if offsets and not await self._membership.commit(offsets):
            self._done = done | self._done  # again, unless the group has moved on
