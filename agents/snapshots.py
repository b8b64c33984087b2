"""Partition state on a Faust table: recovered on assignment, kept by snapshots.

The table is an ordinary Faust `Table` of bytes; its changelog holds the shadow pages of
`tables.columnar`. The order of a snapshot is what makes it exact: outputs safe, blocks safe,
commit record safe, and only then are the events done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

import faust
import structlog

from agents.in_order import InOrder
from tables.columnar import Recovered, ShadowPages, Snapshot, partition_of_key

log = structlog.get_logger()


class PartitionState(Protocol):
    """State of one source partition."""

    applied_offset: int

    def snapshot(self) -> Snapshot:
        """What changed since the last one, as of ``applied_offset``."""

    def restore(self, recovered: Recovered) -> None:
        """Stand where the snapshot stood."""


S = TypeVar("S", bound=PartitionState)


class Slot(Generic[S]):
    """One assigned partition: its state, page table, and events waiting for a snapshot."""

    def __init__(self, state: S, pages: ShadowPages) -> None:
        self.state = state
        self.pages = pages
        self.newest: faust.EventT | None = None
        """Applied last; None where a snapshot has it."""
        self.waiting = 0
        """Events that were applied and are in no snapshot yet."""
        self.outputs: list[Awaitable[object]] = []
        self.changing = asyncio.Lock()
        """Held from an event's application until its outputs are in ``outputs``: a snapshot in
        between would stand without them."""
        self.flushing = asyncio.Lock()

    def applied(self, event: faust.EventT) -> None:
        """The state includes this event now."""
        self.newest = event
        self.waiting += 1


class Snapshots(Generic[S]):
    """The partitions that this worker holds, and the table that keeps them."""

    def __init__(
        self, app: faust.App, name: str, source: str, in_order: InOrder, new: Callable[[int], S]
    ) -> None:
        self._app = app
        self._source = source
        self._in_order = in_order
        self._new = new
        self._slots: dict[int, Slot[S]] = {}
        self.table: faust.Table = app.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            extra_topic_configs={"max.message.bytes": str(4 * 1024 * 1024)},
        )
        self.table.on_recover(self._on_recover)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self.on_change: Callable[[dict[int, S]], None] = lambda _states: None
        """Told the states that are ours, whenever that has changed."""

    def states(self) -> list[S]:
        """The states of the partitions that we hold."""
        return [slot.state for slot in self._slots.values()]

    def waiting(self) -> int:
        """Events that wait for a snapshot."""
        return sum(slot.waiting for slot in self._slots.values())

    def get(self, partition: int) -> S | None:
        """The state of a partition, or None where another worker holds it."""
        slot = self._slots.get(partition)
        return slot.state if slot else None

    async def admit(self, event: faust.EventT) -> Slot[S] | None:
        """The slot to apply an event to; None where the event must not be applied now."""
        slot = self._slots.get(event.message.partition)
        if slot is None:
            return None  # revoked while the event was in our queue: its new owner has it
        admitted = await self._in_order.admit(event)
        return slot if admitted and self.holds(event.message.partition, slot) else None

    def holds(self, partition: int, slot: Slot[S]) -> bool:
        """Whether the partition is still the one that this slot was made for."""
        return self._slots.get(partition) is slot

    async def flush(self) -> None:
        """Take and send a snapshot of every partition with events that wait for one."""
        await asyncio.gather(
            *(self._flush_slot(partition, slot) for partition, slot in self._slots.items())
        )

    async def _flush_slot(self, partition: int, slot: Slot[S]) -> None:
        async with slot.flushing:
            if slot.newest is not None and self.holds(partition, slot):
                await self._write(partition, slot)

    async def _write(self, partition: int, slot: Slot[S]) -> None:
        async with slot.changing:
            newest, slot.newest, slot.waiting = slot.newest, None, 0
            outputs, slot.outputs = slot.outputs, []
            snapshot = slot.state.snapshot()
        await asyncio.gather(*outputs)
        await self._send(partition, slot.pages.block_writes(snapshot))
        if not self.holds(partition, slot):
            return  # revoked meanwhile: without a commit record nothing has happened
        await self._send(partition, [slot.pages.commit_write(snapshot)])
        deletes = slot.pages.committed(snapshot)
        if newest is not None:
            self._in_order.done(newest)
        await self._send(partition, [(key, None) for key in deletes])

    async def _send(self, partition: int, writes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """To the changelog and to the table itself, which a later recovery builds on."""
        topic = self.table.changelog_topic
        sent = []
        for key, value in writes:
            sent.append((key, value, await topic.send(key=key, value=value, partition=partition)))
            await asyncio.sleep(0)  # a block takes time to encode: let frames in between
        data = self.table.data
        for key, value, done in sent:
            await done
            if value is None:
                data.data.pop(key, None)
                data._key_partition.pop(key, None)
            else:
                data.data[key] = value
                data._key_partition[key] = partition

    async def _on_revoked(self, *_args: object, **_kwargs: object) -> None:
        self._slots.clear()
        self.on_change({})

    async def _on_recover(self) -> None:
        """Rebuild the columns of the partitions that are ours now."""
        by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
        for key, value in self.table.data.data.items():
            if value is not None:
                by_partition.setdefault(partition_of_key(key), []).append((key, value))
        name = self.table.changelog_topic.get_topic_name()
        assigned = {
            tp.partition for tp in self._app.assignor.assigned_actives() if tp.topic == name
        }
        slots = {}
        for partition in sorted(assigned):
            slot = Slot(self._new(partition), ShadowPages(partition))
            recovered = slot.pages.recover(by_partition.get(partition, []))
            if recovered:
                slot.state.restore(recovered)
            slots[partition] = slot
            self._in_order.expect(self._source, partition, slot.state.applied_offset + 1)
        self._slots = slots
        self.on_change({partition: slot.state for partition, slot in slots.items()})
        log.info("partitions recovered", partitions=sorted(assigned))
