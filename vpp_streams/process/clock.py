"""The time, for what is outside `Session`."""

from time import monotonic_ns, time_ns

from vpp_streams.gateway.actions import Now


def now() -> Now:
    """This moment on both clocks."""
    return Now(time_ns() // 1_000_000, monotonic_ns() // 1_000_000)
