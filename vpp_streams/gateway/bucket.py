"""A token bucket on a clock that is passed in."""


class TokenBucket:
    """Allows ``burst`` at once and ``per_s`` in the long run."""

    __slots__ = ("_at_ms", "_tokens", "burst", "per_s")

    def __init__(self, per_s: float, burst: float, now_ms: int) -> None:
        self.per_s = per_s
        self.burst = burst
        self._tokens = burst
        self._at_ms = now_ms

    def take(self, n: float, now_ms: int) -> bool:
        """Take ``n`` tokens if they are there; ``now_ms`` is a monotonic clock."""
        if self.left(now_ms) < n:
            return False
        self._tokens -= n
        return True

    def left(self, now_ms: int) -> float:
        """Tokens that could be taken now."""
        self._tokens = min(self.burst, self._tokens + (now_ms - self._at_ms) / 1000 * self.per_s)
        self._at_ms = now_ms
        return self._tokens

    def spend(self, n: float) -> None:
        """Take what `left` has shown to be there; never below 0."""
        self._tokens = max(0.0, self._tokens - n)
