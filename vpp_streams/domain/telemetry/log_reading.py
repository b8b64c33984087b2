"""Where to begin in a log, and when reading it stands still: decided from offsets alone.

A reader sends the broker several queries one after another, while others write. The decisions here
must be right whatever is written between two of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


def first_offset(end_before: int, found: int | None) -> int:
    """Where to begin in order to miss no record of a time and no record written from now on.

    ``found`` is the first offset of that time or later, None where the log has none.
    ``end_before`` is the log's end, and must be queried before ``found``: what is written
    between the two queries is then either found or at ``end_before`` or after it. With an end
    that is queried afterwards, it would be skipped for good.
    """
    return end_before if found is None else found


def in_turns(found: Mapping[K, Sequence[R]], most: int) -> Iterator[tuple[K, Sequence[R]]]:
    """The records of several logs, of each at most so many in a row, until all have had their turn.

    The records of a log stay in order. Where one has thousands, the others do not wait for them.
    """
    longest = max(map(len, found.values()), default=0)
    for first in range(0, longest, most):
        for key, records in found.items():
            if part := records[first : first + most]:
                yield key, part


class Progress(Generic[K]):
    """Detects logs whose reading makes no progress although they have more."""

    def __init__(self, limit_s: float, check_s: float) -> None:
        self._limit_s = limit_s
        self._most_s = 2 * check_s
        self._at: dict[K, int] = {}
        self._still_s: dict[K, float] = {}
        self._checked_s: float | None = None

    def stuck(self, at: Mapping[K, int], end: Mapping[K, int], now_s: float) -> list[K]:
        """Logs that had more to read at every check for the limit and made no progress.

        ``at`` is the next offset to be read, ``end`` the log's end. Between two checks no
        more time counts than twice what should lie between them: a process that was stopped, or
        a machine that slept, gets time to continue.
        """
        passed_s = 0.0 if self._checked_s is None else min(now_s - self._checked_s, self._most_s)
        self._still_s = {
            key: self._still_s.get(key, 0.0) + passed_s
            if offset < end[key] and self._at.get(key) == offset
            else 0.0
            for key, offset in at.items()
        }
        self._at, self._checked_s = dict(at), now_s
        return [key for key, still_s in self._still_s.items() if still_s >= self._limit_s]

    def reset(self) -> None:
        """Begin again: nothing is known of the time before (the broker did not answer)."""
        self._at, self._still_s, self._checked_s = {}, {}, None
