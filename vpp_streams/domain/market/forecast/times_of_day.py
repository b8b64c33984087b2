"""Which times of a day are usually cheap or dear, as the days before it tell."""

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

DAYS = 8
"""Days before that of the decision that are looked at."""
_MOST_PART = 0.4
"""Part of a day that is cheap, or dear, at most: of a battery that takes longer to fill too."""

Times = NDArray[np.int8]
"""-1 where an interval of the day is usually cheap, 1 where it is dear, 0 between."""


def days_before(history: Prices, start_ms: int, rules: MarketRules) -> Floats:
    """Energy prices of the days before that of ``start_ms``, shape (DAYS, slots of a day), from
    midnight UTC on; NaN = not known, and in each interval of a day that is not known completely."""
    slots = rules.day_slots
    today = start_ms // rules.interval_ms // slots * slots
    at = history.start_ms // rules.interval_ms - (today - DAYS * slots)
    inside = (at >= 0) & (at < DAYS * slots)
    grid = np.full((DAYS, slots), np.nan)
    grid.ravel()[at[inside]] = history.energy[inside]
    grid[np.isnan(grid).any(axis=1)] = np.nan
    return grid


def usual_times(shapes: Floats, storage: Storage, day_h: float) -> Times:
    """Times of days of ``shapes`` (`day_shapes`), shape (days, slots).

    As much of a day of ``day_h`` hours is cheap as filling the battery takes, and as much is dear
    as emptying it takes.
    """
    fill_h = storage.energy_wh / max(storage.charge_w * storage.charge_efficiency, 1e-9)
    empty_h = storage.energy_wh * storage.discharge_efficiency / max(storage.discharge_w, 1e-9)
    cheap, dear = np.minimum(np.array([fill_h, empty_h]) / day_h, _MOST_PART)
    low = np.quantile(shapes, cheap, axis=1, keepdims=True)
    high = np.quantile(shapes, 1 - dear, axis=1, keepdims=True)
    times: Times = np.where(shapes >= high, 1, np.where(shapes <= low, -1, 0)).astype(np.int8)
    return times
