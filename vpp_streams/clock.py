"""The one clock of every process; code that needs the time is passed one of these functions."""

import time

from vpp_streams.domain.moments import Now


def now_ms() -> int:
    """This moment in UTC, ms since 1970."""
    return time.time_ns() // 1_000_000


def mono_ms() -> int:
    """This moment on a clock that only goes forward, ms."""
    return time.monotonic_ns() // 1_000_000


def now() -> Now:
    """This moment on both clocks."""
    return Now(now_ms(), mono_ms())
