"""A token bucket on a clock that is passed in."""


class TokenBucket:
    """Allows ``burst`` at once and ``per_s`` in the long run."""

    __slots__ = ("_at_ms", "burst", "per_s", "tokens")

    def __init__(self, per_s: float, burst: float, now_ms: int) -> None:
        self.per_s = per_s
        self.burst = burst
        self.tokens = burst
        """As they were at the last `refill`, less what was taken since."""
        self._at_ms = now_ms

    def take(self, n: float, now_ms: int) -> bool:
        """Take ``n`` tokens if they are there; ``now_ms`` is a monotonic clock."""
        # As `refill`, without another call: every reading takes a token.
        tokens = self.tokens + (now_ms - self._at_ms) / 1000 * self.per_s
        tokens = min(tokens, self.burst)
        self._at_ms = now_ms
        if tokens < n:
            self.tokens = tokens
            return False
        self.tokens = tokens - n
        return True

    def refill(self, now_ms: int) -> float:
        """Put in what time has brought; returns the tokens that are there now."""
        self.tokens = min(self.burst, self.tokens + (now_ms - self._at_ms) / 1000 * self.per_s)
        self._at_ms = now_ms
        return self.tokens
