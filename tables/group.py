"""Which partitions of a role are this worker's, as assigned by the role's consumer group."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

SHARE_PATIENCE_S = 180.0
"""A worker without a place in the group for this long ends, and states the reason."""


class NoShareError(RuntimeError):
    """The consumer group has no place for this worker."""


@dataclass(frozen=True, slots=True)
class Share:
    """The partitions that the group assigned to this worker."""

    generation: int
    """Number of the rebalance of the group."""
    partitions: frozenset[int]

    def follows(self, before: "Share | None") -> bool:
        """Whether no other worker can have held a partition of both shares in between."""
        return before is not None and self.generation == before.generation + 1


class Group(Protocol):
    """This worker's place in the consumer group of its role; implemented in `agents.faust_seam`."""

    @property
    def share(self) -> Share | None:
        """None while the group rebalances, and before the worker is in it."""

    def shares(self) -> AsyncIterator[Share]:
        """Every share that the group assigns, for ever. Raises `NoShareError` without one."""

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        """Commit offsets as the group's member; False where the group has moved on."""
