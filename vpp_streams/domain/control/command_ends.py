"""Which commands have no end yet: each gets exactly one, from its device, its gateway or here.

All three write ends to ``command.events``; the first in the log's order is the command's end,
later ones change nothing. So an end that is published here counts only once it has been read
back from the log, and a worker that reads the log again finds the same ends.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Mask, Rows
from vpp_streams.domain.control.lease import LeasePolicy

Missed = Literal["no_answer", "reconnected", "no_end"]
"""Why an end is published here: the device never answered; it did not answer before its connection
ended; it took the lease and did not report the end."""

_OPEN, _TAKEN, _ENDED = 0, 1, 2
KEPT_MS = 600_000
"""Commands are remembered this long: far beyond any lease."""
PUBLISH_AGAIN_MS = 60_000
"""An end that was published and not read back from the log in this time is published again: Kafka's
client has given it up by then."""


class CommandBatch(NamedTuple):
    """What all commands of one rank have in common."""

    request_id: str
    region: str
    created_ms: int
    valid_until_ms: int


class Due(NamedTuple):
    """Commands whose end is to be published now."""

    rank: int
    rows: Rows
    why: Missed


class _Part:
    """Commands of one rank that were noted together, by row."""

    __slots__ = ("_order", "lost", "published", "rows", "stage", "stage_of")

    def __init__(self, rows: Rows) -> None:
        # Events arrive one by one, where Python's own arrays are several times as fast as numpy's;
        # the columns beside them are the same memory.
        self._order = array("q", np.sort(rows).astype(np.int64).tobytes())
        self.rows = np.frombuffer(self._order, np.int64)
        self.stage_of = bytearray(len(rows))
        self.stage = np.frombuffer(self.stage_of, np.uint8)
        self.published = np.zeros(len(rows), np.bool_)
        """Whether its end was published here and was not read back from the log yet."""
        self.lost = np.zeros(len(rows), np.bool_)
        """Whether the connection that it was sent over has ended."""

    def at(self, row: int) -> int:
        """The index of a row; -1 = not here."""
        at = bisect_left(self._order, row)
        return at if at < len(self._order) and self._order[at] == row else -1

    def has(self, rows: Rows) -> Mask:
        """Which of these rows are here."""
        at = np.searchsorted(self.rows, rows)
        return np.asarray(self.rows[np.minimum(at, len(self.rows) - 1)] == rows)


class _Rank:
    __slots__ = ("batch", "parts", "published_ms")

    def __init__(self, batch: CommandBatch) -> None:
        self.batch = batch
        self.parts: list[_Part] | None = []
        """None = all have ended."""
        self.published_ms = 0


class CommandEnds:
    """The commands of one partition by rank and row, with the stage of each."""

    def __init__(self, policy: LeasePolicy) -> None:
        self._policy = policy
        self._ranks: dict[int, _Rank] = {}
        self._open: dict[int, _Rank] = {}
        """Ranks with commands that have not ended."""

    def note(self, rank: int, batch: CommandBatch, rows: Rows) -> None:
        """Note commands to these rows. A command that is known already keeps its stage."""
        known = self._ranks.get(rank)
        if known is None:
            known = self._ranks[rank] = self._open[rank] = _Rank(batch)
        if known.parts is None:
            return
        for part in known.parts:
            rows = rows[~part.has(rows)]
        if len(rows):
            known.parts.append(_Part(rows))

    def batch_of(self, rank: int) -> CommandBatch | None:
        """The command of a rank; None where it is forgotten."""
        known = self._ranks.get(rank)
        return known.batch if known else None

    def apply(self, rank: int, row: int, *, taken: bool, final: bool) -> bool | None:
        """Apply an event from the log: the device took the lease, or the command has ended.

        Returns whether the event counts: it does not after an end. None = no such command is
        known for the row; where all commands of the rank have ended, the answer is False.
        """
        known = self._ranks.get(rank)
        if known is None:
            return None
        if known.parts is None:
            return False
        for part in known.parts:
            at = part.at(row)
            if at < 0:
                continue
            if part.stage_of[at] == _ENDED:
                return False
            if final or taken:
                part.stage_of[at] = _ENDED if final else _TAKEN
            return True
        return None

    def lose(self, rank: int, row: int) -> None:
        """Note that the connection that a command was sent over has ended."""
        known = self._open.get(rank)
        for part in (known.parts if known else None) or ():
            at = part.at(row)
            if at >= 0:
                part.lost[at] = True

    def due(self, now_ms: int) -> list[Due]:
        """Commands that nobody else will end; each is returned once, until the log has its end."""
        self._forget(now_ms)
        return [due for rank in list(self._open) for due in self._due_of(rank, now_ms)]

    def _due_of(self, rank: int, now_ms: int) -> Iterator[Due]:
        known = self._open[rank]
        grace_ms = self._policy.again_ms
        if now_ms - known.batch.created_ms < grace_ms or known.parts is None:
            return
        publish_again = known.published_ms and now_ms - known.published_ms >= PUBLISH_AGAIN_MS
        # A device reports the end of its lease itself; it is given a moment to do so.
        over = now_ms > known.batch.valid_until_ms + grace_ms
        ended = True
        for part in known.parts:
            if publish_again:
                part.published[:] = False
            unpublished = ~part.published
            opened = unpublished & (part.stage == _OPEN)
            taken = unpublished & (part.stage == _TAKEN) & over
            missed: tuple[tuple[NDArray[np.bool_], Missed], ...] = (
                (opened & ~part.lost, "no_answer"),
                (opened & part.lost, "reconnected"),
                (taken, "no_end"),
            )
            for which, why in missed:
                if which.any():
                    known.published_ms = now_ms
                    part.published |= which
                    yield Due(rank, part.rows[which], why)
            ended &= bool((part.stage == _ENDED).all())
        if ended:
            known.parts = None
            del self._open[rank]

    def _forget(self, now_ms: int) -> None:
        old_ms = now_ms - KEPT_MS
        for rank in [
            r
            for r, known in self._ranks.items()
            if known.parts is None and known.batch.created_ms < old_ms
        ]:
            del self._ranks[rank]
