"""Plans: known answers, the same model in cvxpy, no charge and discharge at once, soft limits."""

from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.breaches import breaches
from vpp_streams.domain.market.plan.lp import dearest_of
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem, PowerCurve
from vpp_streams.domain.market.plan.tidy import Tidy, tidy
from vpp_streams.domain.market.rules import MarketRules, Storage

STORAGE = Storage(2e6, 1e6, 1e6, 0.9, 0.9, 5.0)
RULES = MarketRules(
    name="here", currency="EUR", interval_ms=3_600_000, gate_ms=3_600_000, floor=-500.0, cap=4000.0
)
NAN = float("nan")


def problem_of(prices: list[float], stored_wh: float = 0.0, **more: object) -> PlanProblem:
    """Hourly steps without capacity."""
    base = PlanProblem(np.ones(len(prices)), np.array(prices), STORAGE, stored_wh, RULES)
    return replace(base, **more)  # type: ignore[arg-type]


def solved(problem: PlanProblem, model: PlanModel | None = None) -> Plan:
    """The plan; it keeps all limits."""
    plan = (model or PlanModel()).solve(problem, 10.0)
    assert isinstance(plan, Plan), plan
    assert breaches(plan, problem) == ()
    return plan


def random_problem(rng: np.random.Generator, steps: int, least: float = 5.0) -> PlanProblem:
    """With all that a problem can have; energy prices from ``least`` up."""
    n, energy_wh = steps, 10.0 ** rng.uniform(4.0, 9.0)
    power_w = energy_wh * rng.uniform(0.2, 1.0, 2)
    there, back = rng.uniform(0.85, 1.0, 2)
    storage = Storage(energy_wh, power_w[0], power_w[1], there, back, rng.uniform(0.0, 20.0))
    rules = replace(
        RULES,
        sustain_h=float(rng.choice([0.25, 0.5, 1.0])),
        reserve_sustain_h=float(rng.choice([0.5, 1.0, 2.0])),
        reg_up_used=rng.uniform(0.0, 0.3),
        reg_down_used=rng.uniform(0.0, 0.3),
    )
    hours = np.full(n, 0.25) if rng.random() < 0.5 else rng.choice([1 / 12, 0.25, 0.5, 1.0], n)

    def some(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(n) < 0.2, values, np.nan)

    capacity: dict[Product, Floats] = {
        name: rng.uniform(0.0, 15.0, n) for name in ("reg_up", "reg_down", "reserve")
    }
    sold = {"reg_up": some(power_w[1] * rng.uniform(0.0, 0.3, n))} if rng.random() < 0.5 else {}
    return PlanProblem(
        hours=hours,
        energy_price=rng.uniform(least, 100.0, n),
        storage=storage,
        stored_wh=energy_wh * rng.uniform(-0.1, 1.1),
        rules=rules,
        capacity_price=capacity,
        charge_w=power_w[0] * rng.uniform(0.3, 1.0, n),
        discharge_w=power_w[1] * rng.uniform(0.3, 1.0, n),
        energy_min_wh=np.where(np.arange(n) > n // 2, 0.3, 0.0) * energy_wh * rng.random(),
        energy_max_wh=np.full(n, energy_wh * rng.uniform(0.6, 1.0)),
        committed_w=some(rng.uniform(-0.5, 0.5, n) * energy_wh) if rng.random() < 0.5 else None,
        committed_capacity_w=sold,  # type: ignore[arg-type]
        terminal_wh=energy_wh * np.array([0.2, 0.5, 1.0]),
        terminal_per_mwh=np.sort(rng.uniform(0.0, 80.0, 3))[::-1],
        final_wh=energy_wh * 0.6 if rng.random() < 0.3 else NAN,
    )


def in_cvxpy(problem: PlanProblem, one_way: bool = False) -> float:
    """The best money less what slacks cost, by another solver, from the model as it is described.

    ``one_way``: no charge and discharge at once, exactly, with a choice per step.
    """
    p, n = mended_of(problem), len(problem.hours)
    h, ec, ed = p.hours, p.charge_efficiency, p.discharge_efficiency
    c, d, s = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True), cp.Variable(n + 1)
    up, down, reserve = (cp.Variable(n, nonneg=True) for _ in range(3))
    below, above = cp.Variable(n + 1, nonneg=True), cp.Variable(n + 1, nonneg=True)
    held = {"reg_up": up, "reg_down": down, "reserve": reserve}
    given, taken = d + p.used["reg_up"] * up, c + p.used["reg_down"] * down
    inside = s + below - above
    backed = (p.sustain["reg_up"] * up + p.sustain["reserve"] * reserve) / ed
    room = p.sustain["reg_down"] * ec * down
    rules = [
        s[0] == p.stored,
        cp.diff(s) == cp.multiply(h, ec * taken - given / ed),
        c <= p.charge,
        d <= p.discharge,
        up + reserve + d - c <= p.discharge,
        down + c - d <= p.charge,
        inside >= p.low,
        inside <= p.high,
        below[0] == max(p.low[0] - p.stored, 0.0),
        above[0] == max(p.stored - p.high[0], 0.0),
    ]
    rules += [inside[at] - p.low[at] >= backed for at in (slice(0, n), slice(1, n + 1))]
    rules += [p.high[at] - inside[at] >= room for at in (slice(0, n), slice(1, n + 1))]
    money = p.price @ cp.multiply(h, given - taken) - p.wear * (h @ given)
    dearest, slack = dearest_of(p), 0.0
    for name, power in held.items():
        price = p.capacity_price.get(name)  # type: ignore[call-overload]
        if price is None:
            rules.append(power == 0.0)
            continue
        money += price @ cp.multiply(h, power)
        sold = p.committed_capacity.get(name, np.full(n, np.nan))  # type: ignore[call-overload]
        for t in np.flatnonzero(~np.isnan(sold)):
            rules.append(power[t] <= sold[t])
            slack += 2.0 * dearest * h[t] * (sold[t] - power[t])
    for t in np.flatnonzero(~np.isnan(p.committed)):
        slack += 4.0 * dearest * h[t] * cp.abs(d[t] - c[t] - p.committed[t])
    if not np.isnan(p.final):
        slack += 2.0 * dearest / ec * cp.pos(p.final - s[n])
    slack += dearest * outside_of(p) * cp.sum(below + above)
    pieces = cp.Variable(len(p.widths) + 1)
    rules += [cp.sum(pieces) == s[n], pieces[1:] >= 0.0, pieces[:-1] <= p.widths]
    money += p.values @ pieces[:-1] + min(p.values[-1], 0.0) * pieces[-1]
    if one_way:
        way = cp.Variable(n, boolean=True)
        rules += [c <= cp.multiply(p.charge, way), d <= cp.multiply(p.discharge, 1 - way)]
    asked = cp.Problem(cp.Maximize(money - slack), rules)
    if one_way:
        asked.solve(cp.HIGHS, mip_rel_gap=1e-9)
    else:
        asked.solve(cp.CLARABEL, tol_gap_rel=1e-10, tol_gap_abs=1e-10, tol_feas=1e-10)
    return float(asked.value) * p.unit_wh / 1e6


def mended_of(problem: PlanProblem) -> Tidy:
    mended = tidy(problem)
    assert isinstance(mended, Tidy)
    assert mended.faults == ()
    return mended


def outside_of(p: Tidy) -> float:
    """What energy outside of the limits costs at each point, in the dearest price."""
    return 8.0 / p.charge_efficiency / p.discharge_efficiency


def worth(plan: Plan, problem: PlanProblem) -> float:
    """A plan's money less what its slacks cost."""
    p, h, n = mended_of(problem), np.asarray(problem.hours), len(problem.hours)
    stored, unit, dearest = plan.stored_wh / 1e6, 1e6, dearest_of(mended_of(problem))
    low, high = p.low * p.unit_wh / unit, p.high * p.unit_wh / unit
    out = np.maximum(low - stored, 0.0) + np.maximum(stored - high, 0.0)
    cost = outside_of(p) * out.sum()
    if problem.committed_w is not None:
        cost += 4.0 * np.nansum(h * np.abs(plan.power_w - problem.committed_w)) / unit
    for sold in problem.committed_capacity_w.values():
        cost += 2.0 * np.nansum(h * (sold - plan.reg_up_w)) / unit
    if not np.isnan(problem.final_wh):
        short = max(p.final * p.unit_wh / unit - stored[n], 0.0)
        cost += 2.0 / p.charge_efficiency * short
    return plan.money - dearest * float(cost)


def test_energy_is_bought_cheap_and_sold_dear() -> None:
    plan = solved(problem_of([10.0, 20.0, 100.0, 50.0]))
    # 2 MWh need 2.22 MWh: 1 MW at 10, the rest at 20; 1 MW is sold at 100, 0.71 MW at 50.
    np.testing.assert_allclose(plan.power_w, [-1e6, -1e6, 1e6, 0.62e6])
    np.testing.assert_allclose(plan.stored_wh, [0.0, 0.9e6, 1.8e6, 0.688889e6, 0.0], atol=1.0)
    assert plan.money == pytest.approx(-10.0 - 20.0 + 95.0 + 0.62 * 45.0)
    assert (plan.how, plan.rounds, plan.slacks, plan.faults) == ("fresh", 1, {}, ())


def test_the_value_of_stored_energy_is_what_one_more_mwh_earns() -> None:
    problem = problem_of([10.0, 20.0, 100.0, 50.0], stored_wh=1e5)
    plan, more = solved(problem), solved(replace(problem, stored_wh=1.1e5))
    assert plan.value_per_mwh[0] == pytest.approx((more.money - plan.money) / 0.01)
    assert plan.value_per_mwh[3] == pytest.approx(45.0 * 0.9)


def test_regulation_is_paid_for_power_and_for_the_energy_it_is_called_for() -> None:
    rules = replace(RULES, sustain_h=1.0, reg_up_used=0.1)
    problem = problem_of([40.0], stored_wh=2e6, rules=rules, charge_w=np.zeros(1))
    plan = solved(replace(problem, capacity_price={"reg_up": np.array([60.0])}))
    assert plan.reg_up_w[0] == pytest.approx(1e6)
    assert plan.stored_wh[1] == pytest.approx(2e6 - 0.1e6 / 0.9)
    assert plan.money == pytest.approx(60.0 + 0.1 * (40.0 - 5.0))


@pytest.mark.parametrize("stored_wh", [5e5, 15e5])
def test_regulation_is_backed_at_the_start_and_the_end_of_a_step(stored_wh: float) -> None:
    rules = replace(RULES, sustain_h=2.0, reg_up_used=0.2, reg_down_used=0.2)
    capacity = {"reg_up": np.array([50.0, 50.0]), "reg_down": np.array([50.0, 50.0])}
    problem = problem_of([0.0, 0.0], stored_wh, rules=rules, capacity_price=capacity)
    plan = solved(problem)
    least = np.minimum(plan.stored_wh[:-1], plan.stored_wh[1:])
    most = np.maximum(plan.stored_wh[:-1], plan.stored_wh[1:])
    assert (plan.reg_up_w * 2.0 / 0.9 <= least + 1.0).all()
    assert (plan.reg_down_w * 2.0 * 0.9 <= 2e6 - most + 1.0).all()
    assert plan.reg_up_w.max() > 1e5 < plan.reg_down_w.max()


@pytest.mark.parametrize("seed", range(36))
def test_it_is_as_good_as_the_same_model_in_cvxpy(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), steps=16)
    plan = solved(problem)
    assert plan.rounds == 1
    assert worth(plan, problem) == pytest.approx(in_cvxpy(problem), rel=1e-6)


def test_some_of_those_problems_pass_soft_limits() -> None:
    found: set[str] = set()
    for seed in range(36):
        found |= set(solved(random_problem(np.random.default_rng(seed), steps=16)).slacks)
    assert found >= {"stored_below_reserve", "stored_above_full", "commitment_missed"}
    assert "reg_up_missed" in found


def test_no_step_goes_both_ways_and_that_costs_little() -> None:
    ours, best, again = 0.0, 0.0, 0
    for seed in range(20):
        problem = random_problem(np.random.default_rng(seed), steps=16, least=-100.0)
        problem = replace(problem, committed_w=None, committed_capacity_w={})
        plan = solved(problem)
        assert np.minimum(plan.charge_w, plan.discharge_w).max() == pytest.approx(0.0, abs=1e-3)
        energy_mwh = problem.storage.energy_wh / 1e6
        mine, most = worth(plan, problem) / energy_mwh, in_cvxpy(problem, True) / energy_mwh
        assert mine <= most + 1e-4 * abs(most)
        ours, best, again = ours + mine, best + most, again + (plan.rounds > 1)
    assert again > 5
    assert ours >= best - 0.01 * abs(best)


def test_what_is_below_the_reserve_is_restored_at_once() -> None:
    plan = solved(problem_of([3000.0, 10.0], stored_wh=-2e5))
    assert plan.power_w[0] == pytest.approx(-2e5 / 0.9)
    assert plan.slacks == {"stored_below_reserve": pytest.approx(2e5)}


def test_a_storm_s_reserve_is_there_from_the_start_of_its_step() -> None:
    least = np.array([0.0, 0.0, 1.5e6, 0.0])
    plan = solved(problem_of([50.0, 60.0, 900.0, 900.0], 1e6, energy_min_wh=least))
    assert plan.stored_wh[2] >= 1.5e6 - 1.0 <= plan.stored_wh[3]
    assert plan.slacks == {}
    plan = solved(problem_of([50.0, 60.0, 900.0], energy_min_wh=np.array([0.0, 2e6, 2e6])))
    assert plan.slacks == {"stored_below_reserve": pytest.approx(2e6 - 0.9e6)}


def test_what_is_sold_is_delivered_whatever_the_price() -> None:
    sold = np.array([5e5, NAN, -3e5])
    plan = solved(problem_of([-400.0, 50.0, 3000.0], 1e6, committed_w=sold))
    np.testing.assert_allclose(plan.power_w[[0, 2]], [5e5, -3e5])
    assert plan.slacks == {}


def test_what_is_sold_and_cannot_be_delivered_is_told() -> None:
    plan = solved(problem_of([50.0], 1e5, committed_w=np.array([5e5])))
    assert plan.power_w[0] == pytest.approx(0.9e5)
    assert plan.slacks == {"commitment_missed": pytest.approx(4.1e5)}
    sold = {"reg_up": np.array([8e5])}
    plan = solved(
        problem_of([50.0], 2e5, capacity_price={"reg_up": np.zeros(1)}, committed_capacity_w=sold)
    )
    assert 0.0 < plan.slacks["reg_up_missed"] < 8e5


def test_the_energy_wanted_at_the_end_is_bought_whatever_the_price() -> None:
    plan = solved(problem_of([300.0, 3000.0, 300.0], final_wh=1.8e6))
    np.testing.assert_allclose(plan.power_w, [-1e6, 0.0, -1e6], atol=1.0)
    plan = solved(problem_of([300.0], final_wh=1.8e6))
    assert plan.slacks == {"final_short": pytest.approx(0.9e6)}


def test_a_terminal_value_that_is_not_concave_is_made_so_and_told() -> None:
    worths = {"terminal_wh": (1e6, 2e6), "terminal_per_mwh": (20.0, 60.0)}
    plan = solved(problem_of([10.0], 1e6, **worths))
    assert plan.faults == ("terminal_not_concave",)
    assert plan.money == pytest.approx(-10.0 + 1.9 * 40.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy_price": np.array([1.0, NAN])}, "an energy price is not known"),
        ({"energy_price": np.array([1.0])}, "energy_price: not 2 values"),
        ({"hours": np.array([1.0, 0.0])}, "no sensible length"),
        ({"hours": np.array([])}, "there are no steps"),
        ({"stored_wh": NAN}, "the stored energy"),
        ({"charge_w": np.ones(3)}, "charge_w: not 2 values"),
        ({"terminal_wh": (1.0,)}, "not of one length"),
    ],
)
def test_no_plan_is_guessed(change: dict[str, Any], said: str) -> None:
    found = PlanModel().solve(problem_of([1.0, 2.0], **change), 10.0)
    assert isinstance(found, PlanFailure)
    assert (found.reason, said in found.detail) == ("bad_input", True)


def test_no_time_is_a_failure_and_the_next_solve_is_well() -> None:
    model, problem = PlanModel(), problem_of([10.0, 20.0, 100.0])
    solved(problem, model)
    for limit in (0.0, -1.0, NAN):
        found = model.solve(problem, limit)
        assert isinstance(found, PlanFailure)
        assert found.reason == "time_limit"
    assert solved(problem, model).money == solved(problem).money


def test_time_that_runs_out_is_a_failure() -> None:
    problem = random_problem(np.random.default_rng(1), steps=2000)
    model = PlanModel()
    found = model.solve(problem, 1e-4)
    assert isinstance(found, PlanFailure)
    assert found.reason == "time_limit"
    assert solved(problem, model).how == "fresh"


def test_a_warm_solve_finds_what_a_fresh_one_does() -> None:
    rng, model = np.random.default_rng(5), PlanModel()
    first = random_problem(rng, steps=24)
    for turn in range(20):
        price, stored_wh = rng.uniform(-20.0, 100.0, 24), rng.uniform() * first.storage.energy_wh
        problem = replace(first, energy_price=price, stored_wh=stored_wh)
        warm, fresh = solved(problem, model), solved(problem)
        assert (warm.how, fresh.how) == ("warm" if turn else "fresh", "fresh")
        if warm.rounds == fresh.rounds == 1:
            assert worth(warm, problem) == pytest.approx(worth(fresh, problem), rel=1e-9)


@pytest.mark.parametrize("cycles", [1, 2])
def test_where_the_quick_options_fail_the_usual_ones_find_the_same(
    cycles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fail at once, as if the simplex method went round in circles; the next solve is new."""
    problem = random_problem(np.random.default_rng(4), 24)
    expected = solved(problem)
    monkeypatch.setattr("vpp_streams.domain.market.plan.solver.ITERATIONS_PER_ROW", 0)
    model = PlanModel()
    for _ in range(cycles):
        rescued = solved(problem, model)
    assert worth(rescued, problem) == pytest.approx(worth(expected, problem), rel=1e-6)


def test_the_first_power_s_curve_is_what_the_rest_earns() -> None:
    rng, model = np.random.default_rng(8), PlanModel()
    problem = replace(random_problem(rng, steps=24), committed_w=None, committed_capacity_w={})
    problem = replace(problem, stored_wh=problem.storage.energy_wh / 2.0, final_wh=NAN)
    plan = solved(problem, model)
    curve = model.first_power_curve(10.0)
    assert isinstance(curve, PowerCurve)
    assert (len(curve.power_w), curve.power_w[0] < 0.0 < curve.power_w[-1]) == (9, True)
    slopes = np.diff(curve.money) / np.diff(curve.power_w)
    assert (np.diff(slopes) <= 1e-12).all()
    expected = []
    for power_w in curve.power_w:
        sold = np.append(power_w, np.full(23, NAN))
        least = solved(replace(problem, committed_w=sold))
        energy_mwh = power_w * problem.hours[0] / 1e6
        expected.append(worth(least, replace(problem, committed_w=sold)))
        expected[-1] -= energy_mwh * problem.energy_price[0]
    at_zero = np.array(expected) - expected[int(np.abs(curve.power_w).argmin())]
    np.testing.assert_allclose(curve.money, at_zero, rtol=1e-6, atol=1e-6 * abs(plan.money))


def test_a_curve_needs_a_plan_and_time() -> None:
    model = PlanModel()
    assert isinstance(model.first_power_curve(1.0), PlanFailure)
    solved(problem_of([10.0, 20.0]), model)
    found = model.first_power_curve(0.0)
    assert isinstance(found, PlanFailure)
    assert found.reason == "time_limit"
