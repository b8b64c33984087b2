"""The time, for what is outside `Session`."""

import time

from vpp_streams.gateway.actions import Now


def now() -> Now:
    """This moment on both clocks."""
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)
