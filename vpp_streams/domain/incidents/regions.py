"""What incidents' rules measure of regions: a fold of the newest records of each."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.dispatch import DispatchStatus
from schemas.incidents import IncidentKind
from schemas.market import Delivery, Refusal
from schemas.windows import RegionLive
from vpp_streams.domain.control.standing import lost_in_words, lost_share
from vpp_streams.domain.incidents.watch import Measurement
from vpp_streams.domain.market.delivery import delivery_error, of_the_fleet
from vpp_streams.domain.moments import HOUR_MS

FRESH_MS = 10_000
"""An older report does not say what is measured now."""
MAX_REGIONS = 10_000
MAX_REFUSALS = 10_000


@dataclass(slots=True)
class _Region:
    """The newest records of a region, and when they were received."""

    known_since_ms: int
    live: RegionLive | None = None
    live_ms: int | None = None
    status: DispatchStatus | None = None
    status_ms: int | None = None
    held_since_ms: int | None = None
    delivery: Delivery | None = None
    refusals: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=MAX_REFUSALS))


class RegionsSeen:
    """The newest records of every region that has sites or was reported on."""

    def __init__(self) -> None:
        self._regions: dict[str, _Region] = {}

    def expect(self, regions: frozenset[str], now_ms: int) -> None:
        """The regions that have active sites; the others are forgotten."""
        for name in regions - self._regions.keys():
            if len(self._regions) < MAX_REGIONS:
                self._regions[name] = _Region(now_ms)
        for name in self._regions.keys() - regions:
            del self._regions[name]

    def live(self, live: RegionLive, now_ms: int) -> None:
        """Apply a region's live record."""
        if (region := self._regions.get(live.region)) is not None:
            region.live, region.live_ms = live, now_ms

    def status(self, status: DispatchStatus, now_ms: int) -> None:
        """Apply the status of a region's dispatch."""
        if (region := self._regions.get(status.region)) is None:
            return
        region.status, region.status_ms = status, now_ms
        if status.mode != "hold":
            region.held_since_ms = None
        elif region.held_since_ms is None:
            region.held_since_ms = now_ms

    def delivery(self, delivery: Delivery) -> None:
        """Apply what was delivered of an award; of a region, the newest interval counts."""
        region = self._regions.get(delivery.region)
        if region is None or of_the_fleet(delivery) is None or not delivery.coverage:
            return
        if region.delivery is None or delivery.start_ms >= region.delivery.start_ms:
            region.delivery = delivery

    def refusal(self, refusal: Refusal) -> None:
        """Apply an offer that the market refused."""
        if (region := self._regions.get(refusal.region)) is not None:
            region.refusals.append((refusal.at_ms, refusal.reason))

    def measured(self, now_ms: int) -> Iterator[Measurement]:
        """Every measurement of every region."""
        for name, region in self._regions.items():
            for kind, value, evidence in _measurements(region, now_ms):
                yield Measurement(
                    kind=kind, subject=name, region=name, value=value, evidence=evidence
                )


Measured = tuple[IncidentKind, float | None, str]


def _measurements(region: _Region, now_ms: int) -> Iterator[Measured]:
    live_age_s = _age_s(region.live_ms, region, now_ms)
    yield "region_silent", live_age_s, f"no telemetry of the region for {live_age_s:,.0f} s"
    dispatch_age_s = _age_s(region.status_ms, region, now_ms)
    said = f"no report of the region's dispatch for {dispatch_age_s:,.0f} s"
    yield "dispatch_silent", dispatch_age_s, said
    yield _sites_silent(region, now_ms)
    yield from _of_dispatch(region, now_ms)
    yield _delivery_missed(region)
    yield _bids_refused(region, now_ms)


def _age_s(received_ms: int | None, region: _Region, now_ms: int) -> float:
    """Age of a report; of one that was never received, the time for which it was expected."""
    since_ms = region.known_since_ms if received_ms is None else received_ms
    return max(now_ms - since_ms, 0) / 1000


def _sites_silent(region: _Region, now_ms: int) -> Measured:
    live = region.live
    if live is None or region.live_ms is None or now_ms - region.live_ms > FRESH_MS:
        return "sites_silent", None, "the region is not measured"
    expected, reporting = live.aggregate.sites_expected, live.aggregate.sites_reporting
    share = 1 - min(live.coverage, 1.0)
    return "sites_silent", share, f"{reporting:,} of {expected:,} sites report"


def _of_dispatch(region: _Region, now_ms: int) -> Iterator[Measured]:
    status = region.status
    if status is None or region.status_ms is None or now_ms - region.status_ms > FRESH_MS:
        unknown = "the region's dispatch is not reported"
        yield "not_commandable", None, unknown
        yield "held", None, unknown
        yield "power_missing", None, unknown
        return
    if status.commandable is None:
        yield "not_commandable", None, "it is not known how many batteries can be commanded"
    else:
        share, said = lost_share(status.commandable), lost_in_words(status.commandable)
        yield "not_commandable", share, said
    held_s = 0.0 if region.held_since_ms is None else (now_ms - region.held_since_ms) / 1000
    said = f"the region has been held for {held_s:,.0f} s" if held_s else "the region is not held"
    yield "held", held_s, said
    yield _power_missing(status)


def _power_missing(status: DispatchStatus) -> Measured:
    asked_w = status.asked_w
    if not asked_w:
        return "power_missing", 0.0, "no power is requested"
    share = abs(status.missing_w) / abs(asked_w)
    causes = ", ".join(dict.fromkeys(cause.cause for cause in status.causes)) or "no cause"
    said = (
        f"{abs(status.missing_w) / 1000:,.1f} of {abs(asked_w) / 1000:,.1f} kW of request"
        f" {status.request_id} is missing: {causes}"
    )
    return "power_missing", share, said


def _delivery_missed(region: _Region) -> Measured:
    delivery = region.delivery
    error = delivery_error([delivery]) if delivery is not None else None
    if delivery is None or error is None:
        return "delivery_missed", None, "no delivery was measured"
    said = (
        f"award {delivery.bid_id}: {delivery.measured_w / 1000:,.1f} of"
        f" {delivery.awarded_w / 1000:,.1f} kW delivered, {delivery.coverage:.0%} measured"
    )
    return "delivery_missed", error, said


def _bids_refused(region: _Region, now_ms: int) -> Measured:
    recent = [reason for at_ms, reason in region.refusals if now_ms - at_ms <= HOUR_MS]
    if not recent:
        return "bids_refused", 0.0, "no offer was refused in the last hour"
    said = f"{len(recent)} refused in the last hour, the last one because {recent[-1]}"
    return "bids_refused", float(len(recent)), said[:500]
