"""Consumer groups of the simulated broker, and a worker's place in one.

As Kafka's: whoever joins or goes starts a rebalance; all members have to join again within the
rebalance timeout, and then a new generation is shared out. A member that says nothing for the
session timeout is put out. Heartbeats and commits of an old member or generation are refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from agents.faust_seam import Membership
from tables.group import Share
from tests.simulation.loop import PROCESS

if TYPE_CHECKING:
    from tests.simulation.kafka import SimKafka

Joined = tuple[int, tuple[int, ...]]
"""Generation, and the member's partitions."""
REBALANCE_S = 10.0


@dataclass(slots=True)
class _Member:
    heard_s: float
    joined: Callable[[Joined], None] | None = None
    """Waits for the rebalance to end."""


@dataclass(slots=True)
class _Group:
    partitions: int = 0
    session_s: float = 10.0
    generation: int = 0
    rebalancing: bool = False
    members: dict[str, _Member] = field(default_factory=dict)
    shares: dict[str, tuple[int, ...]] = field(default_factory=dict)
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)


class Groups:
    """All groups of the broker."""

    def __init__(self, kafka: "SimKafka") -> None:
        self._kafka = kafka
        self._groups: dict[str, _Group] = {}

    def of(self, name: str) -> _Group:
        """A group, made when it is first asked for."""
        return self._groups.setdefault(name, _Group())

    def join(
        self,
        name: str,
        member: str,
        partitions: int,
        session_s: float,
        reply: Callable[[Joined], None],
    ) -> None:
        """Join, or join again; answered when everybody has."""
        group = self.of(name)
        group.partitions, group.session_s = partitions, session_s
        self._put_out_the_silent(group)
        group.members[member] = _Member(self._kafka.loop.now_s, reply)
        self._rebalance(group)

    def heartbeat(self, name: str, member: str, generation: int) -> None:
        """Say that it lives. Raises where the group has moved on."""
        group = self.of(name)
        self._put_out_the_silent(group)
        if member in group.members:
            group.members[member].heard_s = self._kafka.loop.now_s
        self._check(group, member, generation)
        if group.rebalancing:
            raise RebalanceInProgressError

    def leave(self, name: str, member: str) -> None:
        """Go, so that others need not wait."""
        group = self.of(name)
        if group.members.pop(member, None) is not None and group.members:
            self._rebalance(group)

    def commit(
        self,
        name: str,
        member: str,
        generation: int,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
    ) -> None:
        """Note how far the group is. Raises where the member does not belong any more."""
        group = self.of(name)
        self._put_out_the_silent(group)
        self._check(group, member, generation)
        group.offsets.update(offsets)

    def committed(
        self, name: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """How far the group is."""
        offsets = self.of(name).offsets
        return {tp: offsets[tp].offset for tp in partitions if tp in offsets}

    def grace(self) -> None:
        """A broker that comes back gives every member its session timeout again."""
        for group in self._groups.values():
            for member in group.members.values():
                member.heard_s = self._kafka.loop.now_s

    def _check(self, group: _Group, member: str, generation: int) -> None:
        if member not in group.members:
            raise UnknownMemberIdError
        if group.generation != generation:
            raise IllegalGenerationError

    def _put_out_the_silent(self, group: _Group) -> None:
        before_s = self._kafka.loop.now_s - group.session_s
        silent = [
            name
            for name, member in group.members.items()
            if member.joined is None and member.heard_s < before_s
        ]
        for name in silent:
            del group.members[name]
        if silent and group.members:
            self._rebalance(group)

    def _rebalance(self, group: _Group) -> None:
        if not group.rebalancing:
            group.rebalancing = True
            number = group.generation
            self._kafka.loop.call_later(
                REBALANCE_S,
                lambda: self._share_out(group) if group.generation == number else None,
                context=self._kafka.outside,
            )
        if all(member.joined is not None for member in group.members.values()):
            self._share_out(group)

    def _share_out(self, group: _Group) -> None:
        if not group.rebalancing:
            return
        group.rebalancing = False
        group.members = {n: m for n, m in group.members.items() if m.joined is not None}
        group.generation += 1
        names = list(group.members)
        group.shares = {
            name: tuple(p for p in range(group.partitions) if p % len(names) == at)
            for at, name in enumerate(names)
        }
        for name, member in group.members.items():
            reply, member.joined = member.joined, None
            member.heard_s = self._kafka.loop.now_s
            if reply is not None:
                reply((group.generation, group.shares[name]))


class SimMembership(Membership):
    """`agents.faust_seam.Membership` without Faust: joins, beats, and joins again."""

    def __init__(
        self, kafka: "SimKafka", group: str, partitions: int, session_s: float = 10.0
    ) -> None:
        self.share: Share | None = None
        self._kafka, self._group, self._partitions = kafka, group, partitions
        self._session_s = session_s
        self._changed = asyncio.Event()
        self._times = 0
        self._member = ""
        self._new_member()

    def _new_member(self) -> None:
        self._times += 1
        self._member = f"{PROCESS.get().name}-{self._times}"

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        """As the real one."""
        generation, groups = self.share.generation if self.share else -1, self._kafka.groups
        try:
            await self._kafka.call(
                lambda: groups.commit(self._group, self._member, generation, offsets), 10.0
            )
        except KafkaError:
            return False
        return True

    async def run(self) -> None:
        """Be a member for ever."""
        while True:
            try:
                generation, partitions = await self._kafka.join(
                    self._group, self._member, self._partitions, self._session_s
                )
            except KafkaError:
                await asyncio.sleep(0.5)
                continue
            self._tell(Share(generation, frozenset(partitions)))
            await self._beat(generation)
            self._tell(None)

    def _tell(self, share: Share | None) -> None:
        self.share = share
        self._changed.set()

    async def _beat(self, generation: int) -> None:
        """Until the group has moved on."""
        groups = self._kafka.groups
        while True:
            await asyncio.sleep(self._session_s / 4)
            try:
                await self._kafka.call(
                    lambda: groups.heartbeat(self._group, self._member, generation), 5.0
                )
            except UnknownMemberIdError:
                self._new_member()
                return
            except (RebalanceInProgressError, IllegalGenerationError):
                return
            except KafkaError:
                continue
