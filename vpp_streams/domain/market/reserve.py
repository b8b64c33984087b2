"""The power that a fleet can be relied on for, after an explicit reserve policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.market import Delivery
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.delivery import of_the_fleet
from vpp_streams.domain.market.rules import Storage

LEAST_AWARD = 0.05
"""Smaller awards, as a share of the storage's power, are no evidence of what it delivers."""
LEAST_COVERAGE = 0.5
LEAST_INTERVALS = 12
"""With fewer measured intervals the reported power counts in full."""
MET = 0.95
"""An award that is delivered to this share is met: the rest is the meters' and ramps' noise."""
LEAST_EVIDENCE = 6
"""With fewer awards above what was delivered in shortfalls there is no evidence of a fault."""
LEAST_AVAILABLE = 0.5
"""A fleet that delivers less for a day has a fault to repair; bids do not plan with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePolicy:
    """How much of a region's capability is kept back, so that an award is met all the same.

    ``quantile``: offered is the share of its largest awards that the fleet delivered in all but
    the worst ``value`` of the awarded energy lately (0.1: P10). ``flat``: the fraction ``value`` is
    kept back. ``n_minus_1``: the largest single part, ``value`` of the capability, may fail.
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
    awarded_w, measured_w = _measured(storage, delivered)
    if len(awarded_w) < LEAST_INTERVALS:
        return 1.0
    ratio = np.clip(measured_w / awarded_w, 0.0, 1.0)
    short = ratio < MET
    if not short.any():
        return 1.0
    # A fleet that falls short gives this power. That it gave no less before says nothing about
    # more, and once its offers are cut to it, it always does.
    size_w = np.abs(awarded_w)
    evidence = short | (size_w > float(np.median((size_w * ratio)[short])) * (2 - MET))
    if evidence.sum() < LEAST_EVIDENCE:
        return 1.0
    # Of the largest award: a cut award is met in a larger part, by the same fleet.
    share = np.where(short, size_w * ratio / size_w[evidence].max(), 1.0)[evidence]
    worst = _weighted_quantile(share, size_w[evidence], policy.value)
    return max(worst, LEAST_AVAILABLE)


def _measured(storage: Storage, delivered: Sequence[Delivery]) -> tuple[Floats, Floats]:
    """Awarded and measured power of the intervals that are evidence."""
    least_w = max(LEAST_AWARD * max(storage.charge_w, storage.discharge_w), 1.0)
    found = (of_the_fleet(each) for each in delivered if each.coverage >= LEAST_COVERAGE)
    pairs = [
        (needed_w, given_w)
        for needed_w, given_w in filter(None, found)
        if abs(needed_w) > least_w and np.isfinite(given_w) and np.isfinite(needed_w)
    ]
    awarded_w, measured_w = np.array(pairs, float).reshape(-1, 2).T
    return awarded_w, measured_w


def _weighted_quantile(values: Floats, weights: Floats, q: float) -> float:
    """The smallest value that, with those below it, has the share ``q`` of the weights."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, float(np.clip(q, 0.0, 1.0)) * reached[-1])
    return float(values[order][min(at, len(order) - 1)])
