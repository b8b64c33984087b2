"""What the roles with state have in common: how they hold, read and snapshot partitions."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import faust
from aiokafka import ConsumerRecord

from agents.context import AgentContext
from agents.faust_seam import LogChannel
from tables.echoes import Echoes
from tables.group import Group
from tables.log_reader import Deliver, LogReader, Records
from tables.partitions import Partitions, PartitionState, Slot
from tables.state_store import StateStore
from vpp_streams.kafka.topic import Topic

S = TypeVar("S", bound=PartitionState)

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLogs:
    """A role's name, the topic that it reads and the changelog of its state."""

    role: str
    source: Topic[Any]
    changelog: Topic[Any]
    snapshot_s: float
    """Seconds between two snapshots of a partition that changes."""
    gather_bytes: int = 1
    """How much its reader waits for, some time at most (`tables.log_reader.GATHER_BYTES`)."""


class StatefulRole(Generic[S]):
    """The partitions that a worker of one role holds, with their reader and their snapshots."""

    def __init__(
        self, context: AgentContext, group: Group, logs: RoleLogs, new: Callable[[int], S]
    ) -> None:
        self._context = context
        self._logs = logs
        self.echoes: Echoes | None = None
        """What this process writes to the source itself, where it does."""
        full = context.clients.full
        store = StateStore(context.clients, full(logs.changelog), context.group(logs.role))
        self.partitions: Partitions[S] = Partitions(full(logs.source), group, store, new)
        health, partitions = context.health, self.partitions
        health.gauges["lag"] = partitions.lag
        health.figures.append(
            lambda: [
                ("vpp_partitions_owned", (), len(partitions.states())),
                ("vpp_recovery_seconds", (), partitions.recovery_s),
            ]
        )
        health.probes.needs["its partitions"] = self._has_its_share

    def _has_its_share(self) -> bool:
        """Whether it holds what it should: a standby nothing, so that it is ready as it is."""
        duty = self._context.duty
        return (duty is not None and not duty.works) or self.partitions.has_its_share()

    async def run(self, deliver: Deliver, *beside: Work) -> None:
        """Hold what the group assigns to this worker, and run the role's other work, for ever.

        ``deliver`` receives the records that are read. Raises what makes it impossible to go on.
        """
        context = self._context
        await context.registry_ready.wait()
        async with context.sending(), asyncio.TaskGroup() as group:
            self.partitions.reader = reader = LogReader(
                context.clients,
                deliver,
                gather_bytes=self._logs.gather_bytes,
                echoes=self.echoes,
            )
            reader.applied = self.partitions.applied
            context.watch_readers(reader)
            for work in (self.partitions.run, reader.run, self._snapshot_for_ever, *beside):
                group.create_task(work())

    async def _snapshot_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._logs.snapshot_s)
            await self.partitions.flush()

    async def apply(
        self, records: Records, apply_one: Callable[[Slot[S], ConsumerRecord], Awaitable[None]]
    ) -> None:
        """Apply consecutive records of a partition, as long as this worker holds it."""
        slot = self.partitions.slot_for(records)
        if slot is None:
            return
        for record in records.records:
            if not self.partitions.holds(slot):
                return  # its new owner reads them
            await apply_one(slot, record)
            await asyncio.sleep(0)  # other tasks of the loop go first


class StatefulWorker(Protocol):
    """A worker of a role with state, as `StatefulAgent` runs it."""

    async def run(self, deliver: Deliver) -> None:
        """Hold what the group assigns to this worker, for ever."""

    async def apply(self, records: Records) -> None:
        """Apply consecutive records of a partition, each once."""


class StatefulAgent:
    """The Faust agent of a role with state."""

    def __init__(self, app: faust.App, role: str, worker: StatefulWorker) -> None:
        self._app = app
        self._worker = worker
        self.channel = LogChannel(app)
        """Where the worker's reader delivers."""
        app.agent(self.channel, name=role)(self.apply_all)

    async def apply_all(self, stream: faust.StreamT) -> None:
        """Apply everything that the reader delivers. An error ends the worker."""
        async for records in stream:
            try:
                await self._worker.apply(records)
            except Exception as error:
                # A mistake of ours, and half a record may be applied: the successor starts from
                # the last snapshot, which is better than going on from here.
                await self._app.crash(error)
                raise

    async def run(self) -> None:
        """Run the worker, which delivers to the agent."""
        await self._worker.run(self.channel.put)
