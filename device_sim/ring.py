"""A device's memory of readings without an Ack yet: bounded, the oldest dropped first."""

from collections.abc import Iterable

from schemas.telemetry import NativeBody


class Ring:
    """Readings by number, each with the time from which it may be sent (again) as Backfill."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a ring holds at least one reading")
        self.capacity = capacity
        self.next_seq = 0
        self._bodies: dict[int, NativeBody] = {}  # in rising order of number
        self._due_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def __getitem__(self, seq: int) -> NativeBody:
        return self._bodies[seq]

    @property
    def oldest_seq(self) -> int:
        """The oldest reading's number; ``next_seq`` if there is none."""
        return next(iter(self._bodies), self.next_seq)

    def add(self, body: NativeBody, due_ms: int) -> tuple[int, int]:
        """Keep a new reading; returns its number, and how many were dropped to make room."""
        seq = self.next_seq
        self.next_seq += 1
        self._bodies[seq], self._due_ms[seq] = body, due_ms
        return seq, self.forget((self.oldest_seq,)) if len(self) > self.capacity else 0

    def forget(self, seqs: Iterable[int]) -> int:
        """Drop readings; returns how many of them there were."""
        had = [seq for seq in seqs if self._bodies.pop(seq, None) is not None]
        for seq in had:
            del self._due_ms[seq]
        return len(had)

    def within(self, first: int, last: int) -> list[int]:
        """The numbers in ``[first..last]`` that it has, whatever the size of that range."""
        if last - first > len(self):
            return [seq for seq in self._bodies if first <= seq <= last]
        return [seq for seq in range(first, last + 1) if seq in self._bodies]

    def set_due(self, seqs: Iterable[int], due_ms: int) -> None:
        """Set from when these may be sent as Backfill; unknown numbers are ignored."""
        self._due_ms.update({seq: due_ms for seq in seqs if seq in self._bodies})

    def all_due(self) -> None:
        """Make every reading due: the link was lost, with all messages in flight."""
        self._due_ms = dict.fromkeys(self._due_ms, 0)

    def waiting(self, now_ms: int) -> int:
        """How many readings may be sent as Backfill now."""
        return sum(due <= now_ms for due in self._due_ms.values())

    def due_run(self, now_ms: int, most: int) -> range:
        """The oldest unbroken run of at most ``most`` readings that may be sent as Backfill now."""
        first = next((seq for seq, due in self._due_ms.items() if due <= now_ms), None)
        if first is None:
            return range(0)
        last = first
        while last - first + 1 < most and self._due_ms.get(last + 1, now_ms + 1) <= now_ms:
            last += 1
        return range(first, last + 1)
