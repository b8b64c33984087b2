"""Which view of quiet days to follow: the one that would have earned more on the last ones.

Each of the last days is traded twice, as it would have been at its start. The views are compared by
what decisions on them earn, not by their errors: an error where nothing is traded costs nothing.
"""

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.decision.quiet_bounds import Bounds, by_level, by_time
from vpp_streams.domain.market.forecast.day_pattern import day_shapes, price_unit
from vpp_streams.domain.market.forecast.last_day import FAR_ABOVE, HIGH, LOW
from vpp_streams.domain.market.forecast.times_of_day import usual_times
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import W_PER_MW, feasible_power, stored_after

_LEAST_DAYS = 4
"""Of fewer days that are known completely nothing is concluded."""
_BATTERY, _DAY_H = Storage(2e6, 1e6, 1e6, 0.92, 0.92), 24.0
"""Stands for that of any region, in a day of any length: one answer holds for a market's day."""


def time_earns_more(grid: Floats, rules: MarketRules) -> bool:
    """Whether the time of day would have earned more than the level on the days of ``grid``
    (`days_before`), by more than a standard error. Only days that are known, with the day before,
    count."""
    level, time = virtual_money(grid, rules)
    known = np.isfinite(level)
    days, gain = int(known.sum()), time[known] - level[known]
    if days < _LEAST_DAYS or time[known].sum() <= 0:
        return False
    return bool(gain.sum() > gain.std(ddof=1) * days**0.5)


def virtual_money(grid: Floats, rules: MarketRules) -> tuple[Floats, Floats]:
    """What each day but the first would have earned by level, and by time of day, shape (days - 1,)
    each; NaN where the day or that before it is not known."""
    low, high = np.quantile(grid[:-1], (LOW, HIGH), axis=1)[:, :, None]
    times = usual_times(day_shapes(grid, rules)[1:-1], _BATTERY, _DAY_H)
    spike = high + FAR_ABOVE * price_unit(rules)
    level = _earned(by_level(low, high, _BATTERY), low, grid[1:])
    time = _earned(by_time(low, high, spike, times, _BATTERY), low, grid[1:])
    return level, time


def _earned(bounds: Bounds, low: Floats, prices: Floats) -> Floats:
    """Money of each day by its prices, shape (days, slots), begun with an empty storage.

    What is left counts what it costs to buy again at the price ``low``, if above 0.
    """
    hours = _DAY_H / prices.shape[1]
    power_w = np.where(prices <= bounds.buy_below, -_BATTERY.charge_w, 0.0)
    power_w = np.where(prices >= bounds.sell_from, _BATTERY.discharge_w, power_w)
    stored_wh, money = np.zeros(len(prices)), np.zeros(len(prices))
    for slot in range(prices.shape[1]):
        given_w = feasible_power(power_w[:, slot], stored_wh, _BATTERY, hours)
        stored_wh = stored_after(given_w, stored_wh, _BATTERY, hours)
        money += given_w * hours * prices[:, slot]
    left = stored_wh / _BATTERY.charge_efficiency * np.maximum(low[:, 0], 0.0)
    earned: Floats = (money + left) / W_PER_MW
    return earned
