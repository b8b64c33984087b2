"""Perfect foresight on a year of real prices, against the optimum of another solver.

The case is DER-VET's for CAISO 2020: a battery of 1 MW and 4 MWh that sells energy and regulation
up and down, hour by hour, each day from empty, as its inputs say.
"""

import csv
import json
from dataclasses import dataclass, replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from tests.support.paths import SHARED_DATA
from vpp_streams.domain.market.plan.breaches import breaches
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanProblem
from vpp_streams.domain.market.rules import MarketRules, Storage

CASE = SHARED_DATA / "dervet_caiso_2020"
pytestmark = pytest.mark.skipif(not CASE.is_dir(), reason="no dervet_caiso_2020 in ../shared/data")
DAYS, HOURS = 366, 24


@dataclass(frozen=True)
class Case:
    """Prices per MWh and per MW and hour (days, hours), and the battery's and service's numbers."""

    energy: np.ndarray
    up: np.ndarray
    down: np.ndarray
    battery: dict[str, float]
    regulation: dict[str, float]


def numbers_of(tags: dict[str, Any], tag: str) -> dict[str, float]:
    """The numbers among one tag's keys."""
    (active,) = (one for one in tags[tag].values() if one["active"] == "yes")
    found = {}
    for key, value in active["keys"].items():
        if value["type"] == "float":
            found[key] = float(value["opt_value"])
    return found


@pytest.fixture(scope="module")
def case() -> Case:
    """As it is in the files."""
    with (CASE / "timeseries_DA_regup_regdown.csv").open() as file:
        rows = np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
    per_mwh = rows.T.reshape(3, DAYS, HOURS) * 1e3
    tags = json.loads((CASE / "model_parameters.json").read_text())["tags"]
    prices, up, down = per_mwh
    return Case(prices, up, down, numbers_of(tags, "Battery"), numbers_of(tags, "FR"))


def problem_of(case: Case, prices: np.ndarray) -> PlanProblem:
    """Hours with these prices (energy, up, down), from an empty battery."""
    battery, regulation = case.battery, case.regulation
    rules = MarketRules(
        name="caiso",
        currency="USD",
        interval_ms=3_600_000,
        gate_ms=3_600_000,
        floor=-1000.0,
        cap=2000.0,
        sustain_h=regulation["duration"],
        reg_up_used=regulation["eou"],
        reg_down_used=regulation["eod"],
    )
    storage = Storage(
        energy_wh=battery["ene_max_rated"] * 1e3,
        charge_w=battery["ch_max_rated"] * 1e3,
        discharge_w=battery["dis_max_rated"] * 1e3,
        charge_efficiency=battery["rte"] / 100.0,
        discharge_efficiency=1.0,
        wear_per_mwh=battery["OMexpenses"],
    )
    capacity = {"reg_up": prices[1], "reg_down": prices[2]}
    return PlanProblem(np.ones(prices.shape[1]), prices[0], storage, 0.0, rules, capacity)  # type: ignore[arg-type]


def other_optimum(case: Case, days: int, hours: int) -> float:
    """USD, by an interior point method, of a model made from the arrays in kW and kWh."""
    kw, kwh = case.battery["dis_max_rated"], case.battery["ene_max_rated"]
    efficiency, wear = case.battery["rte"] / 100.0, case.battery["OMexpenses"] / 1e3
    used_up, used_down = case.regulation["eou"], case.regulation["eod"]
    held = case.regulation["duration"]
    energy, up_price, down_price = (
        price.reshape(-1)[: days * hours].reshape(days, hours) / 1e3
        for price in (case.energy, case.up, case.down)
    )
    charge, discharge, up, down = (cp.Variable((days, hours), nonneg=True) for _ in range(4))
    soe = cp.Variable((days, hours + 1))
    given, taken = discharge + used_up * up, charge + used_down * down
    rules = [
        soe[:, 0] == 0.0,
        soe[:, 1:] == soe[:, :-1] + efficiency * taken - given,
        charge <= kw,
        discharge <= kw,
        up + discharge - charge <= kw,
        down + charge - discharge <= kw,
    ]
    for point in (soe[:, :-1], soe[:, 1:]):
        rules += [point >= held * up, point + held * efficiency * down <= kwh]
    money = cp.sum(
        cp.multiply(energy, given - taken)
        - wear * given
        + cp.multiply(up_price, up)
        + cp.multiply(down_price, down)
    )
    asked = cp.Problem(cp.Maximize(money), rules)
    asked.solve(cp.CLARABEL)
    return float(asked.value)


def test_every_day_by_itself_is_the_optimum_of_another_solver(case: Case) -> None:
    model, prices, earned = PlanModel(), np.stack([case.energy, case.up, case.down]), 0.0
    for day in range(DAYS):
        problem = problem_of(case, prices[:, day])
        plan = model.solve(problem, 10.0)
        assert isinstance(plan, Plan)
        assert breaches(plan, problem) == ()
        assert plan.slacks == {}
        earned += plan.money
    other = other_optimum(case, DAYS, HOURS)
    assert other > 100_000.0
    assert earned == pytest.approx(other, rel=1e-6)


def test_a_quarter_in_one_programme_is_the_optimum_of_another_solver(case: Case) -> None:
    hours = 91 * HOURS
    prices = np.stack([price.reshape(-1)[:hours] for price in (case.energy, case.up, case.down)])
    problem = problem_of(case, prices)
    plan = PlanModel().solve(problem, 60.0)
    assert isinstance(plan, Plan)
    assert breaches(plan, problem) == ()
    assert plan.money == pytest.approx(other_optimum(case, 1, hours), rel=1e-6)
    without = PlanModel().solve(replace(problem, capacity_price={}), 60.0)
    assert isinstance(without, Plan)
    assert without.money < plan.money
