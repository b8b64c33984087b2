"""What could have been earned: with all prices known, and by a planner that knows them."""

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.market.value import W_PER_MW

CHUNK, BEYOND = 2016, 576
"""Intervals solved at once, and the look-ahead beyond them, which exceeds any storage's."""
LIMIT_S = 600.0


def perfect_money(run: Prices, rules: MarketRules, storage: Storage, stored_wh: float) -> Floats:
    """Money of each interval of a stretch without gaps, of the best plan over all of it."""
    return _rolled(run, rules, storage, stored_wh, take=CHUNK, beyond=BEYOND)


def planner_money(
    run: Prices, rules: MarketRules, storage: Storage, stored_wh: float, steps: int
) -> float:
    """Money that a plan of ``steps`` earns with all prices known, renewed every 12 steps."""
    return float(_rolled(run, rules, storage, stored_wh, take=12, beyond=steps - 12).sum())


def _rolled(
    run: Prices, rules: MarketRules, storage: Storage, stored_wh: float, *, take: int, beyond: int
) -> Floats:
    model, money = PlanModel(), np.zeros(len(run.start_ms))
    for first in range(0, len(money), take):
        rows = slice(first, min(first + take + beyond, len(money)))
        plan = best_plan(model, run.cut(rows), rules, storage, stored_wh)
        kept = min(take, len(money) - first)
        money[first : first + kept] = plan_money(plan, run.cut(rows), rules, storage)[:kept]
        stored_wh = float(plan.stored_wh[kept])
    return money


def best_plan(
    model: PlanModel,
    run: Prices,
    rules: MarketRules,
    storage: Storage,
    stored_wh: float,
    *,
    final_wh: float = float("nan"),
) -> Plan:
    """The plan that earns most at these prices; energy left at the end is worth nothing."""
    found = model.solve(
        PlanProblem(
            hours=np.full(len(run.start_ms), rules.interval_h),
            energy_price=run.energy,
            storage=storage,
            stored_wh=stored_wh,
            rules=rules,
            capacity_price=_traded(run, rules),
            final_wh=final_wh,
        ),
        LIMIT_S,
    )
    if isinstance(found, PlanFailure):  # with known prices and no deadline this is a bug
        raise RuntimeError(f"no plan with perfect foresight: {found.detail}")
    return found


def plan_money(plan: Plan, run: Prices, rules: MarketRules, storage: Storage) -> Floats:
    """Money of each step: energy, with what regulation calls for, and capacity, less wear."""
    called = rules.reg_up_used * plan.reg_up_w - rules.reg_down_used * plan.reg_down_w
    money = (plan.power_w + called) * run.energy
    held = {"reg_up": plan.reg_up_w, "reg_down": plan.reg_down_w, "reserve": plan.reserve_w}
    for product, price in _traded(run, rules).items():
        money = money + held[product] * np.nan_to_num(price)
    worn = storage.wear_per_mwh * plan.discharge_w
    earned: Floats = (money - worn) * rules.interval_h / W_PER_MW
    return earned


def _traded(run: Prices, rules: MarketRules) -> dict[Product, Floats]:
    return {
        product: run.per_product[product]
        for product in rules.products
        if product != "energy" and product in run.per_product
    }
