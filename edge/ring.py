"""A device's readings without an Ack yet: bounded, the oldest dropped first.

Each has a number and the boot id under which it is named, and a time from which it may be sent
(again) as Backfill. `MemoryRing` forgets at the end of the process; `edge.store.DurableRing` does
not.
"""

from collections.abc import Iterable
from typing import Protocol

from schemas.bodies import NativeBody


class Ring(Protocol):
    """The readings that a device keeps."""

    @property
    def boot(self) -> str:
        """Boot id of the next reading."""

    @property
    def next_seq(self) -> int:
        """Number of the next reading; it only rises, also from one boot id to the next."""

    @property
    def oldest_seq(self) -> int:
        """The oldest reading's number; ``next_seq`` if there is none."""

    def __len__(self) -> int: ...

    def bodies(self, run: range) -> list[NativeBody | None]:
        """The readings of a `due_run`; None = it was lost meanwhile."""

    def boot_of(self, seq: int) -> str:
        """Boot id of a reading that was numbered ``seq``."""

    def renew(self, boot: str) -> None:
        """Name the readings from the next one on by another boot id; earlier ones keep theirs."""

    def add(self, body: NativeBody, due_ms: int) -> tuple[int, int]:
        """Keep a new reading; returns its number, and how many were dropped to make room."""

    def forget(self, seqs: Iterable[int]) -> int:
        """Drop readings; returns how many of them there were."""

    def within(self, first: int, last: int) -> list[int]:
        """The numbers in ``[first..last]`` that it has, whatever the size of that range."""

    def set_due(self, seqs: Iterable[int], due_ms: int) -> None:
        """Set from when these may be sent as Backfill; unknown numbers are ignored."""

    def all_due(self) -> None:
        """Make every reading due: the link was lost, with all messages in flight."""

    def waiting(self, now_ms: int) -> int:
        """How many readings may be sent as Backfill now."""

    def due_run(self, now_ms: int, most: int) -> range:
        """The oldest unbroken run of at most ``most`` readings of one boot that may be sent as
        Backfill now."""


class Boots:
    """The boot ids of a ring's readings: each applies from a number on."""

    def __init__(self, boot: str, first_seq: int = 0) -> None:
        self._from: list[tuple[int, str]] = [(first_seq, boot)]

    @property
    def newest(self) -> str:
        """Boot id of the next reading."""
        return self._from[-1][1]

    def renew(self, boot: str, first_seq: int) -> None:
        """Another boot id applies from ``first_seq`` on."""
        self._from.append((first_seq, boot))

    def of(self, seq: int) -> str:
        """Boot id of the reading that was numbered ``seq``."""
        return next((boot for first, boot in reversed(self._from) if first <= seq), self.newest)

    def end_of(self, seq: int) -> float:
        """The first number of the boot after that of ``seq``; inf = it is the newest."""
        return next((first for first, _ in self._from if first > seq), float("inf"))


class MemoryRing:
    """A `Ring` in memory."""

    def __init__(self, boot: str, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a ring holds at least one reading")
        self.capacity = capacity
        self.next_seq = 0
        self._boots = Boots(boot)
        self._bodies: dict[int, NativeBody] = {}  # in rising order of number
        self._due_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def boot(self) -> str:
        """See `Ring.boot`."""
        return self._boots.newest

    @property
    def oldest_seq(self) -> int:
        """See `Ring.oldest_seq`."""
        return next(iter(self._bodies), self.next_seq)

    def bodies(self, run: range) -> list[NativeBody | None]:
        """See `Ring.bodies`."""
        return [self._bodies.get(seq) for seq in run]

    def boot_of(self, seq: int) -> str:
        """See `Ring.boot_of`."""
        return self._boots.of(seq)

    def renew(self, boot: str) -> None:
        """See `Ring.renew`."""
        self._boots.renew(boot, self.next_seq)

    def add(self, body: NativeBody, due_ms: int) -> tuple[int, int]:
        """See `Ring.add`."""
        seq = self.next_seq
        self.next_seq += 1
        self._bodies[seq], self._due_ms[seq] = body, due_ms
        return seq, self.forget((self.oldest_seq,)) if len(self) > self.capacity else 0

    def forget(self, seqs: Iterable[int]) -> int:
        """See `Ring.forget`."""
        had = [seq for seq in seqs if self._bodies.pop(seq, None) is not None]
        for seq in had:
            del self._due_ms[seq]
        return len(had)

    def within(self, first: int, last: int) -> list[int]:
        """See `Ring.within`."""
        if last - first > len(self):
            return [seq for seq in self._bodies if first <= seq <= last]
        return [seq for seq in range(first, last + 1) if seq in self._bodies]

    def set_due(self, seqs: Iterable[int], due_ms: int) -> None:
        """See `Ring.set_due`."""
        self._due_ms.update({seq: due_ms for seq in seqs if seq in self._bodies})

    def all_due(self) -> None:
        """See `Ring.all_due`."""
        self._due_ms = dict.fromkeys(self._due_ms, 0)

    def waiting(self, now_ms: int) -> int:
        """See `Ring.waiting`."""
        return sum(due <= now_ms for due in self._due_ms.values())

    def due_run(self, now_ms: int, most: int) -> range:
        """See `Ring.due_run`."""
        first = next((seq for seq, due in self._due_ms.items() if due <= now_ms), None)
        if first is None:
            return range(0)
        last, end = first, self._boots.end_of(first)
        while (
            last - first + 1 < most
            and last + 1 < end
            and self._due_ms.get(last + 1, now_ms + 1) <= now_ms
        ):
            last += 1
        return range(first, last + 1)
