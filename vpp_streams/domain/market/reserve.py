"""The power that a fleet can be relied on for, after an explicit reserve policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.market import Delivery
from vpp_streams.domain.market.delivery import of_the_fleet
from vpp_streams.domain.market.rules import Storage

LEAST_AWARD = 0.05
"""Smaller awards, as a share of the storage's power, are no evidence of what it delivers."""
LEAST_COVERAGE = 0.5
LEAST_INTERVALS = 12
"""With fewer measured intervals the reported power counts in full."""
LEAST_AVAILABLE = 0.5
"""A fleet that delivers less for a day has a fault to repair; bids do not plan with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePolicy:
    """How much of a region's capability is kept back, so that an award is met all the same.

    ``quantile``: offered is the share of its awards that the fleet delivered in all but the
    worst ``value`` of the intervals lately (0.1: P10). ``flat``: the fraction ``value`` is kept
    back. ``n_minus_1``: the largest single part, ``value`` of the capability, may fail.
    """

    kind: Literal["n_minus_1", "quantile", "flat"] = "quantile"
    value: float = 0.1


@dataclass(frozen=True, slots=True)
class Dependable:
    """What may be offered of a storage."""

    storage: Storage
    """With its power cut to what can be counted on."""
    availability: float
    """Share that the policy leaves, 0..1."""
    withheld_w: float
    """Discharge power that is kept back."""


def dependable(
    storage: Storage, delivered: Sequence[Delivery], policy: ReservePolicy
) -> Dependable:
    """The storage as it may be offered under the policy, given what it delivered lately."""
    share = float(np.clip(_share(storage, delivered, policy), 0.0, 1.0))
    cut = Storage(
        energy_wh=storage.energy_wh,
        charge_w=storage.charge_w * share,
        discharge_w=storage.discharge_w * share,
        charge_efficiency=storage.charge_efficiency,
        discharge_efficiency=storage.discharge_efficiency,
        wear_per_mwh=storage.wear_per_mwh,
    )
    return Dependable(cut, share, storage.discharge_w - cut.discharge_w)


def _share(storage: Storage, delivered: Sequence[Delivery], policy: ReservePolicy) -> float:
    if not np.isfinite(policy.value):
        return LEAST_AVAILABLE
    if policy.kind != "quantile":
        return 1.0 - policy.value
    most_w = max(storage.charge_w, storage.discharge_w)
    found = [of_the_fleet(each) for each in delivered if each.coverage >= LEAST_COVERAGE]
    shares = [
        min(max(given_w / needed_w, 0.0), 1.0)
        for needed_w, given_w in filter(None, found)
        if abs(needed_w) > max(LEAST_AWARD * most_w, 1.0) and np.isfinite(given_w)
    ]
    if len(shares) < LEAST_INTERVALS:
        return 1.0
    worst = float(np.quantile(shares, float(np.clip(policy.value, 0.0, 1.0))))
    return max(worst, LEAST_AVAILABLE)
