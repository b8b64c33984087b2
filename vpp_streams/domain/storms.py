"""Storms: the reserve of the sites they come to, and what that costs.

From ``prepare_from_ms`` to ``ends_at_ms`` a site's reserve is the alert's (100 % unless it says
otherwise) or its owner's, whichever is higher. Its batteries fill, ahead of any market, and give
nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from schemas.grid import Alert

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def stands(alert: Alert, now_ms: int) -> bool:
    """Whether batteries are to be full for this alert now."""
    return not alert.cancelled and alert.prepare_from_ms <= now_ms < alert.ends_at_ms


def in_storm(alert: Alert, now_ms: int, site_ids: Sequence[str], regions: Sequence[str]) -> Mask:
    """Which of these sites the alert concerns now; ``regions`` are theirs. Shape (sites,)."""
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
    backup_reserve: Floats,
) -> tuple[Floats, Mask]:
    """The reserve that counts now, fraction 0..1, and who is in a storm; both (sites,)."""
    reserve, concerned = backup_reserve.copy(), np.zeros(len(site_ids), bool)
    for alert in alerts:
        here = in_storm(alert, now_ms, site_ids, regions)
        reserve[here] = np.maximum(reserve[here], alert.reserve)
        concerned |= here
    return reserve, concerned


@dataclass(frozen=True, slots=True)
class StormCost:
    """What an alert takes from the market."""

    devices: int
    withheld_w: float
    """Discharge that could have been held for 15 minutes."""
    hours: float
    """How long, from the preparation to the end."""
    charge_wh: float
    """Energy that is charged to fill up."""
    money: Decimal | None
    """What that energy costs, where a price is known."""
    currency: str = ""

    def sentence(self) -> str:
        """For people."""
        cost = f", {self.money} {self.currency}" if self.money is not None else ""
        return (
            f"{self.devices} batteries leave the pool for {self.hours:.1f} h:"
            f" {self.withheld_w / 1000:,.1f} kW are withheld and"
            f" {self.charge_wh / 1000:,.1f} kWh charged{cost}"
        )


def cost(
    alert: Alert,
    devices: int,
    withheld_w: float,
    charge_wh: float,
    per_mwh: Decimal | None = None,
    currency: str = "",
) -> StormCost:
    """State an alert's cost; energy is paid at ``per_mwh``, rounded to cents."""
    money = None
    if per_mwh is not None:
        money = (per_mwh * Decimal(str(charge_wh)) / 1_000_000).quantize(Decimal("0.01"))
    hours = (alert.ends_at_ms - alert.prepare_from_ms) / 3_600_000
    return StormCost(devices, withheld_w, hours, charge_wh, money, currency)
