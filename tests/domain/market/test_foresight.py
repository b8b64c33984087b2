"""Perfect foresight against an independent search of all directions, where prices are negative."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from tests.support.market_factory import BATTERY, HOURLY, duck_days, energy_only, prices_of
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.foresight import perfect_money, plan_money
from vpp_streams.domain.market.day_ahead import exact_plan as exact_plan_module
from vpp_streams.domain.market.day_ahead.best_plan import best_plan
from vpp_streams.domain.market.day_ahead.exact_plan import exact_plan
from vpp_streams.domain.market.plan.lp import Bounds, Shape
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanProblem
from vpp_streams.domain.market.rules import Storage
from vpp_streams.domain.market.value import stored_after

RULES = energy_only(HOURLY)


def searched(price: Floats, storage: Storage, ends_empty: bool = False) -> float:
    """Money of the best plan from empty: a linear programme for each choice of directions."""
    n = len(price)
    charge, discharge = storage.charge_w / 1e6, storage.discharge_w / 1e6
    stored = np.hstack(
        [np.tril(np.ones((n, n))) * storage.charge_efficiency,
         -np.tril(np.ones((n, n))) / storage.discharge_efficiency]
    )  # fmt: skip
    limits = np.vstack([stored, -stored])
    full = np.r_[np.full(n, storage.energy_wh / 1e6), np.zeros(n)]
    cost = np.r_[price, storage.wear_per_mwh - price]
    best = 0.0
    for charging in product((True, False), repeat=n):
        bounds = [(0.0, charge if here else 0.0) for here in charging]
        bounds += [(0.0, 0.0 if here else discharge) for here in charging]
        found = linprog(
            cost,
            limits,
            full,
            stored[-1:] if ends_empty else None,
            [0.0] if ends_empty else None,
            bounds=bounds,
        )
        best = max(best, -found.fun)
    return best


def random_case(seed: int, steps: int) -> tuple[Floats, Storage]:
    rng = np.random.default_rng(seed)
    storage = Storage(
        float(rng.uniform(0.5e6, 3e6)),
        float(rng.uniform(0.3e6, 2e6)),
        float(rng.uniform(0.3e6, 2e6)),
        float(rng.uniform(0.6, 1.0)),
        float(rng.uniform(0.6, 1.0)),
        wear_per_mwh=float(rng.choice([0.0, 5.0])),
    )
    return rng.normal(-20.0, 60.0, steps), storage


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ends_empty", [False, True])
def test_perfect_foresight_is_the_best_of_all_directions(seed: int, ends_empty: bool) -> None:
    price, storage = random_case(seed, 6)
    money = perfect_money(prices_of(price, RULES), RULES, storage, 0.0, ends_empty=ends_empty)
    assert money.sum() == pytest.approx(searched(price, storage, ends_empty), rel=1e-4, abs=1e-4)


def test_the_linear_cuts_alone_are_too_low_in_some_cases() -> None:
    """Longer cases need binary variables to be exact; nothing is ever lost by them."""
    gained = []
    for seed in range(10):
        price, storage = random_case(seed, 24)
        problem = PlanProblem(np.ones(24), price, storage, 0.0, RULES)
        run, cuts = prices_of(price, RULES), PlanModel().solve(problem, 10.0)
        assert isinstance(cuts, Plan)
        exact = plan_money(exact_plan(problem), run, RULES, storage).sum()
        gained.append(exact - plan_money(cuts, run, RULES, storage).sum())
    assert min(gained) > -1e-3
    assert max(gained) > 1.0


def test_an_exact_plan_keeps_the_limits_and_goes_one_way() -> None:
    rng = np.random.default_rng(5)
    price = rng.normal(-10.0, 50.0, 48)
    storage = replace(BATTERY, charge_efficiency=0.8, discharge_efficiency=0.8)
    plan = exact_plan(PlanProblem(np.ones(48), price, storage, 0.0, RULES))
    stored_wh = 0.0
    for power_w, expected_wh in zip(plan.power_w, plan.stored_wh[1:], strict=True):
        stored_wh = float(stored_after(np.array([power_w]), stored_wh, storage, 1.0)[0])
        assert -1.0 <= stored_wh <= storage.energy_wh + 1.0
        assert stored_wh == pytest.approx(expected_wh, abs=10.0)


def test_regulation_beside_negative_prices_is_planned_exactly_too() -> None:
    """More rules never raise the optimum: what the cuts find is at most the exact plan's."""
    price = duck_days(2) - 60.0
    run, rules = prices_of(price), replace(HOURLY, products=("energy", "reg_up", "reg_down"))
    exact = best_plan(PlanModel(), run, rules, BATTERY, 0.0)
    problem = PlanProblem(
        np.ones(48), price, BATTERY, 0.0, rules,
        capacity_price={p: run.per_product[p] for p in ("reg_up", "reg_down")},
    )  # fmt: skip
    cuts = PlanModel().solve(problem, 10.0)
    assert isinstance(cuts, Plan)
    found = plan_money(exact, run, rules, BATTERY).sum()
    alone = best_plan(PlanModel(), run, RULES, BATTERY, 0.0)
    assert found >= plan_money(cuts, run, rules, BATTERY).sum() - 1e-4
    assert found > plan_money(alone, run, RULES, BATTERY).sum()


def test_what_a_cut_short_search_may_have_missed_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    run = prices_of(duck_days(2) - 80.0, RULES)
    best = perfect_money(run, RULES, BATTERY, 0.0).sum()
    solved = exact_plan_module._solved  # noqa: SLF001 - no other way to be late for certain

    def late(shape: Shape, bounds: Bounds, one_way: NDArray[np.bool_]) -> tuple[Floats, float]:
        return solved(shape, bounds, one_way)[0], 0.01

    monkeypatch.setattr(exact_plan_module, "_solved", late)
    assert perfect_money(run, RULES, BATTERY, 0.0).sum() == pytest.approx(1.01 * best)


def test_a_search_without_an_end_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exact_plan_module.OPTIONS, "time_limit", 0.0)
    run = prices_of(np.full(48, -100.0), RULES)
    with pytest.raises(ValueError, match=r"not found in 20 s.*try again"):
        perfect_money(run, RULES, BATTERY, 0.0)
