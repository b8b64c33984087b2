"""What many devices give at which price, and how a region shares a total among such curves.

A fleet partition sends the region one curve per feeder instead of its devices. Sums of curves
are curves, so the price that the region finds is the one of all devices together (ADR 9).
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.control.curves import Problem, curves
from vpp_streams.domain.control.ramps import Ramps
from vpp_streams.domain.control.sharing import Groups, share_out

Key = TypeVar("Key", bound=Hashable)

STEEPEST = 1e-9
"""Prices closer than this, relative, are spread this far apart: a jump has no slope."""
AT_ONCE = 16
"""Points that are added to a thinned curve before its errors are computed again."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Power over price: straight between points, flat outside; both (k,), k >= 1, rising."""

    prices: Floats
    power_w: Floats


@dataclass(frozen=True, slots=True)
class Merged(Generic[Key]):
    """The shares of a total."""

    shares: dict[Key, float]
    price: float
    """Price of all that no feeder's limit restricts; infinite where none gives the total."""
    missing_w: float
    """Total less the sum of the shares, W; 0 where all can be given."""


def supply_curve(problem: Problem, points: int = 128) -> Curve:
    """The sum of what devices give, from their least to their most.

    Exact where it has no more kinks than ``points``, otherwise the kinks that matter most are
    kept. Groups' limits and minimum powers are not part of it. Raises ValueError as `allocate`.
    """
    devices = curves(problem)
    ramps = devices.ramps
    real = np.flatnonzero((ramps.last > ramps.first) & (ramps.slope > 0.0))
    lowest_w, highest_w = float(devices.least_w.sum()), float(devices.most_w.sum())
    if not len(real):
        return Curve(np.zeros(1), np.array([lowest_w]))
    ramps = ramps[real]
    kinks = np.concatenate((ramps.first, ramps.last))
    order = np.argsort(kinks)
    prices = kinks[order]
    slopes = np.cumsum(np.concatenate((ramps.slope, -ramps.slope))[order])
    rises = np.maximum(slopes[:-1], 0.0) * np.diff(prices)
    # Scaled to end exactly at the end point, which spreads the rounding error evenly.
    risen = np.concatenate(([0.0], np.cumsum(rises)))
    power_w = lowest_w + risen * ((highest_w - lowest_w) / risen[-1])
    power_w[-1] = highest_w
    apart = np.concatenate((np.diff(prices) > 0.0, [True]))
    return _thinned(Curve(prices[apart], power_w[apart]), points)


def _thinned(curve: Curve, points: int) -> Curve:
    """The curve through a number of its points.

    Half of them lie where it bends: between two points the error grows with the square of their
    distance, so an even spread of the root of the bend spreads it evenly. The others are added
    where the error is largest.
    """
    prices, power_w = curve.prices, curve.power_w
    if len(prices) <= points:
        return curve
    bends = np.abs(np.diff(np.diff(power_w) / np.diff(prices)))
    bent = np.cumsum(np.sqrt(bends * (prices[2:] - prices[:-2])))
    even = np.searchsorted(bent, np.linspace(0.0, bent[-1], max(points // 2, 2))[1:-1]) + 1
    kept = np.unique(np.concatenate(([0], even, [len(prices) - 1])))
    while len(kept) < points:
        off = np.abs(power_w - np.interp(prices, prices[kept], power_w[kept]))
        largest = np.maximum.reduceat(off, kept[:-1])
        room = points - len(kept)
        pieces = np.argsort(-largest, kind="stable")[: min(room, max(AT_ONCE, room // 2))]
        pieces = pieces[largest[pieces] > 0.0]
        if not len(pieces):
            break
        ends = zip(kept[pieces].tolist(), kept[pieces + 1].tolist(), strict=True)
        worst = [a + int(off[a:b].argmax()) for a, b in ends]
        kept = np.sort(np.concatenate((kept, worst)))
    return Curve(prices[kept], power_w[kept])


def merge(
    curves: Mapping[Key, Curve],
    feeder_of: Mapping[Key, str],
    limits_w: Mapping[str, tuple[float, float]],
    total_w: float,
) -> Merged[Key]:
    """Share a total out among curves at one price, with the least and most of feeders' sums.

    ``limits_w`` are (least, most), and may leave feeders out. The shares sum to the total as far
    as curves and limits let them; a feeder whose curves cannot keep its limit does what they can.
    """
    keys = list(curves)
    if not keys:
        return Merged({}, math.copysign(math.inf, total_w) if total_w else 0.0, total_w)
    feeders = sorted({feeder_of[key] for key in keys})
    limits = np.array([limits_w.get(name, (-math.inf, math.inf)) for name in feeders])
    index = {feeder: at for at, feeder in enumerate(feeders)}
    group = np.array([index[feeder_of[key]] for key in keys])
    groups = Groups(group, limits[:, 0], limits[:, 1])
    found = share_out(_Pieces.of([curves[key] for key in keys]), groups, total_w)
    shares = dict(zip(keys, found.setpoint_w.tolist(), strict=True))
    return Merged(shares, found.price, found.missing_w)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Curves as `Givers`: each piece between two points is a ramp."""

    least_w: Floats
    most_w: Floats
    ramps: Ramps
    curve: Ints
    """Index of each ramp's curve."""

    @classmethod
    def of(cls, curves: list[Curve]) -> "_Pieces":
        first = np.concatenate([c.prices[:-1] for c in curves])
        last = np.concatenate([c.prices[1:] for c in curves])
        rise = np.concatenate([np.diff(c.power_w) for c in curves])
        width = np.maximum(last - first, STEEPEST * np.maximum(1.0, np.abs(first)))
        return cls(
            least_w=np.array([c.power_w[0] for c in curves]),
            most_w=np.array([c.power_w[-1] for c in curves]),
            ramps=Ramps(rise / width, first, first + width),
            curve=np.repeat(np.arange(len(curves)), [len(c.prices) - 1 for c in curves]),
        )

    def of_ramps(self, group: Ints) -> Ints:
        return np.asarray(group[self.curve])

    def at(self, price: float | Floats) -> Floats:
        here = price if isinstance(price, float) else price[self.curve]
        risen_w = np.bincount(self.curve, self.ramps.risen_w(here), len(self.least_w))
        return np.clip(self.least_w + risen_w, self.least_w, self.most_w)
