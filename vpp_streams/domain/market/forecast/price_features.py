"""What the price of a day is forecast from: the days before it, and what is known before its gate.

Two sets of features: `day_features` shows all slots of the day the same, so that hours learn from
other hours; `slot_features` shows each slot what is near to it, more closely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.linear_fit import CONSTANT, Features

HOURS = 24
_WEEK, _MONTH = 7, 28
_MOST_PRICE, _MOST_SERIES = 5.0, 4.0
"""Standardised features beyond these are cut."""
_DAY_KIND_WEIGHT, _SLOT_KIND_WEIGHT = 4.0, 2.0
"""An indicator of the kind of day is punished less than a price."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Days in order and last the day to come, of which no price is known (NaN)."""

    prices: Floats
    """Scaled, shape (days + 1, slots)."""
    series: Sequence[Floats]
    """What is known before the gate; each of shape (days + 1, slots)."""
    kind: NDArray[np.int64]
    first: int
    """Features are made of the days from this one on; those before it are only looked back at."""


def day_features(window: Window) -> Features:
    """Features of all slots of a day at once: of hours, where slots are shorter."""
    first = window.first
    prices = _by_hours(window.prices)
    yesterday = _before(prices, 1)
    columns = [yesterday, *(_before(prices, back) for back in (2, 3, 7))]
    columns += [_mean_before(prices, _WEEK), _mean_before(prices, _MONTH), _shape(yesterday)]
    of_prices = sum(column.shape[1] for column in columns)
    hourly = [_by_hours(series) for series in window.series]
    columns += [_before(series, back) for series in hourly for back in (0, 1, 7)]
    x = np.vstack([column[first:].T for column in columns])
    most = np.where(np.arange(len(x)) < of_prices, _MOST_PRICE, _MOST_SERIES)
    return Features(x, most, _kinds(window, _DAY_KIND_WEIGHT))


def slot_features(window: Window) -> list[Features]:
    """Features of each slot."""
    first, slots = window.first, window.prices.shape[1]
    prices, hour = window.prices, max(slots // HOURS, 1)
    yesterday = _before(prices, 1)
    columns = [yesterday, *(_before(prices, back) for back in (2, 3, 7, 14))]
    columns += [_beside(yesterday, hours * hour) for hours in (-2, -1, 1, 2)]
    columns += [_mean_before(prices, _WEEK), _mean_before(prices, _MONTH)]
    columns += [*_shape(yesterday).T[:, :, None], yesterday[:, -1:]]
    of_prices = len(columns)
    for series in window.series:
        columns += _of_series(series, first, hour)
    units = [_unit(series, first) for series in window.series]
    columns += [one * other for one, other in combinations(units, 2)]
    shape = (slots, len(prices) - first)
    x = np.array([np.broadcast_to(column[first:].T, shape) for column in columns])
    most = np.where(np.arange(len(x)) < of_prices, _MOST_PRICE, _MOST_SERIES)
    kinds = _kinds(window, _SLOT_KIND_WEIGHT)
    return [Features(x[:, slot], most, kinds) for slot in range(slots)]


def _kinds(window: Window, weight: float) -> Floats:
    """Indicators of the kind of each day, shape (7, days)."""
    kinds: Floats = np.eye(7)[:, window.kind[window.first :]] * weight
    return kinds


def _of_series(series: Floats, first: int, hour: int) -> list[Floats]:
    """Columns of a series, each of shape (days, slots) or (days, 1)."""
    columns = [_before(series, back) for back in (0, 1, 7)] + [_mean_before(series, _WEEK)]
    columns += [_beside(series, hours * hour) for hours in (-2, -1, 1, 2)]
    columns += [part(axis=1, keepdims=True) for part in (series.mean, series.max, series.min)]
    unit = _unit(series, first)
    return [*columns, np.maximum(unit - 1, 0), np.maximum(-unit - 1, 0)]


def _unit(series: Floats, first: int) -> Floats:
    """A series in standard deviations of its slot from ``first`` on, by those known."""
    known = series[first:]
    count = np.maximum(np.isfinite(known).sum(axis=0), 1)
    middle = np.nansum(known, axis=0) / count
    spread = np.sqrt(np.nansum((known - middle) ** 2, axis=0) / count)
    varies = spread > CONSTANT * np.abs(middle)
    found: Floats = (series - middle) / np.where(varies, spread, np.inf)
    return found


def _shape(day: Floats) -> Floats:
    """Mean, greatest, least and spread of each row; shape (days, 4)."""
    return np.column_stack([day.mean(axis=1), day.max(axis=1), day.min(axis=1), day.std(axis=1)])


def _before(rows: Floats, back: int) -> Floats:
    """The rows of ``back`` days before; NaN where there are none."""
    if back == 0:
        return rows
    found = np.full_like(rows, np.nan)
    found[back:] = rows[:-back]
    return found


def _beside(rows: Floats, slots: int) -> Floats:
    """The value this many slots later; at the ends of the day that of its last slot."""
    at = np.clip(np.arange(rows.shape[1]) + slots, 0, rows.shape[1] - 1)
    return rows[:, at]


def _mean_before(rows: Floats, back: int) -> Floats:
    """By slot, the mean of what is known of the days before; NaN where nothing is."""
    known = np.isfinite(rows)
    sums = _sums(np.where(known, rows, 0.0))
    counts = _sums(known.astype(float))
    day = np.arange(len(rows))
    since = np.maximum(day - back, 0)
    count = counts[day] - counts[since]
    found: Floats = np.where(count > 0, (sums[day] - sums[since]) / np.maximum(count, 1), np.nan)
    return found


def _sums(rows: Floats) -> Floats:
    return np.vstack([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])


def _by_hours(rows: Floats) -> Floats:
    """Means of hours, where slots are shorter and an hour has a whole number of them."""
    days, slots = rows.shape
    if slots <= HOURS or slots % HOURS:
        return rows
    means: Floats = rows.reshape(days, HOURS, -1).mean(axis=2)
    return means
