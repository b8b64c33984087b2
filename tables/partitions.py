"""The partitions whose state this worker holds: taken over, kept by snapshots, released.

A takeover fences the previous writer, reads its state, and continues with the source where that
state stands. A snapshot is one transaction of the changelog, written when all outputs of the
applied records are safe in Kafka. A partition that is assigned again at the next rebalance is
kept as it is: no other worker can have held it in between.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from tables.group import Group, Share
from tables.log_reader import LogReader, Position, Records, mark_of
from tables.state_store import FencedError, StateStore, Writer
from vpp_streams.domain.fleet.columnar import NO_MARK, Recovered, Snapshot, recover

log = structlog.get_logger()


class PartitionState(Protocol):
    """State of one source partition: a pure function of its log."""

    applied_offset: int

    @property
    def unsaved(self) -> bool:
        """Whether it has changed since the last snapshot by anything other than records."""

    def snapshot(self) -> Snapshot:
        """The changes since the last snapshot, as of ``applied_offset``."""

    def restore(self, recovered: Recovered) -> None:
        """Take on the state of the snapshot."""

    def begin_log(self) -> None:
        """Continue with another log, whose offsets begin again."""


S = TypeVar("S", bound=PartitionState)


class Slot(Generic[S]):
    """One partition that is ours: its state, its writer, and what waits for a snapshot."""

    def __init__(self, partition: int, state: S, writer: Writer) -> None:
        self.partition = partition
        self.state = state
        self.writer = writer
        self.mark = NO_MARK
        """Mark of the record at the offset of the last snapshot."""
        self.stale: set[bytes] = set()
        """Keys of a changelog that could not be used; the next snapshot deletes them."""
        self.other_log = False
        """Whether the source is another log, whose beginning was not applied yet: until then no
        offset states how far the state is."""
        self.newest: ConsumerRecord | None = None
        """The record applied last; None where a snapshot includes it."""
        self.waiting = 0
        """Records that were applied and are in no snapshot yet."""
        self.saved_offset = state.applied_offset
        """Source offset of the newest snapshot."""
        self.committed_offset = state.applied_offset
        """The same offset, as last committed to the group."""
        self.outputs: list[Awaitable[object]] = []
        self.changing = asyncio.Lock()
        """Held from a record's application until its outputs are in ``outputs``: a snapshot in
        between would not wait for them."""
        self.flushing = asyncio.Lock()

    def applied(self, record: ConsumerRecord) -> None:
        """The state includes this record now."""
        self.newest = record
        self.waiting += 1

    @property
    def position(self) -> Position:
        """Where reading of the source continues, if nothing was read for this slot yet."""
        at = self.state.applied_offset
        known = self.mark != NO_MARK and at == self.saved_offset
        return Position(at + 1, self.mark if known else None)

    def writes(self, snapshot: Snapshot) -> Iterable[tuple[bytes, bytes | None]]:
        """The keys that a snapshot writes, and those it deletes from an unusable changelog."""
        for key, value in snapshot.writes(self.mark):
            self.stale.discard(key)
            yield key, value
        for key in self.stale:
            yield key, None


class Partitions(Generic[S]):
    """The partitions that this worker holds."""

    def __init__(
        self, source: str, group: Group, store: StateStore, new: Callable[[int], S]
    ) -> None:
        self._source = source
        self._group = group
        self._store = store
        self._new = new
        self._slots: dict[int, Slot[S]] = {}
        self._share: Share | None = None
        self._taken_back: set[int] = set()
        """Partitions that were lost to another process in this generation, and taken back."""
        self.reader: LogReader | None = None
        """The reader of the source; set by the role."""
        self.on_change: Callable[[dict[int, S]], None] = lambda _states: None
        """Receives the states that this worker holds, whenever these change."""
        self.rebuilt = 0
        """Partitions whose changelog could not be used."""
        self.recovery_s = math.nan
        """Time that the newest takeover of partitions took, s; NaN = there was none."""

    def states(self) -> list[S]:
        """The states of the partitions that we hold."""
        return [slot.state for slot in self._slots.values()]

    def waiting(self) -> int:
        """Records that wait for a snapshot."""
        return sum(slot.waiting for slot in self._slots.values())

    def slot(self, partition: int) -> Slot[S] | None:
        """The slot of a partition, or None where another worker holds it."""
        return self._slots.get(partition)

    def get(self, partition: int) -> S | None:
        """The state of a partition, or None where another worker holds it."""
        slot = self._slots.get(partition)
        return slot.state if slot else None

    def holds(self, slot: Slot[S]) -> bool:
        """Whether a slot is still the one that holds its partition."""
        return self._slots.get(slot.partition) is slot

    def slot_for(self, records: Records) -> Slot[S] | None:
        """The slot to apply records to; None where they are not its next ones.

        Such records were on their way while the partition changed hands. They are read again.
        """
        slot = self._slots.get(records.tp.partition)
        if slot is None:
            return None
        if records.replaced:
            slot.state.begin_log()
            slot.other_log = False
        if records.after > slot.state.applied_offset + 1 and self.reader is not None:
            self.reader.go_back(records.tp, slot.position)
            return None
        return slot

    def applied(self) -> dict[TopicPartition, int]:
        """Offset of the first record of each of our partitions that was not applied."""
        return {
            TopicPartition(self._source, p): slot.state.applied_offset + 1
            for p, slot in self._slots.items()
        }

    def has_its_share(self) -> bool:
        """Whether this worker holds what the group assigned to it, which may be nothing."""
        share = self._share
        return share is not None and share.partitions == self._slots.keys()

    def lag(self) -> int:
        """Number of records of our partitions that are in the log and not applied."""
        if self.reader is None:
            return 0
        return sum(
            self.reader.lag(TopicPartition(self._source, p), slot.state.applied_offset + 1)
            for p, slot in self._slots.items()
        )

    async def run(self) -> None:
        """Follow the group for ever. Raises `NoShareError` where it has no place for us."""
        if self.reader is not None:
            self.reader.on_other_log = self._on_other_log
        async for share in self._group.shares():
            await self._take(share)

    async def _take(self, share: Share) -> None:
        """Hold the partitions of a share and no others; what we hold of the same share stays."""
        if share is self._share and share.partitions == self._slots.keys():
            return
        before = self._slots if share is self._share or share.follows(self._share) else {}
        kept = {p: slot for p, slot in before.items() if p in share.partitions}
        gone = [slot for slot in self._slots.values() if slot not in kept.values()]
        self._slots, self._share = kept, share
        self._taken_back.clear()
        if gone:
            self._publish()
            await asyncio.gather(*(self._release(slot) for slot in gone))
        missing = sorted(share.partitions - kept.keys())
        began_s = asyncio.get_running_loop().time()
        taken = await asyncio.gather(*(self._take_over(p) for p in missing))
        self._slots = self._slots | {slot.partition: slot for slot in taken}
        if missing:
            self.recovery_s = asyncio.get_running_loop().time() - began_s
        if self._group.share is share:  # else the next one says what is still ours
            self._publish()
            log.info(
                "partitions held",
                generation=share.generation,
                taken_over=missing,
                kept=sorted(kept),
            )

    def _publish(self) -> None:
        self.on_change({p: slot.state for p, slot in self._slots.items()})
        if self.reader is not None:
            self.reader.read(
                {TopicPartition(self._source, p): s.position for p, s in self._slots.items()}
            )

    def _on_other_log(self, tp: TopicPartition) -> None:
        if (slot := self._slots.get(tp.partition)) is not None:
            slot.other_log = True

    async def _take_over(self, partition: int) -> Slot[S]:
        writer, changelog = await self._store.take_over(partition)
        slot = Slot(partition, self._new(partition), writer)
        try:
            recovered = recover(changelog)
            if recovered is not None:
                slot.state.restore(recovered)
                slot.mark, slot.saved_offset = recovered.mark, recovered.offset
        except Exception as error:
            # Whatever the error, the log still has the readings: no repair is needed.
            log.exception(
                "the state in the changelog cannot be used; it is made again from the log",
                partition=partition,
                error=repr(error),
            )
            self.rebuilt += 1
            slot.state, slot.stale = self._new(partition), set(changelog)
        return slot

    async def _release(self, slot: Slot[S]) -> None:
        """Let go of a partition that another worker has now."""
        if self.reader is not None:
            self.reader.drop(TopicPartition(self._source, slot.partition))
        await slot.writer.close()

    async def flush(self) -> None:
        """Take and write a snapshot of every partition with records that wait for one."""
        await asyncio.gather(*(self._flush(slot) for slot in list(self._slots.values())))

    async def _flush(self, slot: Slot[S]) -> None:
        async with slot.flushing:
            if not self.holds(slot):
                return
            if slot.newest is not None or slot.state.unsaved:
                await self._snapshot(slot)
            if slot.committed_offset != slot.saved_offset and await self._commit(slot):
                slot.committed_offset = slot.saved_offset

    async def _snapshot(self, slot: Slot[S]) -> None:
        async with slot.changing:
            newest, slot.newest, slot.waiting = slot.newest, None, 0
            outputs, slot.outputs = slot.outputs, []
            snapshot = slot.state.snapshot()
            slot.mark = mark_of(newest) if newest is not None else slot.mark
        await asyncio.gather(*outputs)
        if self.reader is not None:
            await self.reader.look()
        if slot.other_log:
            # The readings count, by their names; the offset is of a log that is gone.
            snapshot, slot.mark = replace(snapshot, offset=-1), NO_MARK
        try:
            await slot.writer.write(slot.writes(snapshot))
        except FencedError as error:
            if self.holds(slot):  # else it was given back while it was written
                await self._lost(slot, error)
        else:
            slot.saved_offset = snapshot.offset

    async def _commit(self, slot: Slot[S]) -> bool:
        """Commit for monitoring of the group's lag; reading starts where the state stands."""
        tp = TopicPartition(self._source, slot.partition)
        offset = OffsetAndMetadata(slot.saved_offset + 1, "")
        return await self._group.commit({tp: offset})

    async def _lost(self, slot: Slot[S], error: FencedError) -> None:
        """Another process writes for this partition now.

        Mostly that is its new owner, and Kafka confirms that this worker is not. Otherwise the
        other was paused in an outdated takeover, and the partition is taken back. Raises
        `FencedError` where that happens again: two groups work on the same state.
        """
        partition, share = slot.partition, self._share
        log.warning("partition lost to another writer", partition=partition, error=str(error))
        self._slots = {p: s for p, s in self._slots.items() if s is not slot}
        self._publish()
        await self._release(slot)
        ours = await self._commit(slot)
        if not ours or share is not self._group.share:
            return
        if partition in self._taken_back:
            raise error
        self._taken_back.add(partition)
        taken = await self._take_over(partition)
        if share is self._share and share is self._group.share:
            self._slots[partition] = taken
            self._publish()
        else:
            await taken.writer.close()
