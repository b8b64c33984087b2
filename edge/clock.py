"""The clocks of a home."""

import time


def monotonic_ms() -> int:
    """The monotonic clock for waiting times and for the timers of inverters, ms."""
    return time.monotonic_ns() // 1_000_000


def utc_ms() -> int:
    """The computer's own clock, right or wrong, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
