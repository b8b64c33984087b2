"""The clocks of a home."""

import time
from datetime import UTC, datetime


def monotonic_ms() -> int:
    """The monotonic clock for waiting times and for the timers of inverters, ms."""
    return time.monotonic_ns() // 1_000_000


def utc_ms() -> int:
    """The computer's own clock, right or wrong, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def day_of(ms: int) -> str:
    """A time, ms since 1970 UTC, as its day in ISO 8601."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
