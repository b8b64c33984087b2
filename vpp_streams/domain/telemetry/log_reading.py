"""Where to begin in a log, and when reading it stands still: decided from offsets alone.

A reader asks the broker several questions one after another, while others write. What is decided
here must be right whatever is written between two of them.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


def first_offset(end_before: int, found: int | None) -> int:
    """Where to begin in order to miss no record of a time and no record written from now on.

    ``found`` is the first offset of that time or later, None where the log has none.
    ``end_before`` is the log's end, and must have been asked for before ``found`` was: what is
    written between the two questions is then either found or at ``end_before`` or after it. With
    an end that was asked for afterwards, it would be passed over for good.
    """
    return end_before if found is None else found


class Progress(Generic[K]):
    """Tells which logs are not read on although they have more to read."""

    def __init__(self, limit_s: float, look_s: float) -> None:
        self._limit_s = limit_s
        self._most_s = 2 * look_s
        self._at: dict[K, int] = {}
        self._still_s: dict[K, float] = {}
        self._looked_s: float | None = None

    def look(self, at: Mapping[K, int], end: Mapping[K, int], now_s: float) -> list[K]:
        """Those that had more to read at every look for the limit and were not read on.

        ``at`` is the next offset to be read, ``end`` the log's end. Between two looks no more
        time counts than twice what should lie between them: a process that was stopped, or a
        machine that slept, is given time to read on.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, self._most_s)
        self._still_s = {
            key: self._still_s.get(key, 0.0) + passed_s
            if offset < end[key] and self._at.get(key) == offset
            else 0.0
            for key, offset in at.items()
        }
        self._at, self._looked_s = dict(at), now_s
        return [key for key, still_s in self._still_s.items() if still_s >= self._limit_s]

    def reset(self) -> None:
        """Begin anew: nothing can be said of the time before (the broker did not answer)."""
        self._at, self._still_s, self._looked_s = {}, {}, None
