"""A recorded home walked step by step with one way of using its battery; what it costs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.home_plan_data import RecordedHome
from edge.optimizer.home import Floats, Home, Tariff, continued
from edge.optimizer.step import change_wh, cost, limits_w, terminal_w

WARM_DAYS = 28
"""Days that are only learnt from, before the first that is paid for."""
HORIZON_H = 36
_AUCTION_H = 13
"""Local hour from which a day-ahead price of the next day is known."""
_PAST_DAYS = 7
"""Days whose mean stands for day-ahead prices that are not known yet."""

Rule = Callable[[int, float], float]
"""From a step's number and the stored energy, Wh, to a power, W, + = discharge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A home, its battery and its tariff."""

    recorded: RecordedHome
    home: Home
    tariff: Tariff
    tariff_name: str
    day_ahead: bool
    """Whether prices are known from the day before only; else always."""

    def steps(self, days: int) -> range:
        """The steps that are paid for: these days, or as many as are recorded."""
        per_day = self.recorded.per_day
        last = min((WARM_DAYS + days) * per_day, len(self.recorded.load_w))
        return range(WARM_DAYS * per_day, last)

    def known_prices(self, step: int) -> Tariff:
        """The tariff of the next 36 h as the home knows it at a step's start."""
        tariff, per_day = self.tariff, self.recorded.per_day
        last = step + HORIZON_H * per_day // 24
        if not self.day_ahead:
            return Tariff(tariff.buy[step:last], tariff.sell[step:last], tariff.step_s)
        day, slot = divmod(step, per_day)
        published = (day + 1 + (slot * 24 >= _AUCTION_H * per_day)) * per_day

        def expected(price: Floats) -> Floats:
            start = day * per_day
            ahead = np.full(last - start, np.nan)
            known = price[start : min(published, last)]
            ahead[: len(known)] = known
            past = price[max(day - _PAST_DAYS, 0) * per_day : start]
            return continued(ahead, past, per_day)[step - start :]

        return Tariff(expected(tariff.buy), expected(tariff.sell), tariff.step_s)

    @property
    def worth_per_kwh(self) -> float:
        """What stored energy that is left at the end counts: the mean purchase price."""
        return float(np.nanmean(self.tariff.buy))


def walk(case: Case, rule: Rule, days: int) -> Floats:
    """Cost of each day; what is stored more or less at the end is in the last day.

    The battery starts at the reserve, and does what the rule wants as far as its limits allow.
    """
    home, tariff = case.home, case.tariff
    low = stored = home.energy_wh - home.usable_wh
    load, solar = case.recorded.filled()
    spent = []
    for step in case.steps(days):
        net = load[step] - solar[step]
        least, most = (float(limit) for limit in limits_w(home, net))
        ends = terminal_w(home, np.array([home.energy_wh, low]) - stored, tariff.step_s)
        power = np.array(np.clip(rule(step, stored), max(least, ends[0]), min(most, ends[1])))
        price = {"buy": tariff.buy[step], "sell": tariff.sell[step], "hold_s": tariff.step_s}
        spent.append(float(cost(home, power, net, **price)))
        stored += float(change_wh(home, power, tariff.step_s))
    spent[-1] -= case.worth_per_kwh * (stored - low) / 1e3
    return np.array(spent).reshape(-1, case.recorded.per_day).sum(axis=1)
