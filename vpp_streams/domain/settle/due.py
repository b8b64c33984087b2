"""What has to be settled, and when nothing about it has changed for long enough."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

QUIET_MS = 10_000
"""Something is settled when nothing about it has changed for this long, or after `LATEST_MS`: the
windows of its sites and its delivery arrive one after another."""
LATEST_MS = 60_000


class Due(Generic[K]):
    """What changed since it was settled last."""

    def __init__(self) -> None:
        self._changed: dict[K, tuple[int, int]] = {}
        """When it changed first and last, ms."""

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._changed))

    def __len__(self) -> int:
        return len(self._changed)

    def changed(self, key: K, now_ms: int) -> None:
        """Something about it has changed."""
        first_ms, _ = self._changed.get(key, (now_ms, now_ms))
        self._changed[key] = first_ms, now_ms

    def ready(self, now_ms: int) -> Iterable[K]:
        """What may be settled now, in no particular order."""
        return [
            key
            for key, (first_ms, last_ms) in self._changed.items()
            if now_ms - last_ms >= QUIET_MS or now_ms - first_ms >= LATEST_MS
        ]

    def done(self, key: K) -> None:
        """It is settled, or no longer to be settled."""
        self._changed.pop(key, None)
