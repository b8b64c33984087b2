"""Delivery of an award, and the power of it that will be missing. Power in W, + = export.

Only measured energy counts as delivered. Unmeasured energy is neither averaged as 0 nor
extrapolated: it earns nothing, and the coverage gives the measured share of the region.
"""

from collections.abc import Iterable, Mapping

from schemas.dispatch import DispatchStatus, Notice
from schemas.market import Award, Delivery, Shortfall
from schemas.windows import RegionWindow
from vpp_streams.domain.control.requests import held_w
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.moments import HOUR_MS

WINDOW_S = 60
PATIENCE_MS = 60_000
"""This long after an interval's end it is measured by the windows that are there."""
SETTLE_MS = 3_000
"""This close to an interval's bounds the award before or after may still rule the region; between
them, any other request that rules keeps the award from being delivered."""
FRESH_MS = 6_000
"""An older status of a region does not show what it can deliver."""
NEAR_SHARE, NEAR_W = 0.02, 100.0
"""A shortfall is reported above this share of the award and this many watts."""


def window_s(interval_ms: int) -> int:
    """Size of the windows that an interval is measured by."""
    return min(WINDOW_S, interval_ms // 1000)


def measured(award: Award, windows: Mapping[int, RegionWindow]) -> Delivery:
    """An interval as measured by its windows (by start, ms); a missing one is not covered.

    The power is the measured energy over the complete interval.
    """
    size_ms = window_s(award.interval_ms) * 1000
    starts = _window_starts(award)
    measured_in = [windows[start] for start in starts if start in windows]
    energy_wh = sum(window.sums.battery.energy_wh for window in measured_in)
    covered_ms = sum(window.coverage * size_ms for window in measured_in)
    power_w = energy_wh * HOUR_MS / award.interval_ms
    return Delivery(
        bid_id=award.bid_id,
        market=award.market,
        region=award.region,
        start_ms=award.start_ms,
        interval_ms=award.interval_ms,
        awarded_w=award.energy_w,
        measured_w=power_w,
        coverage=min(covered_ms / (size_ms * len(starts)), 1.0),
        money=earned(award, power_w),
        currency=award.currency,
    )


def is_whole(award: Award, windows: Mapping[int, RegionWindow]) -> bool:
    """Whether every window of an interval is there."""
    return all(start in windows for start in _window_starts(award))


def _window_starts(award: Award) -> range:
    return range(award.start_ms, ends_ms(award), window_s(award.interval_ms) * 1000)


def earned(award: Award, power_w: float) -> float:
    """Money for energy as measured and capacity as awarded, at the clearing prices."""
    per_h = power_w * award.prices.get("energy", 0.0)
    per_h += sum(w * award.prices.get(product, 0.0) for product, w in award.capacity_w.items())
    return per_h / 1e6 * award.interval_ms / HOUR_MS


def delivery_error(deliveries: Iterable[Delivery]) -> float | None:
    """Deviation of deliveries from their awards, as a share of the awards: sums without sign.

    Deliveries without any measurement do not count; None where no power was awarded.
    """
    known = [delivery for delivery in deliveries if delivery.coverage > 0]
    awarded_w = sum(abs(delivery.awarded_w) for delivery in known)
    off_w = sum(abs(delivery.measured_w - delivery.awarded_w) for delivery in known)
    return off_w / awarded_w if awarded_w else None


def shortfall(
    award: Award,
    status: DispatchStatus | None,
    notice: Notice | None,
    reported: Shortfall | None,
    now_ms: int,
) -> Shortfall | None:
    """The shortfall to report of a running or future award; None = nothing new to report.

    ``status`` and ``notice`` are the region's newest, ``reported`` the award's last shortfall.
    """
    if status is None or now_ms - status.at_ms > FRESH_MS:
        return None
    deliverable_w = _deliverable_w(award, status, notice, now_ms)
    if deliverable_w is None:
        return None
    near_w = max(NEAR_SHARE * abs(award.energy_w), NEAR_W)
    missing_w = award.energy_w - deliverable_w
    if abs(missing_w) <= near_w:
        deliverable_w, missing_w = award.energy_w, 0.0
    before_w = reported.missing_w if reported else 0.0
    over = missing_w == 0.0 and before_w != 0.0
    if not over and abs(missing_w - before_w) <= max(0.1 * abs(before_w), near_w):
        return None
    return Shortfall(
        bid_id=award.bid_id,
        market=award.market,
        region=award.region,
        at_ms=now_ms,
        start_ms=award.start_ms,
        awarded_w=award.energy_w,
        deliverable_w=deliverable_w,
        missing_w=missing_w,
    )


def _deliverable_w(
    award: Award, status: DispatchStatus, notice: Notice | None, now_ms: int
) -> float | None:
    """Power of the award that the region will deliver; None = not known yet."""
    if status.at_ms < award.start_ms:
        # Held for 15 minutes, which is less than what could be given for a shorter interval:
        # the shortfall of a nearly empty region is reported a little early.
        up_w, down_w = held_w(status.capability, award.interval_ms / 1000)
        return min(max(award.energy_w, -down_w), up_w)
    if status.request_id == award.bid_id:
        missing_w = status.missing_w
        if notice is not None and notice.request_id == award.bid_id and notice.missing_w:
            missing_w = max(missing_w, notice.missing_w, key=abs)
        return award.energy_w - missing_w
    if not award.start_ms + SETTLE_MS <= now_ms < ends_ms(award) - SETTLE_MS:
        return None
    # Another request rules the region: what it does then is delivered by chance.
    power_w = status.measured_w if status.asked_w is None else status.asked_w
    if award.energy_w >= 0:
        return min(max(power_w, 0.0), award.energy_w)
    return max(min(power_w, 0.0), award.energy_w)
