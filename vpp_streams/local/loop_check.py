"""Judges whether the loop is healthy, as a pure function of the web process's summaries."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from vpp_streams.local.drill import DrillReport
from vpp_streams.serving.ages import percentile

AGE_P99_GOAL_MS = 1500.0
CURRENT_MS = 5_000
"""A region whose figures or readings are older than this is still catching up."""
COVERAGE_GOAL = 0.98
REJECTED_SHARE_LIMIT = 0.01
ACCEPTED_P99_GOAL_MS = 250.0
DISPATCH_ERROR_GOAL = 0.02
IN_FLIGHT_S = 2.0
"""Readings of this long may not be counted by ingest yet: counters are published separately."""
LAG_LIMIT_RECORDS = 1_000
"""A few seconds of a demo fleet's frames."""


class RegionNow(msgspec.Struct, frozen=True):
    """The part of a region's summary that is judged."""

    region: str
    coverage: float
    soc: float | None = None
    battery_w: float | None = None
    age_p50_ms: float | None = None
    age_p99_ms: float | None = None
    at_ms: int = 0


class Summary(msgspec.Struct, frozen=True):
    """The part of ``GET /api/v1/summary`` that is judged."""

    devices_connected: int
    readings_in: int
    canonical: int
    rejected: int
    windows_closed: int
    lag: float = 0.0
    regions: tuple[RegionNow, ...] = ()
    at_ms: int = 0


class Expected(msgspec.Struct, frozen=True):
    """The devices and regions that a healthy loop has, and for how long it is measured."""

    devices: int
    regions: frozenset[str]
    seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``vpp up --check`` prints."""

    healthy: bool
    reasons: tuple[str, ...]
    """Why the loop is not healthy; empty if it is."""
    seconds: float
    devices: int
    readings_in: int
    canonical: int
    rejected: int
    windows_closed: int
    coverage: dict[str, float]
    age_p50_ms: float | None
    age_p99_ms: float | None
    lag: float
    restarts: int
    dispatch: DrillReport | None = None


def is_warm(summary: Summary, expected: Expected) -> bool:
    """Whether every device is connected and every region covered, so that measuring may start.

    What a run left behind is not measured in the next one: a region shows its last figures until
    it works again, and then the readings that had been on their way.
    """
    covered = {r.region for r in summary.regions if r.coverage >= COVERAGE_GOAL}
    current = {r.region for r in summary.regions if _is_current(r, summary.at_ms)}
    everywhere = expected.regions <= covered & current
    return summary.devices_connected >= expected.devices and everywhere


def _is_current(region: RegionNow, now_ms: int) -> bool:
    age_ms = region.age_p99_ms
    return now_ms - region.at_ms <= CURRENT_MS and age_ms is not None and age_ms <= CURRENT_MS


class _Flow(NamedTuple):
    """What was counted between two summaries."""

    readings_in: int
    canonical: int
    rejected: int
    windows_closed: int

    @classmethod
    def between(cls, first: Summary, last: Summary) -> "_Flow":
        return cls(*(getattr(last, name) - getattr(first, name) for name in cls._fields))


def judge(
    first: Summary,
    last: Summary,
    *,
    ages: Mapping[int, int],
    expected: Expected,
    restarts: Mapping[str, int],
    dispatch: DrillReport | None = None,
) -> Report:
    """Judge a run by its first and last summary and the ages of the readings in between.

    ``ages`` counts readings by age, ms; ``restarts`` counts restarts by process name.
    """
    p50, p99 = percentile(ages, 0.50), percentile(ages, 0.99)
    flow = _Flow.between(first, last)
    coverage = {region.region: region.coverage for region in last.regions}
    reasons = [
        *_what_is_missing(last.devices_connected, coverage, expected),
        *_what_is_stuck(flow, expected),
        *_what_is_late(p99, last.lag),
        *(_what_was_not_delivered(dispatch) if dispatch is not None else ()),
        *(f"{name} crashed {n}x; see its log" for name, n in restarts.items() if n),
    ]
    return Report(
        healthy=not reasons,
        reasons=tuple(reasons),
        seconds=expected.seconds,
        devices=last.devices_connected,
        **flow._asdict(),
        coverage=coverage,
        age_p50_ms=p50,
        age_p99_ms=p99,
        lag=last.lag,
        restarts=sum(restarts.values()),
        dispatch=dispatch,
    )


def _what_is_late(p99_ms: float | None, lag: float) -> Iterable[str]:
    if p99_ms is None:
        yield "no reading reached a region"
    elif p99_ms > AGE_P99_GOAL_MS:
        yield f"reading-to-region age p99 is {p99_ms:.0f} ms, over {AGE_P99_GOAL_MS:.0f} ms"
    if lag > LAG_LIMIT_RECORDS:
        yield f"the workers are {lag:.0f} records behind"


def _what_was_not_delivered(dispatch: DrillReport) -> Iterable[str]:
    p99 = dispatch.accepted_p99_ms
    if p99 is None:
        yield "no device accepted a setpoint"
    elif p99 > ACCEPTED_P99_GOAL_MS:
        yield f"target-to-accepted p99 is {p99:.0f} ms, over {ACCEPTED_P99_GOAL_MS:.0f} ms"
    for region, error in sorted(dispatch.error_mean.items()):
        if error > DISPATCH_ERROR_GOAL and region not in dispatch.missing_w:
            yield f"region {region} missed its target by {error:.1%} on average"
    if dispatch.breaches:
        yield f"{dispatch.breaches} limits were broken; see the health of each process"


def _what_is_missing(
    devices: int, coverage: Mapping[str, float], expected: Expected
) -> Iterable[str]:
    if devices < expected.devices:
        yield f"{devices} of {expected.devices} devices are connected"
    for region in sorted(expected.regions):
        if region not in coverage:
            yield f"nothing is known of region {region}"
        elif coverage[region] < COVERAGE_GOAL:
            yield f"coverage of region {region} is {coverage[region]:.1%}"


def _what_is_stuck(flow: _Flow, expected: Expected) -> Iterable[str]:
    readings_in, canonical, rejected, windows_closed = flow
    if readings_in <= 0:
        yield "the gateway received no readings"
    elif canonical + rejected < 0.9 * (readings_in - IN_FLIGHT_S * expected.devices):
        yield f"ingest made {canonical} canonical and {rejected} rejected of {readings_in} readings"
    if rejected > REJECTED_SHARE_LIMIT * max(readings_in, 1):
        yield f"{rejected} of {readings_in} readings were rejected"
    if windows_closed <= 0 and expected.seconds >= 60:
        yield "no window closed"
