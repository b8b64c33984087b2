"""The plan that earns most at given prices: a linear programme, or the exact search beside it."""

from dataclasses import replace

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.day_ahead.exact_plan import ExactPlan, exact_plan
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

LIMIT_S = 600.0


def best_plan(
    model: PlanModel,
    run: Prices,
    rules: MarketRules,
    storage: Storage,
    stored_wh: float,
    *,
    ends_empty: bool = False,
) -> Plan | ExactPlan:
    """The plan that earns most at these prices.

    Energy left at the end is worth nothing; with ``ends_empty`` there is none. The linear
    programme's first solution is the best where it breaks no rule; where it does, as it mostly
    does at prices below 0, its cuts are not exact. Raises `ValueError` as `exact_plan` does.
    """
    problem = problem_of(run, rules, storage, stored_wh)
    if ends_empty:
        # Dearer than anything that a MWh could have been paid to be stored.
        dear = -4.0 * (float(np.abs(run.energy).max()) + storage.wear_per_mwh + 1.0)
        terminal = (storage.energy_wh,), (dear / storage.charge_efficiency,)
        problem = replace(problem, terminal_wh=terminal[0], terminal_per_mwh=terminal[1])
    if (run.energy < 0).any():
        return exact_plan(problem)
    plan = linear_plan(model, problem)
    return plan if plan.rounds == 1 else exact_plan(problem)


def linear_plan(model: PlanModel, problem: PlanProblem) -> Plan:
    """The linear programme's plan at known prices, with as much time as it takes."""
    found = model.solve(problem, LIMIT_S)
    if isinstance(found, PlanFailure):  # with known prices and no deadline this is a bug
        raise RuntimeError(f"no plan with perfect foresight: {found.detail}")
    return found


def problem_of(run: Prices, rules: MarketRules, storage: Storage, stored_wh: float) -> PlanProblem:
    """The problem of planning a stretch of known prices from a stored energy."""
    return PlanProblem(
        hours=np.full(len(run.start_ms), rules.interval_h),
        energy_price=run.energy,
        storage=storage,
        stored_wh=stored_wh,
        rules=rules,
        capacity_price=traded(run, rules),
    )


def traded(run: Prices, rules: MarketRules) -> dict[Product, Floats]:
    """Prices of the capacity that a market trades."""
    return {
        product: run.per_product[product]
        for product in rules.products
        if product != "energy" and product in run.per_product
    }
