"""Which partitions of a role are this worker's, as the consumer group of its role says."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

SHARE_PATIENCE_S = 180.0
"""A worker that the group gives no place for this long ends, with the reason."""


class NoShareError(RuntimeError):
    """The consumer group gives this worker no place."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the group gave this worker."""

    generation: int
    """Number of the group's rebalance."""
    partitions: frozenset[int]

    def follows(self, before: "Share | None") -> bool:
        """Whether nobody can have held a partition between the two, if it is in both."""
        return before is not None and self.generation == before.generation + 1


class Group(Protocol):
    """This worker's place in the consumer group of its role; `agents.faust_seam` has the one."""

    @property
    def share(self) -> Share | None:
        """None while the group rebalances, and before the worker is in it."""

    def shares(self) -> AsyncIterator[Share]:
        """Every share that the group gives us, for ever. Raises `NoShareError` without one."""

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        """Commit offsets as the group's member; False where the group has moved on."""
