"""The first step's power against what all else would earn: where the slopes of bids come from."""

from dataclasses import replace

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.lp import Bounds
from vpp_streams.domain.market.plan.problem import PowerCurve
from vpp_streams.domain.market.plan.tidy import Tidy


def first_powers(tidy: Tidy, levels: int) -> Floats:
    """Net powers from the least to the most that the stored energy allows, 0 among them.

    Only one where the first step is sold already.
    """
    if not np.isnan(tidy.committed[0]):
        return np.clip(tidy.committed[:1], -tidy.charge[0], tidy.discharge[0])
    stored = min(max(tidy.stored, float(tidy.low[0])), float(tidy.high[0]))
    given = max(stored - float(tidy.low[1]), 0.0) * tidy.discharge_efficiency / tidy.hours[0]
    taken = max(float(tidy.high[1]) - stored, 0.0) / tidy.charge_efficiency / tidy.hours[0]
    least, most = -min(taken, float(tidy.charge[0])), min(given, float(tidy.discharge[0]))
    powers = np.linspace(least, most, max(levels, 2))
    powers[np.abs(powers).argmin()] = 0.0
    return np.unique(np.concatenate((powers, [0.0, least, most])) + 0.0)


def fixed(bounds: Bounds, steps: int, power: float) -> Bounds:
    """With this net power in the first step, all one way."""
    lower, upper = bounds.lower.copy(), bounds.upper.copy()
    lower[0] = upper[0] = max(-power, 0.0)
    lower[steps] = upper[steps] = max(power, 0.0)
    return replace(bounds, lower=lower, upper=upper)


def curve_of(tidy: Tidy, powers: Floats, costs: Floats, seconds: float) -> PowerCurve:
    """The curve through the points that are not below a line between two others."""
    earned = -costs - powers * float(tidy.hours[0] * tidy.price[0])
    earned = earned - earned[np.abs(powers).argmin()]
    kept: list[int] = []
    for i in range(len(powers)):
        while len(kept) > 1 and _below(powers, earned, kept[-2], kept[-1], i):
            kept.pop()
        kept.append(i)
    earned = np.interp(powers, powers[kept], earned[kept])
    return PowerCurve(powers * tidy.unit_wh, earned * tidy.unit_wh / 1e6, seconds * 1e3)


def _below(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    return bool((y[b] - y[a]) * (x[c] - x[a]) <= (y[c] - y[a]) * (x[b] - x[a]))
