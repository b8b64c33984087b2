"""Which partitions a worker holds through rebalances, and what it does when it loses one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from agents.faust_seam import Membership
from tables.group import Share
from tables.log_reader import Position, Records
from tables.partitions import Partitions
from tables.state_store import FencedError
from vpp_streams.domain.fleet.columnar import COMMIT, NO_MARK, Mark, Recovered, Snapshot, recover

SOURCE = "telemetry"


class Count:
    """A state that counts records."""

    unsaved = False

    def __init__(self) -> None:
        self.applied_offset = -1
        self.records = 0

    def snapshot(self) -> Snapshot:
        return Snapshot(self.applied_offset, b"%d" % self.records, {})

    def restore(self, recovered: Recovered) -> None:
        self.applied_offset, self.records = recovered.offset, int(recovered.meta)

    def begin_log(self) -> None:
        self.applied_offset = -1


class Writer:
    def __init__(self, store: "Store", partition: int) -> None:
        self._store, self._partition = store, partition
        self.closed = False

    async def write(self, writes: Any) -> None:
        if self._store.writers[self._partition] is not self:
            raise FencedError(str(self._partition))
        kept = self._store.kept.setdefault(self._partition, {})
        kept.update({key: value for key, value in writes if value is not None})

    async def close(self) -> None:
        self.closed = True


class Store:
    """Changelogs in memory, each with one writer that is not fenced."""

    def __init__(self) -> None:
        self.writers: dict[int, Writer] = {}
        self.kept: dict[int, dict[bytes, bytes]] = {}

    async def take_over(self, partition: int) -> tuple[Writer, dict[bytes, bytes]]:
        await asyncio.sleep(0)
        self.writers[partition] = Writer(self, partition)
        return self.writers[partition], dict(self.kept.get(partition, {}))


class Group(Membership):
    """The consumer group as a worker sees it: the test says what it gives."""

    def __init__(self) -> None:
        self.share: Share | None = None
        self.member = True
        self._changed = asyncio.Event()
        self._said_again = False

    def give(self, generation: int, *partitions: int) -> None:
        self.share = Share(generation, frozenset(partitions))
        self._changed.set()

    def say_again(self) -> None:
        """The patience of whoever waits for a change has run out."""
        self._said_again = True
        self._changed.set()

    async def changes(self, known: Share | None, patience_s: float) -> Share | None:
        while self.share is known and not self._said_again:
            self._changed.clear()
            await self._changed.wait()
        self._said_again = False
        return self.share

    async def commit(self, _offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        return self.member


class Reader:
    """What a worker reads, from where."""

    def __init__(self) -> None:
        self.positions: dict[TopicPartition, Position] = {}
        self.gone_back: list[int] = []
        self.marks: list[Mark | None] = []
        self.on_other_log: Callable[[TopicPartition], None] = lambda _tp: None
        self.made_again = False
        """What the next look finds."""

    async def look(self) -> None:
        if self.made_again:
            self.made_again = False
            self.on_other_log(TopicPartition(SOURCE, 0))

    def read(self, positions: Mapping[TopicPartition, Position]) -> None:
        self.positions = dict(positions)

    def drop(self, _tp: TopicPartition) -> None:
        pass

    def go_back(self, _tp: TopicPartition, position: Position) -> None:
        self.gone_back.append(position.offset)
        self.marks.append(position.mark)


async def turns() -> None:
    """Turns of the loop: nothing here waits for anything else."""
    for _ in range(100):
        await asyncio.sleep(0)


class World:
    """A worker's partitions, with a store that others write to as well."""

    def __init__(self, store: Store | None = None) -> None:
        self.store, self.group, self.reader = store or Store(), Group(), Reader()
        self.partitions: Partitions[Count] = Partitions(
            SOURCE,
            self.group,
            self.store,  # type: ignore[arg-type]
            lambda _partition: Count(),
        )
        self.partitions.reader = self.reader  # type: ignore[assignment]
        self.held: list[list[int]] = []
        self.partitions.on_change = lambda states: self.held.append(sorted(states))

    def apply(self, offset: int, partition: int = 0, *, replaced: bool = False) -> bool:
        tp = TopicPartition(SOURCE, partition)
        made = ConsumerRecord(SOURCE, partition, offset, 1000 + offset, 0, None, b"x", 0, 0, 1, ())
        slot = self.partitions.slot_for(Records(tp, offset, [made], replaced))
        if slot is not None and offset > slot.state.applied_offset:
            slot.state.applied_offset, slot.state.records = offset, slot.state.records + 1
            slot.applied(made)
        return slot is not None

    async def run(self, *steps: Awaitable[None]) -> None:
        work = asyncio.create_task(self.partitions.run())
        try:
            for step in steps:
                await step
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def given(self, generation: int, *partitions: int) -> None:
        self.group.give(generation, *partitions)
        await turns()
        assert self.held[-1] == sorted(partitions)


async def test_a_successor_goes_on_from_the_last_snapshot() -> None:
    world = World()

    async def work() -> None:
        assert all(world.apply(offset) for offset in range(3))
        await world.partitions.flush()
        world.apply(3)  # in no snapshot

    await world.run(world.given(1, 0), work())
    next_ = World(world.store)
    await next_.run(next_.given(2, 0))
    state = next_.partitions.get(0)
    assert state is not None
    assert (state.applied_offset, state.records) == (2, 3)
    assert next_.reader.positions[TopicPartition(SOURCE, 0)].offset == 3


async def test_a_partition_that_comes_back_at_the_next_rebalance_is_kept() -> None:
    world = World()
    await world.run(world.given(1, 0, 1), world.given(2, 0))
    kept = world.partitions.slot(0)
    assert kept is not None
    assert not cast(Any, kept.writer).closed
    assert world.store.writers[1].closed
    await world.run(world.given(4, 0))  # generation 3 passed without us: somebody may have had it
    assert world.partitions.slot(0) is not kept


async def test_records_that_do_not_follow_are_not_applied_but_read_again() -> None:
    world = World()
    await world.run(world.given(1, 0))
    assert world.apply(0)
    assert not world.apply(5)
    assert world.reader.gone_back == [1]
    assert not world.apply(0, partition=7)


async def test_a_fenced_worker_that_is_no_member_any_more_lets_go() -> None:
    world = World()

    async def lose() -> None:
        world.apply(0)
        await world.store.take_over(0)  # the successor
        world.group.member = False
        await world.partitions.flush()

    await world.run(world.given(1, 0), lose())
    assert world.partitions.states() == []
    assert world.reader.positions == {}
    assert world.store.kept == {}


async def test_a_fenced_worker_that_still_is_a_member_takes_back_once() -> None:
    """A worker paused in a takeover that woke up long after it fences the rightful owner."""
    world = World()

    async def lose_twice() -> None:
        world.apply(0)
        await world.store.take_over(0)  # by one that is in no group any more
        await world.partitions.flush()
        assert world.partitions.get(0) is not None
        assert world.apply(0), "what no snapshot had is read again"
        await world.partitions.flush()
        assert COMMIT in world.store.kept[0]
        world.apply(1)
        await world.store.take_over(0)
        with pytest.raises(FencedError):
            await world.partitions.flush()

    await world.run(world.given(1, 0), lose_twice())


async def test_a_state_that_cannot_be_used_is_made_again_from_the_log() -> None:
    world = World()
    world.store.kept[0] = {COMMIT: b"none of ours", b"t|0": b"x"}

    async def work() -> None:
        assert world.apply(0)
        await world.partitions.flush()

    await world.run(world.given(1, 0), work())
    assert world.partitions.rebuilt == 1
    assert world.partitions.states()[0].records == 1


async def test_another_log_is_applied_from_its_beginning() -> None:
    """K5: of a topic that was made again, all was dropped as repeats."""
    world = World()

    async def work() -> None:
        assert all(world.apply(offset) for offset in range(600))
        assert world.apply(0, replaced=True)
        assert world.apply(1)

    await world.run(world.given(1, 0), work())
    state = world.partitions.states()[0]
    assert (state.applied_offset, state.records) == (1, 602)


async def test_a_snapshot_of_a_log_that_is_gone_tells_to_begin_again() -> None:
    """What was applied since is of the new log, whose beginning nobody has read: a successor that
    began at that offset would miss it for good.
    """
    world = World()

    async def work() -> None:
        assert world.apply(0)
        await world.partitions.flush()
        assert world.apply(1)
        world.reader.made_again = True
        await world.partitions.flush()

    await world.run(world.given(1, 0), work())
    recovered = recover(world.store.kept[0])
    assert recovered is not None
    assert (recovered.offset, recovered.meta, recovered.mark) == (-1, b"2", NO_MARK)


async def test_offsets_count_again_once_the_new_log_is_applied() -> None:
    world = World()

    async def work() -> None:
        assert world.apply(0)
        world.reader.made_again = True
        await world.partitions.flush()
        assert world.apply(0, replaced=True)
        await world.partitions.flush()

    await world.run(world.given(1, 0), work())
    recovered = recover(world.store.kept[0])
    assert recovered is not None
    assert recovered.offset == 0
    assert recovered.mark != NO_MARK


async def test_who_goes_back_knows_the_log_by_the_record_it_stands_at() -> None:
    """The mark of the last snapshot is that of an older record: it would look like another log."""
    world = World()

    async def work() -> None:
        assert world.apply(0)
        await world.partitions.flush()
        assert not world.apply(5)
        assert world.apply(1)
        assert not world.apply(5)

    await world.run(world.given(1, 0), work())
    assert world.reader.gone_back == [1, 2]
    assert world.reader.marks[0] is not None
    assert world.reader.marks[1] is None


async def test_a_share_that_stays_the_same_costs_nothing() -> None:
    """Every three minutes a worker gave up all it held and took it over again."""
    world = World()

    async def work() -> None:
        before, writers = world.partitions.states(), dict(world.store.writers)
        world.group.say_again()
        await turns()
        assert world.partitions.states() == before
        assert world.store.writers == writers
        assert not any(writer.closed for writer in writers.values())

    await world.run(world.given(1, 0, 1), work())


async def test_a_partition_that_was_let_go_is_taken_again_though_the_share_stays() -> None:
    """Kafka did not answer whether we are still a member, and no rebalance followed."""
    world = World()

    async def work() -> None:
        kept = world.partitions.get(1)
        world.apply(0)
        await world.store.take_over(0)
        world.group.member = False
        await world.partitions.flush()
        assert world.partitions.get(0) is None
        world.group.say_again()
        await turns()
        assert world.partitions.get(0) is not None
        assert world.partitions.get(1) is kept

    await world.run(world.given(1, 0, 1), work())
