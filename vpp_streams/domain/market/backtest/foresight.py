"""What could have been earned: with all prices known, and by a planner that knows them."""

from collections.abc import Callable

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.day_ahead.best_plan import (
    best_plan,
    linear_plan,
    problem_of,
    traded,
)
from vpp_streams.domain.market.day_ahead.exact_plan import ExactPlan
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.market.value import W_PER_MW

CHUNK, BEYOND = 2016, 576
"""Intervals solved at once, and the least look-ahead beyond them."""
FILLINGS_BEYOND = 10
"""Look-ahead in times that the storage takes to be filled and emptied: what is stored for longer
is not worth it, as prices rise and fall more often."""


def perfect_money(
    run: Prices,
    rules: MarketRules,
    storage: Storage,
    stored_wh: float,
    *,
    ends_empty: bool = False,
) -> Floats:
    """Money of each interval of a stretch without gaps, of the best plan over all of it.

    Where that could not be found in time, it is raised to the most that any plan can earn, so that
    nothing beats it. Raises `ValueError` where even that is not known closely.
    """
    model = PlanModel()

    def best(rows: Prices, stored_wh: float) -> Plan | ExactPlan:
        return best_plan(model, rows, rules, storage, stored_wh, ends_empty=ends_empty)

    powers = storage.charge_w * storage.charge_efficiency, storage.discharge_w
    filling = sum(storage.energy_wh / max(power, 1.0) for power in powers) / rules.interval_h
    beyond = max(BEYOND, int(min(FILLINGS_BEYOND * filling, len(run.start_ms))))
    return _rolled(run, rules, storage, stored_wh, best=best, take=CHUNK, beyond=beyond)


def planner_money(
    run: Prices, rules: MarketRules, storage: Storage, stored_wh: float, steps: int
) -> float:
    """Money that our plan of ``steps`` earns with all prices known, renewed every 12 steps."""
    model = PlanModel()

    def planned(rows: Prices, stored_wh: float) -> Plan:
        return linear_plan(model, problem_of(rows, rules, storage, stored_wh))

    found = _rolled(run, rules, storage, stored_wh, best=planned, take=12, beyond=steps - 12)
    return float(found.sum())


def _rolled(
    run: Prices,
    rules: MarketRules,
    storage: Storage,
    stored_wh: float,
    *,
    best: Callable[[Prices, float], Plan | ExactPlan],
    take: int,
    beyond: int,
) -> Floats:
    money = np.zeros(len(run.start_ms))
    for first in range(0, len(money), take):
        rows = run.cut(slice(first, min(first + take + beyond, len(money))))
        plan = best(rows, stored_wh)
        kept = min(take, len(money) - first)
        most = 1 + plan.gap if isinstance(plan, ExactPlan) else 1
        money[first : first + kept] = most * plan_money(plan, rows, rules, storage)[:kept]
        stored_wh = min(max(float(plan.stored_wh[kept]), 0.0), storage.energy_wh)
    return money


def plan_money(plan: Plan | ExactPlan, run: Prices, rules: MarketRules, storage: Storage) -> Floats:
    """Money of each step: energy, with what regulation calls for, and capacity, less wear."""
    called = rules.reg_up_used * plan.reg_up_w - rules.reg_down_used * plan.reg_down_w
    money = (plan.power_w + called) * run.energy
    held = {"reg_up": plan.reg_up_w, "reg_down": plan.reg_down_w, "reserve": plan.reserve_w}
    for product, price in traded(run, rules).items():
        money = money + held[product] * np.nan_to_num(price)
    worn = storage.wear_per_mwh * plan.discharge_w
    earned: Floats = (money - worn) * rules.interval_h / W_PER_MW
    return earned
