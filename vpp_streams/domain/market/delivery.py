"""Delivery of an award, and the power of it that will be missing. Power in W, + = export.

Only measured energy counts as delivered. Unmeasured energy is neither averaged as 0 nor
extrapolated: it earns nothing, and the coverage gives the measured share of the region.

Capacity is paid as far as it was there, as the California ISO does ("No Pay": Fifth Replacement
Electronic Tariff, sections 8.10.8 and 11.10.9; BPM configuration guide *Spin and Non-Spin No Pay
Quantity Pre-calculation*): payments for capacity that was unavailable, undispatchable or not
delivered when it was called are eliminated to that extent.
"""

from collections.abc import Iterable, Mapping, Sequence

from schemas.bounds import MeteredAt
from schemas.dispatch import DispatchStatus, Notice
from schemas.market import Award, Delivery, Shortfall
from schemas.windows import RegionWindow
from vpp_streams.domain.control.requests import held_w
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Override, overridden_ms
from vpp_streams.domain.moments import HOUR_MS

WINDOW_S = 60
PATIENCE_MS = 60_000
"""This long after an interval's end it is measured by the windows that are there."""
SETTLE_MS = 3_000
"""This close to an interval's bounds the award before or after may still rule the region; between
them, any other request that rules keeps the award from being delivered. After one that ended, the
devices are given as long to come back."""
FRESH_MS = 6_000
"""An older status of a region does not show what it can deliver."""
NEAR_SHARE, NEAR_W = 0.02, 100.0
"""A shortfall is reported above this share of the award and this many watts."""


def window_s(interval_ms: int) -> int:
    """Size of the windows that an interval is measured by."""
    return min(WINDOW_S, interval_ms // 1000)


def measured(
    award: Award, windows: Mapping[int, RegionWindow], overrides: Sequence[Override] = ()
) -> Delivery:
    """An interval as measured by its windows (by start, ms); a missing one is not covered.

    The power is the measured energy over the complete interval, where the award is metered.
    """
    size_ms = window_s(award.interval_ms) * 1000
    starts, at = _window_starts(award), award.metered_at
    measured_in = [windows[start] for start in starts if start in windows]
    power_w = sum(_metered_wh(window, at) for window in measured_in) * HOUR_MS / award.interval_ms
    covered_ms = sum(_coverage(window, at) * size_ms for window in measured_in)
    coverage = min(covered_ms / (size_ms * len(starts)), 1.0)
    needed_w, given_w = _of_the_fleet(award, windows, overrides)
    pair = (award.energy_w, power_w) if needed_w is None or given_w is None else (needed_w, given_w)
    overridden = overridden_ms(overrides, award.start_ms, ends_ms(award))
    there = capacity_there(*pair, coverage, 1.0 - overridden / award.interval_ms)
    capacity_money = paid_for_capacity(award, there)
    return Delivery(
        bid_id=award.bid_id,
        market=award.market,
        region=award.region,
        start_ms=award.start_ms,
        interval_ms=award.interval_ms,
        awarded_w=award.energy_w,
        measured_w=power_w,
        coverage=coverage,
        money=paid_for_energy(award, power_w) + capacity_money,
        currency=award.currency,
        metered_at=at,
        overridden_s=overridden / 1000,
        overridden_by=tuple(dict.fromkeys(id_ for one in overrides for id_ in one.by)),
        needed_w=needed_w,
        given_w=given_w,
        capacity_money=capacity_money,
        capacity_share=there if award.capacity_w else None,
    )


def of_the_fleet(delivery: Delivery) -> tuple[float, float] | None:
    """Battery power that the award called for and that was measured, W; None = no evidence.

    Time in which another request took precedence is in neither.
    """
    if delivery.needed_w is not None and delivery.given_w is not None:
        return delivery.needed_w, delivery.given_w
    if delivery.overridden_s > 0 or delivery.metered_at == "connection":
        return None
    return delivery.awarded_w, delivery.measured_w


def _of_the_fleet(
    award: Award, windows: Mapping[int, RegionWindow], overrides: Sequence[Override]
) -> tuple[float | None, float | None]:
    """Needed and given battery power over the windows that no override touches."""
    if not overrides and award.metered_at == "battery":
        return None, None
    size_ms = window_s(award.interval_ms) * 1000
    free = [
        start
        for start in _window_starts(award)
        if not overridden_ms(overrides, start - SETTLE_MS, start + size_ms)
    ]
    if not free:
        return None, None
    hours = len(free) * size_ms / HOUR_MS
    sums = [windows[start].sums for start in free if start in windows]
    given_w = sum(each.battery.energy_wh for each in sums) / hours
    if award.metered_at == "battery":
        return award.energy_w, given_w
    net_load_w = sum(each.grid.energy_wh + each.battery.energy_wh for each in sums) / hours
    return award.energy_w + net_load_w, given_w


def _metered_wh(window: RegionWindow, at: MeteredAt) -> float:
    """Energy given to the market. Sites count what they take from the grid as positive."""
    sums = window.sums
    return sums.battery.energy_wh if at == "battery" else -sums.grid.energy_wh


def _coverage(window: RegionWindow, at: MeteredAt) -> float:
    """Covered site time; a site that does not measure its connection does not cover it."""
    sites, reporting = window.sums.grid.sites, window.sums.sites_reporting
    if at == "battery" or sites is None or not reporting:
        return window.coverage
    return window.coverage * min(sites / reporting, 1.0)


def is_whole(award: Award, windows: Mapping[int, RegionWindow]) -> bool:
    """Whether every window of an interval is there."""
    return all(start in windows for start in _window_starts(award))


def _window_starts(award: Award) -> range:
    return range(award.start_ms, ends_ms(award), window_s(award.interval_ms) * 1000)


def paid_for_energy(award: Award, power_w: float) -> float:
    """Money for energy as measured, at the clearing price."""
    return power_w * award.prices.get("energy", 0.0) / 1e6 * award.interval_ms / HOUR_MS


def paid_for_capacity(award: Award, there: float) -> float:
    """Money for the share of the awarded capacity that was there, at the clearing prices."""
    per_h = sum(w * award.prices.get(product, 0.0) for product, w in award.capacity_w.items())
    return there * per_h / 1e6 * award.interval_ms / HOUR_MS


def capacity_there(needed_w: float, given_w: float, coverage: float, free: float) -> float:
    """Share of the awarded capacity that was there, 0..1.

    Capacity of batteries that were not measured was unavailable (``coverage``); while another
    request took precedence it could not be dispatched (``free`` is the other time's share); and
    where less energy was given than needed, the rest was not delivered.
    """
    delivered = min(max(given_w / needed_w, 0.0), 1.0) if needed_w else 1.0
    return min(coverage, delivered) * min(max(free, 0.0), 1.0)


def delivery_error(deliveries: Iterable[Delivery]) -> float | None:
    """Deviation of deliveries from their awards, as a share of the awards: sums without sign.

    Neither deliveries without any measurement nor what other requests overrode counts; None where
    no power was awarded.
    """
    found = [of_the_fleet(delivery) for delivery in deliveries if delivery.coverage > 0]
    known = [pair for pair in found if pair is not None]
    needed = sum(abs(needed_w) for needed_w, _ in known)
    off = sum(abs(given_w - needed_w) for needed_w, given_w in known)
    return off / needed if needed else None


def shortfall(
    award: Award,
    status: DispatchStatus | None,
    notice: Notice | None,
    reported: Shortfall | None,
    now_ms: int,
    *,
    overridden_by: tuple[str, ...] = (),
) -> Shortfall | None:
    """The shortfall to report of a running or future award; None = nothing new to report.

    ``status`` and ``notice`` are the region's newest, ``reported`` the award's last shortfall.
    ``overridden_by`` are the requests that take precedence over the award now.
    """
    if status is None or now_ms - status.at_ms > FRESH_MS:
        return None
    deliverable_w = _deliverable_w(award, status, notice, now_ms)
    if deliverable_w is None:
        return None
    near_w = max(NEAR_SHARE * abs(award.energy_w), NEAR_W)
    missing_w = award.energy_w - deliverable_w
    if abs(missing_w) <= near_w:
        deliverable_w, missing_w, overridden_by = award.energy_w, 0.0, ()
    before_w, before_by = (reported.missing_w, reported.overridden_by) if reported else (0.0, ())
    over = missing_w == 0.0 and before_w != 0.0
    same = abs(missing_w - before_w) <= max(0.1 * abs(before_w), near_w)
    if not over and same and (overridden_by == before_by or not missing_w):
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
        overridden_by=overridden_by,
    )


def _deliverable_w(
    award: Award, status: DispatchStatus, notice: Notice | None, now_ms: int
) -> float | None:
    """Power of the award that the region will deliver; None = not known yet.

    At a connection the load and solar power of now are taken for those of the interval.
    """
    net_load_w = status.net_load_w if award.metered_at == "connection" else 0.0
    asked_w = award.energy_w + net_load_w
    if status.at_ms < award.start_ms:
        # Held for 15 minutes, which is less than what could be given for a shorter interval:
        # the shortfall of a nearly empty region is reported a little early.
        up_w, down_w = held_w(status.capability, award.interval_ms / 1000)
        return min(max(asked_w, -down_w), up_w) - net_load_w
    if status.request_id == award.bid_id:
        missing_w = status.missing_w
        if notice is not None and notice.request_id == award.bid_id and notice.missing_w:
            missing_w = max(missing_w, notice.missing_w, key=abs)
        return award.energy_w - missing_w
    if not award.start_ms + SETTLE_MS <= now_ms < ends_ms(award) - SETTLE_MS:
        return None
    # Another request rules the region: what it does then is delivered by chance.
    power_w = status.measured_w if status.asked_w is None else status.asked_w
    by_chance_w = max(power_w, 0.0) if asked_w >= 0 else min(power_w, 0.0)
    return min(by_chance_w, asked_w, key=abs) - net_load_w
