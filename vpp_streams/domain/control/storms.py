"""Storms: the reserve of the sites in their way, and what that costs.

From ``prepare_from_ms`` to ``ends_at_ms`` a site's reserve is the alert's (100 % unless it states
otherwise) or its owner's, whichever is higher. Its batteries fill, ahead of any market, and give
nothing.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal

import numpy as np

from schemas.dispatch import StormCost
from schemas.grid import Alert, PriceSeries
from vpp_streams.domain.arrays import Floats, Mask


def stands(alert: Alert, now_ms: int) -> bool:
    """Whether batteries are to be full for this alert now."""
    return not alert.cancelled and alert.prepare_from_ms <= now_ms < alert.ends_at_ms


def in_storm(alert: Alert, now_ms: int, site_ids: Sequence[str], regions: Sequence[str]) -> Mask:
    """Which sites the alert concerns now; ``regions`` are those of the sites. Shape (sites,)."""
    if not stands(alert, now_ms):
        return np.zeros(len(site_ids), bool)
    of_region, named = set(alert.regions), set(alert.site_ids)
    return np.array(
        [r in of_region or s in named for s, r in zip(site_ids, regions, strict=True)], bool
    )


def reserves(
    alerts: Collection[Alert],
    now_ms: int,
    site_ids: Sequence[str],
    regions: Sequence[str],
    *,
    owners: tuple[Floats, Mask],
) -> tuple[Floats, Mask]:
    """The reserve that counts now, a fraction, and which sites are in a storm; both (sites,).

    ``owners``: their reserve, and whether a storm may fill their battery; both (sites,).
    """
    backup_reserve, storm_mode = owners
    reserve, concerned = backup_reserve.copy(), np.zeros(len(site_ids), bool)
    for alert in alerts:
        here = in_storm(alert, now_ms, site_ids, regions) & storm_mode
        reserve[here] = np.maximum(reserve[here], alert.reserve)
        concerned |= here
    return reserve, concerned


def cost(
    devices: int, withheld_w: float, charge_wh: float, prices: PriceSeries | None, now_ms: int
) -> StormCost:
    """State what storms cost now; the energy at the price of the interval that ``now_ms`` is in."""
    per_mwh = None if prices is None else price_at(prices, now_ms)
    if prices is None or per_mwh is None:
        return StormCost(devices=devices, withheld_w=withheld_w, charge_wh=charge_wh)
    money = Decimal(str(per_mwh)) * Decimal(str(charge_wh)) / 1_000_000
    return StormCost(
        devices=devices,
        withheld_w=withheld_w,
        charge_wh=charge_wh,
        money=str(money.quantize(Decimal("0.01"))),
        currency=prices.currency,
    )


def price_at(prices: PriceSeries, now_ms: int) -> float | None:
    """The price per MWh at a time; None where the series has none."""
    interval = (now_ms - prices.from_ms) // prices.interval_ms
    return prices.per_mwh[interval] if 0 <= interval < len(prices.per_mwh) else None


def sentence(cost: StormCost) -> str:
    """A storm's cost as a sentence for people."""
    money = f" for {cost.money} {cost.currency}" if cost.money else ""
    return (
        f"{cost.devices} batteries are kept for their owners: {cost.withheld_w / 1000:,.1f} kW are"
        f" withheld, {cost.charge_wh / 1000:,.1f} kWh still to be charged{money}"
    )
