"""Wrong secrets by whom they come from: each further one makes the sender wait twice as long.

The same for tokens, passwords and codes; time is an argument.
"""

from dataclasses import dataclass

FREE_TRIES = 5
"""Wrong secrets before the first lock."""
FIRST_LOCK_S, LONGEST_LOCK_S = 30.0, 900.0
"""Each lock is twice as long as the previous one, s."""
FORGET_S = 3600.0
"""Wrong secrets are forgotten after this long without another, s."""
_MAX_KEPT, _MAX_PROVEN = 10_000, 1_000


@dataclass(slots=True)
class Tries:
    """Wrong secrets of one sender."""

    failures: int = 0
    digest: str = ""
    """Digest of the last one: the same token again is not counted as another guess."""
    last_s: float = 0.0
    lock_s: float = FIRST_LOCK_S
    locked_until_s: float = 0.0
    refused: int = 0
    """Requests refused without a check while it was locked."""


class Guesses:
    """Who sent wrong secrets, and who is locked out for how long."""

    def __init__(self, free: int = FREE_TRIES) -> None:
        self._free = free
        self._tries: dict[str, Tries] = {}
        self._proven: dict[tuple[str, str], None] = {}
        """(sender, what it proved), the newest last."""

    def __len__(self) -> int:
        return len(self._tries)

    def locked_for_s(self, sender: str, now_s: float, proof: str = "") -> float:
        """How long a sender is locked out still, s; 0 = its next secret is checked.

        A sender that has proved ``proof`` before is not locked out with it: a neighbour who
        guesses must not keep it out.
        """
        tries = self._tries.get(sender)
        if tries is None or now_s >= tries.locked_until_s or (sender, proof) in self._proven:
            return 0.0
        tries.refused += 1
        return tries.locked_until_s - now_s

    def failed(self, sender: str, now_s: float, digest: str = "") -> tuple[Tries, float] | None:
        """Count a wrong secret; its sender's tries, and for how long it is locked out now, s.

        None if it is the same one as before, which is not another guess.
        """
        tries = self._tries.pop(sender, None)
        if tries is None or now_s - tries.last_s > FORGET_S:
            tries = Tries()
        self._tries[sender] = tries  # the newest is last
        while len(self._tries) > _MAX_KEPT:
            del self._tries[next(iter(self._tries))]
        tries.last_s = now_s
        if digest and digest == tries.digest:
            return None
        tries.failures, tries.digest = tries.failures + 1, digest
        locked_s = 0.0
        if tries.failures >= self._free:
            locked_s, tries.lock_s = tries.lock_s, min(LONGEST_LOCK_S, 2 * tries.lock_s)
            tries.locked_until_s = now_s + locked_s
        return tries, locked_s

    def proved(self, sender: str, proof: str) -> None:
        """Note that a sender has proved something."""
        self._proven.pop((sender, proof), None)
        self._proven[sender, proof] = None
        while len(self._proven) > _MAX_PROVEN:
            del self._proven[next(iter(self._proven))]
