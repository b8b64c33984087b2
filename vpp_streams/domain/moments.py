"""Moments and lengths of time, in ms; a moment is UTC since 1970 unless its name says otherwise."""

import msgspec

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Now(msgspec.Struct, frozen=True, gc=False):
    """One moment on two clocks, ms: UTC for what is written, monotonic for what is waited for."""

    utc_ms: int
    mono_ms: int
