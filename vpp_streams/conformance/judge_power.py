"""What a battery's power shows of its leases: judged on the readings."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from vpp_streams.conformance.transcript import Event, clock_behind_ms, readings

NEAR_SHARE, NEAR_W = 0.02, 50.0
RATING_MARGIN = 1.05
_BASE_SHARE = 0.3
"""Share of the step by which the household may move the battery just before a lease begins."""


class Sample(NamedTuple):
    """A battery's power, W, + = discharge, at a time by the gateway's clock."""

    t_ms: int
    power_w: float


class Ramp(NamedTuple):
    """The change of power that a lease asks for."""

    target_w: float
    ramp_w_s: float
    begins_ms: int
    ends_ms: int


def samples(events: Sequence[Event], utc_ahead_ms: int, clock_ahead_ms: int = 0) -> list[Sample]:
    """The power of each reading, live or sent later, in the order of time.

    ``clock_ahead_ms`` is the gateway's clock less UTC.
    """
    ahead_ms = clock_behind_ms(events, utc_ahead_ms) + clock_ahead_ms
    found = {
        reading.t + ahead_ms: power_w
        for reading in readings(events)
        if reading.t is not None and (power_w := reading.power_w) is not None
    }
    return [Sample(t_ms, power_w) for t_ms, power_w in sorted(found.items())]


def is_near(power_w: float, target_w: float) -> bool:
    """Whether a power counts as the setpoint: within 2 % of it, or 50 W."""
    return abs(power_w - target_w) <= max(NEAR_SHARE * abs(target_w), NEAR_W)


def target_w(base_w: float, soc: float | None, size_w: float) -> float:
    """A setpoint that is unlike what the battery does by itself, and that its charge allows."""
    direction = -1.0 if base_w >= 0 else 1.0
    if soc is not None and soc > 0.9:
        direction = 1.0
    elif soc is not None and soc < 0.3:
        direction = -1.0
    return direction * size_w + (base_w if direction * base_w > 0 else 0.0)


def within(power: Sequence[Sample], begins_ms: float, ends_ms: float) -> list[Sample]:
    """The samples of a span of time, both ends included."""
    return [sample for sample in power if begins_ms <= sample.t_ms <= ends_ms]


def too_fast(power: Sequence[Sample], ramp: Ramp, interval_ms: int) -> str | None:
    """The first change within a lease that is faster than its ramp; None = there is none.

    The last interval is left out: the end of a lease is not known to the millisecond.
    """
    inside = within(power, ramp.begins_ms, ramp.ends_ms - interval_ms)
    before = [sample for sample in power if sample.t_ms < ramp.begins_ms][-1:]
    for a, b in pairwise([*before, *inside]):
        allowed_w = NEAR_W + ramp.ramp_w_s * (b.t_ms - a.t_ms + interval_ms) / 1000
        if a.t_ms < ramp.begins_ms:
            allowed_w += _BASE_SHARE * abs(ramp.target_w - a.power_w)
        if abs(b.power_w - a.power_w) > allowed_w:
            return f"{a.power_w:.0f} W to {b.power_w:.0f} W in {b.t_ms - a.t_ms} ms"
    return None
