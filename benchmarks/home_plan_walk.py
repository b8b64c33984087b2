"""A recorded home walked step by step with one way of using its battery; what it costs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.home_plan_data import RecordedHome
from edge.arrays import Floats
from edge.optimizer.home import Home, Tariff, continued
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
        """What energy that is stored at the end counts: the mean purchase price."""
        return float(np.nanmean(self.tariff.buy))


@dataclass(frozen=True, slots=True)
class Walk:
    """What each day of a walk cost, and the energy above the reserve after it."""

    spent: Floats
    spare_wh: Floats

    def cost(self, days: int, worth_per_kwh: float) -> float:
        """Cost of the first days, less what is then stored above the reserve."""
        return float(self.spent[:days].sum() - worth_per_kwh * self.spare_wh[days - 1] / 1e3)


def walk(case: Case, rule: Rule, days: int) -> Walk:
    """Walk the days; the battery starts at the reserve.

    It does what the rule wants as far as its limits allow.
    """
    home, tariff = case.home, case.tariff
    low = stored = home.energy_wh - home.usable_wh
    load, solar = case.recorded.filled()
    spent, spare = [], []
    for step in case.steps(days):
        net = load[step] - solar[step]
        least, most = (float(limit) for limit in limits_w(home, net))
        empty, full = terminal_w(home, np.array([low, home.energy_wh]) - stored, tariff.step_s)
        power = np.array(np.clip(rule(step, stored), max(least, full), min(most, empty)))
        buy, sell = tariff.buy[step], tariff.sell[step]
        spent.append(float(cost(home, power, net, buy=buy, sell=sell, hold_s=tariff.step_s)))
        stored += float(change_wh(home, power, tariff.step_s))
        spare.append(stored - low)
    by_day = (-1, case.recorded.per_day)
    return Walk(np.array(spent).reshape(by_day).sum(axis=1), np.array(spare).reshape(by_day)[:, -1])
