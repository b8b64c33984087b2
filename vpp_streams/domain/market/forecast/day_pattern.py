"""The usual price of each time of day, and how far prices were from what was usual before them.

The usual price is the mean price of the last day plus a share of the daily shape. The shape is
how the same time of day differed on earlier days, newer days counting more; its share is learned,
since in many markets yesterday's shape says little about today's. For a past interval, mean and
shape are those of the prices before it, so that its residual is the error of a forecast and not of
a fit; only the share of the shape is learned from all of history.
"""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.rules import MarketRules

USUAL_PRICE = 60.0
"""The typical price of the market that the numbers of the forecast are written for."""
DAY = 288
"""The numbers are for so many intervals a day."""
_LOWEST, _HIGHEST = -150.0, 300.0
"""Prices beyond these say nothing about what is usual."""
_DAY_KEEPS = 0.6
"""Weight of a day, of that of the day after it."""
_PRIOR_DAYS = 0.06
"""Days that the prior duck curve weighs as much as."""
_WIDEN_SLOTS = 3.0
"""A price counts for its neighbours in time, falling by e after so many intervals."""
_LEVEL_PRIOR_DAYS = 1 / 24
_SHAPE_SHARE, _SHAPE_PRIOR_DAYS = 0.48, 2.0
"""Share of the daily shape that is expected again, and days that this prior weighs as much as."""
_SCALE, _SCALE_PRIOR_DAYS = 20.0, 0.5
"""A usual distance from the usual price, and days that this prior weighs as much as."""
_LEAST_SCALE, _MOST_SCALE = 4.0, 60.0
_DEAR = 240.0
"""From here on a price shows that supply is tight."""
_DEAR_SHARE, _DEAR_PRIOR_DAYS = 0.02, 0.1
"""Share of prices that are dear in an unknown market, and days that this weighs as much as."""


@dataclass(frozen=True, slots=True, eq=False)
class DayPattern:
    """What is usual, as prices tell it."""

    usual: Floats
    """Price of each slot of the day to come, shape (slots of a day,)."""
    scale: float
    """Typical distance of a price from the usual one; > 0."""
    residual: Floats
    """Each known price less the price that was usual for it at that time, shape (prices,)."""
    dear_share: float
    """Share of lately known prices that were dear, 0..1, newer days counting more."""


def price_unit(rules: MarketRules) -> float:
    """How many of the market's currency are one of the currency that the numbers are in."""
    return rules.typical_price / USUAL_PRICE


def day_pattern(numbers: Ints, energy: Floats, rules: MarketRules) -> DayPattern:
    """The pattern of the day after the last price.

    ``numbers`` are interval numbers since 1970, rising, each once; ``energy`` has their prices.
    """
    slots, unit = rules.day_slots, price_unit(rules)
    end = int(numbers[-1]) + 1 if len(numbers) else 0
    # Days are counted back from the last price, and days without any price do not count.
    _, day = np.unique((numbers - end) // slots, return_inverse=True)
    column = (numbers - end) % slots
    grid = np.full((int(day[-1]) + 1 if len(day) else 0, slots), np.nan)
    grid[day, column] = energy / unit
    seen = np.isfinite(grid)
    clipped = np.where(seen, np.clip(grid, _LOWEST, _HIGHEST), 0.0)
    usual = _usual(clipped, seen, np.roll(_duck(slots), -(end % slots)))
    apart = grid - usual[:-1]
    return DayPattern(
        usual=np.roll(usual[-1], end % slots) * unit,
        scale=_scale(apart) * unit,
        residual=apart[day, column] * unit,
        dear_share=_dear_share(grid, seen),
    )


def day_shapes(grid: Floats, rules: MarketRules) -> Floats:
    """How each interval usually differs from its day, as the days before each day tell it.

    ``grid`` has a row of prices for each day, from midnight UTC on; NaN = not known. The last row
    of what is returned is for the day to come. Per price unit, and rows have mean 0.
    """
    seen = np.isfinite(grid)
    clipped = np.where(seen, np.clip(grid / price_unit(rules), _LOWEST, _HIGHEST), 0.0)
    return _shape(clipped, seen, _duck(rules.day_slots))


def _usual(clipped: Floats, seen: Floats, duck: Floats) -> Floats:
    """Usual prices of each day, and of the day to come as the last row."""
    level = _level(clipped, seen)
    shape = _shape(clipped, seen, duck)
    share = _SHAPE_SHARE
    if len(clipped):
        weight = _day_weights(len(clipped))[:, None] * seen
        spread = float((weight * shape[:-1] ** 2).sum())
        together = float((weight * shape[:-1] * (clipped - level[:-1])).sum())
        prior = spread / weight.sum() * clipped.shape[1] * _SHAPE_PRIOR_DAYS
        share = float(np.clip((share * prior + together) / max(prior + spread, 1e-9), 0.0, 1.0))
    usual: Floats = level + share * shape
    return usual


def _level(clipped: Floats, seen: Floats) -> Floats:
    """Mean price of the day that ends before each interval; in the last row, of the last day."""
    days, slots = clipped.shape
    before = np.zeros(slots + 1)
    total = np.concatenate([before, np.cumsum(clipped)])
    count = np.concatenate([before, np.cumsum(seen)])
    prior = slots * _LEVEL_PRIOR_DAYS
    mean = (USUAL_PRICE * prior + total[slots:] - total[:-slots]) / (
        prior + count[slots:] - count[:-slots]
    )
    return np.concatenate([mean[:-1], np.full(slots, mean[-1])]).reshape(days + 1, slots)


def _shape(clipped: Floats, seen: Floats, duck: Floats) -> Floats:
    """How each slot differs from its day, as the days before each day tell it; rows have mean 0."""
    total, weight = _widened(clipped), _widened(seen.astype(float))
    by_day = np.empty((len(clipped) + 1, len(duck)))
    so_far, count = np.zeros(len(duck)), np.zeros(len(duck))
    by_day[0] = duck
    for day in range(len(clipped)):
        so_far = _DAY_KEEPS * so_far + total[day]
        count = _DAY_KEEPS * count + weight[day]
        by_day[day + 1] = (so_far + _PRIOR_DAYS * duck) / (count + _PRIOR_DAYS)
    shape: Floats = by_day - by_day.mean(axis=1, keepdims=True)
    return shape


def _widened(by_day: Floats) -> Floats:
    """Smoothed along time by exp(-|distance| / width), up to 9/4 of the width."""
    width = _WIDEN_SLOTS * by_day.shape[1] / DAY
    reach = int(width * 9 / 4)
    if not reach or not by_day.size:
        return by_day
    kernel = np.exp(-np.abs(np.arange(-reach, reach + 1)) / width)
    along = np.convolve(by_day.ravel(), kernel / kernel.sum())[reach:-reach]
    smoothed: Floats = along.reshape(by_day.shape)
    return smoothed


def _scale(apart: Floats) -> float:
    """The weighted median of absolute residuals, pulled to the prior.

    The first day does not count: nothing was known before it.
    """
    if len(apart) < 2:
        return _SCALE
    distance = np.abs(apart[1:])
    seen = np.isfinite(distance)
    weight = np.broadcast_to(_day_weights(len(distance))[:, None], distance.shape)[seen]
    order = np.argsort(distance[seen])
    reached = np.cumsum(weight[order])
    median = distance[seen][order][np.searchsorted(reached, reached[-1] / 2)]
    days = reached[-1] / apart.shape[1]
    learned = (_SCALE * _SCALE_PRIOR_DAYS + median * days) / (_SCALE_PRIOR_DAYS + days)
    return float(np.clip(learned, _LEAST_SCALE, _MOST_SCALE))


def _dear_share(grid: Floats, seen: Floats) -> float:
    weight = _day_weights(len(grid))[:, None] * seen
    dear = (weight * (np.where(seen, grid, 0.0) >= _DEAR)).sum()
    prior = _DEAR_PRIOR_DAYS * grid.shape[1]
    return float((dear + _DEAR_SHARE * prior) / (weight.sum() + prior))


def _day_weights(days: int) -> Floats:
    weights: Floats = _DAY_KEEPS ** np.arange(days - 1, -1, -1.0)
    return weights


def _duck(slots: int) -> Floats:
    """The shape of a day in a market with solar power."""
    hour: Floats = np.arange(slots) * np.float64(24 / slots)
    return (
        USUAL_PRICE + 25 * _bell(hour, 7.5, 1.5) - 45 * _bell(hour, 12.5, 2.8)
        + 60 * _bell(hour, 18.5, 2.0)
    )  # fmt: skip


def _bell(hour: Floats, at: float, width: float) -> Floats:
    bell: Floats = np.exp(-(((hour - at) / width) ** 2))
    return bell
