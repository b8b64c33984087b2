"""Consumer groups of the simulated broker, and a member as a worker's shell has one.

The broker's side: members join, each join is a new generation, the leader's share is reckoned
here (round robin in the order of joining), a member that says nothing for the session timeout is
put out. Commits carry generation and member; an old one is refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

if TYPE_CHECKING:
    from tests.simulation.kafka import SimKafka


@dataclass(slots=True)
class _Member:
    session_s: float
    heard_s: float
    joined: int = 0
    """Generation that it knows of."""
    gone: Callable[[], None] | None = None


@dataclass(slots=True)
class _Group:
    partitions: int
    generation: int = 0
    members: dict[str, _Member] = field(default_factory=dict)
    shares: dict[str, tuple[int, ...]] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


class Groups:
    """All groups of the broker."""

    def __init__(self, kafka: "SimKafka") -> None:
        self._kafka = kafka
        self._groups: dict[str, _Group] = {}

    def of(self, name: str, partitions: int = 0) -> _Group:
        """A group, made when it is first asked for."""
        if name not in self._groups:
            self._groups[name] = _Group(partitions)
        return self._groups[name]

    def join(self, name: str, member: str, partitions: int, session_s: float) -> int:
        """Join, or join again; returns the generation, which all members have to learn."""
        group = self.of(name, partitions)
        self._put_out_the_silent(group)
        now_s = self._kafka.loop.now_s
        if member not in group.members:
            group.members[member] = _Member(session_s, now_s)
            self._rebalance(group)
        group.members[member].heard_s = now_s
        group.members[member].joined = group.generation
        return group.generation

    def share(self, name: str, member: str, generation: int) -> tuple[int, ...]:
        """The partitions of a member in this generation."""
        group = self.of(name)
        self._check(group, member, generation)
        return group.shares.get(member, ())

    def heartbeat(self, name: str, member: str, generation: int) -> None:
        """Say that it lives. Raises where the group has moved on."""
        group = self.of(name)
        self._put_out_the_silent(group)
        if member in group.members:
            group.members[member].heard_s = self._kafka.loop.now_s
        self._check(group, member, generation)

    def leave(self, name: str, member: str) -> None:
        """Go, so that others need not wait."""
        group = self.of(name)
        if group.members.pop(member, None) is not None:
            self._rebalance(group)

    def commit(
        self, name: str, member: str, generation: int, offsets: dict[TopicPartition, int]
    ) -> None:
        """Note how far the group is. Raises where the member does not belong any more."""
        group = self.of(name)
        self._put_out_the_silent(group)
        self._check(group, member, generation)
        group.offsets.update(offsets)

    def committed(self, name: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """How far the group is."""
        offsets = self.of(name).offsets
        return {tp: offsets[tp] for tp in partitions if tp in offsets}

    def grace(self) -> None:
        """A broker that comes back gives every member its session timeout again."""
        for group in self._groups.values():
            for member in group.members.values():
                member.heard_s = self._kafka.loop.now_s

    def _check(self, group: _Group, member: str, generation: int) -> None:
        if member not in group.members:
            raise UnknownMemberIdError
        if group.generation != generation:
            if group.members[member].joined != group.generation:
                raise RebalanceInProgressError
            raise IllegalGenerationError

    def _put_out_the_silent(self, group: _Group) -> None:
        now_s = self._kafka.loop.now_s
        silent = [
            name for name, m in group.members.items() if now_s - m.heard_s > m.session_s
        ]
        for name in silent:
            del group.members[name]
        if silent:
            self._rebalance(group)

    def _rebalance(self, group: _Group) -> None:
        group.generation += 1
        names = list(group.members)
        group.shares = {
            name: tuple(p for p in range(group.partitions) if p % len(names) == at)
            for at, name in enumerate(names)
        }
