"""What is remembered of a device's earlier starts, and of the gaps in its present one.

Sequence numbers that were seen are *runs* ``[start, end)``. They are kept flat and sorted in one
array, 16 bytes a run.
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, Self

import msgspec

MAX_RUNS = 16_384
"""Runs kept of one start, 256 KiB: more gaps than a reading a second can leave in the six hours in
which late readings are accepted. Beyond, the oldest gap is blurred."""
MAX_STARTS = 256
"""Most earlier starts kept of one device that were used within the time in which late readings are
accepted: some 100 KiB of a device that crashes all day."""
ALWAYS = 2**62
MARK_MS = 600_000

Verdict = Literal["new", "repeat", "unclear"]


@dataclass(slots=True, eq=False)
class Seen:
    """Ints of one start of a device that were seen; without its newest run while it is the
    device's present start."""

    boot: int
    newest_ms: int = 0
    """Measured time of its newest reading: a repeat was measured no later."""
    until_ms: int = 0
    """Not 0: the device used the boot id again, and readings up to this time are of this start."""
    bounds: "array[int]" = field(default_factory=lambda: array("q"))
    """start, end, start, end, ...; sorted, disjoint, and no end is the next start."""
    blurred_to: int = 0
    """Ints below it may be taken as seen without having been."""
    marks: list[tuple[int, int]] = field(default_factory=list)
    """(measured time, first number that was not seen by then), now and again."""

    def verdict(self, seq: int) -> Verdict:
        """Whether a number was seen."""
        if bisect_right(self.bounds, seq) % 2 == 0:
            return "new"
        return "unclear" if seq < self.blurred_to else "repeat"

    def add(self, start: int, end: int) -> None:
        """Add a run that overlaps none; neighbours that touch it merge."""
        bounds = self.bounds
        i = bisect_left(bounds, start)
        if i % 2:  # it begins where another ends
            bounds[i] = end
            if bounds[i + 1 : i + 2] == array("q", [end]):
                del bounds[i : i + 2]
        elif bounds[i : i + 1] == array("q", [end]):
            bounds[i] = start
        else:
            bounds[i:i] = array("q", [start, end])
        if len(bounds) > 2 * MAX_RUNS:
            self._blur(1)

    def pop_up_to(self, start: int) -> int:
        """Remove the last run where it ends at ``start``; return where the joined run starts."""
        if not self.bounds or self.bounds[-1] != start:
            return start
        start = self.bounds[-2]
        del self.bounds[-2:]
        return start

    def mark(self, end: int, horizon_ms: int) -> None:
        """Note that numbers before ``end`` were measured by now; close gaps that are too old.

        What was measured up to ``horizon_ms`` is too late to be accepted, seen or not.
        """
        if not self.marks or self.newest_ms - self.marks[-1][0] >= MARK_MS:
            self.marks.append((self.newest_ms, end))
        while self.marks and self.marks[0][0] <= horizon_ms:
            runs = (bisect_left(self.bounds, self.marks.pop(0)[1]) + 1) // 2
            self._blur(runs - 1)

    def _blur(self, gaps: int) -> None:
        """Count this many of the oldest gaps as seen."""
        if gaps > 0:
            del self.bounds[1 : 1 + 2 * gaps]
            self.blurred_to = self.bounds[1]


@dataclass(slots=True)
class Past:
    """A device's starts besides the newest run of its present one."""

    starts: list[Seen] = field(default_factory=list)
    """The one that was used last is the last."""
    forgotten_ms: int = 0
    """A reading measured up to then may belong to a start that was forgotten."""

    def find(self, boot: int, at_ms: int, *, own_clock: bool) -> Seen | None:
        """The start that a reading belongs to; boot ids that were used again go by time."""
        found = None
        for seen in self.starts:
            if seen.boot == boot:
                # The earliest that had not ended by then; the one that has not ended stands last.
                ends = seen.until_ms or ALWAYS
                may_be = not seen.until_ms or (own_clock and at_ms <= ends)
                if may_be and (found is None or ends < (found.until_ms or ALWAYS)):
                    found = seen
        return found

    def use(self, seen: Seen, horizon_ms: int) -> None:
        """Put a start last; forget what is too old, and then what was not used for longest."""
        self.starts = [*(s for s in self.starts if s is not seen), seen]
        if len(self.starts) > 1:
            self.starts = [s for s in self.starts if s.newest_ms > horizon_ms or s is seen]
        while len(self.starts) > MAX_STARTS:
            self.forgotten_ms = max(self.forgotten_ms, self.starts.pop(0).newest_ms)

    def tidy(self, horizon_ms: int) -> None:
        """Remove starts that decide nothing, and those used again that are too old."""
        self.starts = [
            s
            for s in self.starts
            if (s.bounds or s.blurred_to) and not 0 < s.until_ms <= horizon_ms
        ]

    def has_reused(self) -> bool:
        """Whether a boot id was used again."""
        return any(seen.until_ms for seen in self.starts)

    def pack(self) -> bytes:
        """As bytes; gaps are small, so differences take a byte or two."""
        starts = [
            (s.boot, s.newest_ms, s.until_ms, s.blurred_to, s.marks, _deltas(s.bounds))
            for s in self.starts
        ]
        return msgspec.msgpack.encode((self.forgotten_ms, starts))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Inverse of `pack`."""
        forgotten_ms, starts = msgspec.msgpack.decode(packed)
        return cls([_seen(start) for start in starts], forgotten_ms)


def _deltas(bounds: "array[int]") -> list[int]:
    """Of each bound, how far it is from the one before; few per row, so without numpy."""
    return [bound - before for before, bound in zip((0, *bounds), bounds, strict=False)]


def _seen(packed: tuple[int, int, int, int, list[list[int]], list[int]]) -> Seen:
    boot, newest_ms, until_ms, blurred_to, marks, deltas = packed
    bounds = array("q", accumulate(deltas))
    pairs = [(time_ms, end) for time_ms, end in marks]
    return Seen(boot, newest_ms, until_ms, bounds, blurred_to, pairs)
