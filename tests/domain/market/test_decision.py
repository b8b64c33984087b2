"""Decisions: right on sound inputs, valid on any, in time, and the same from the same inputs."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from benchmarks.absurd_inputs import absurd_inputs, complaints
from schemas.market import Award, Bid, Delivery, PlanView
from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    T0,
    duck_days,
    inputs_at,
    no_clock,
    prices_of,
)
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.fallback import planned_w, safe_bid
from vpp_streams.domain.market.decision.problem import coarser
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem
from vpp_streams.domain.market.reserve import ReservePolicy, dependable
from vpp_streams.domain.market.rules import Storage

HISTORY = prices_of(duck_days(6))
NEXT_MS = T0 + 6 * 24 * 3_600_000
"""The interval after the history: midnight."""


def decide(inputs: CycleInputs, bidder: Autobidder | None = None) -> tuple[Bid, PlanView | None]:
    return (bidder or Autobidder()).decide(inputs, no_clock, 1.0)


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that moves on each time it is looked at."""
    now = [0.0]

    def look() -> float:
        now[0] += step_s
        return now[0]

    return look


def test_a_sound_decision_sells_dear_and_buys_cheap() -> None:
    bid, view = decide(inputs_at(NEXT_MS, HISTORY))
    assert bid.rung == "fresh_lp"
    assert bid.faults == ()
    assert cleared_power_w(bid.energy, 1000.0) > 0 > cleared_power_w(bid.energy, -100.0)
    assert view is not None
    evening, noon = view.power_w[17:21], view.power_w[11:15]
    assert sum(evening) > 0 > sum(noon)
    assert view.price_low[0] <= view.price[0] <= view.price_high[0]
    assert {offer.product for offer in bid.capacity} <= {"reg_up", "reg_down", "reserve"}


def test_the_next_decision_is_warm_and_the_same_as_a_fresh_one() -> None:
    bidder = Autobidder()
    decide(inputs_at(NEXT_MS, HISTORY), bidder)
    warm, _ = decide(inputs_at(NEXT_MS, HISTORY, 9e5), bidder)
    fresh, _ = decide(inputs_at(NEXT_MS, HISTORY, 9e5))
    assert (warm.rung, fresh.rung) == ("warm_lp", "fresh_lp")
    assert (warm.energy, warm.capacity) == (fresh.energy, fresh.capacity)


def test_what_is_unknown_is_not_offered() -> None:
    for inputs in (
        replace(inputs_at(NEXT_MS, HISTORY), storage=None),
        replace(inputs_at(NEXT_MS, HISTORY), stored_wh=float("nan")),
        replace(inputs_at(NEXT_MS, HISTORY), storage=Storage(0.0, 0.0, 0.0)),
    ):
        bid, _ = decide(inputs)
        assert bid.rung == "safe"
        assert bid.faults


def test_energy_that_is_sold_before_is_not_sold_again() -> None:
    sold = Award(
        bid_id="x", market="test", region="north", start_ms=NEXT_MS - 3_600_000,
        interval_ms=3_600_000, cleared_at_ms=0, energy_w=920_000.0, prices={}, currency="EUR",
    )  # fmt: skip
    inputs = replace(inputs_at(NEXT_MS, HISTORY), now_ms=NEXT_MS - 3_600_000, awards=(sold,))
    bid, _ = decide(inputs)
    assert bid.stored_wh == pytest.approx(0.0, abs=1.0)
    assert cleared_power_w(bid.energy, 4000.0) == 0.0
    here = msgspec.structs.replace(sold, start_ms=NEXT_MS)
    bid, _ = decide(replace(inputs_at(NEXT_MS, HISTORY), awards=(here,)))
    assert cleared_power_w(bid.energy, 4000.0) <= 80_000.0


@pytest.mark.parametrize(
    ("clock", "rungs"),
    [
        (ticking(0.0), {"fresh_lp"}),
        (ticking(0.4), {"value_rule"}),  # time ends once the outlook is made
        (ticking(1.1), {"safe"}),  # it had ended before
    ],
)
def test_the_ladder_without_time(clock: Callable[[], float], rungs: set[str]) -> None:
    bid, _ = Autobidder().decide(inputs_at(NEXT_MS, HISTORY), clock, 1.0)
    assert bid.rung in rungs
    assert not complaints(bid, inputs_at(NEXT_MS, HISTORY))


def test_the_ladder_with_failing_solvers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rung in turn, and the last plan cut to what can be given."""
    solve, calls = PlanModel.solve, list[int]()
    failing = [0]

    def sometimes(self: PlanModel, problem: PlanProblem, limit_s: float) -> Plan | PlanFailure:
        calls.append(len(problem.hours))
        if len(calls) <= failing[0]:
            return PlanFailure("solver", "it failed")
        return solve(self, problem, limit_s)

    monkeypatch.setattr(PlanModel, "solve", sometimes)
    inputs = inputs_at(NEXT_MS, HISTORY)
    _, view = decide(inputs)
    found = []
    for failing[0], last in ((0, None), (1, None), (2, None), (3, None), (3, view)):
        calls.clear()
        bid, _ = decide(replace(inputs, last_plan=last))
        found.append(bid.rung)
        assert not complaints(bid, inputs)
    assert found == ["fresh_lp", "fresh_lp", "coarse_lp", "value_rule", "last_plan"]


def test_with_no_time_at_all_the_last_plan_is_cut_to_what_there_is() -> None:
    _, view = decide(inputs_at(NEXT_MS, HISTORY))
    assert view is not None
    dear = msgspec.structs.replace(view, power_w=(5e6, *view.power_w[1:]))
    inputs = replace(inputs_at(NEXT_MS, HISTORY, 4e5), last_plan=dear)
    assert planned_w(inputs) == 5e6
    bid, _ = Autobidder().decide(inputs, ticking(1.1), 1.0)
    assert bid.rung == "last_plan"
    assert cleared_power_w(bid.energy, 0.0) == pytest.approx(4e5 * 0.92)


def test_a_coarser_problem_keeps_its_first_step_and_its_length() -> None:
    problem = PlanProblem(
        hours=np.full(24, 0.5), energy_price=np.arange(24.0), storage=BATTERY,
        stored_wh=0.0, rules=HOURLY,
    )  # fmt: skip
    coarse = coarser(problem)
    assert coarse.hours.sum() == problem.hours.sum()
    assert (coarse.hours[0], coarse.energy_price[0]) == (0.5, 0.0)
    assert coarse.energy_price[1] == pytest.approx(3.5)  # of steps 1 to 6


def delivery(share: float) -> Delivery:
    return Delivery(
        bid_id="x", market="test", region="north", start_ms=T0, interval_ms=3_600_000,
        awarded_w=5e5, measured_w=5e5 * share, coverage=1.0, money=0.0, currency="EUR",
    )  # fmt: skip


def test_what_was_not_delivered_lately_is_not_offered() -> None:
    well = [delivery(1.0)] * 18
    assert dependable(BATTERY, well, ReservePolicy()).availability == 1.0
    poor = [*well, *[delivery(0.8)] * 4]
    held = dependable(BATTERY, poor, ReservePolicy(kind="quantile", value=0.1))
    assert held.storage.discharge_w == pytest.approx(8e5)
    assert held.withheld_w == pytest.approx(2e5)
    assert dependable(BATTERY, [delivery(0.0)] * 5, ReservePolicy()).availability == 1.0
    assert dependable(BATTERY, [delivery(0.0)] * 50, ReservePolicy()).availability == 0.5
    assert dependable(BATTERY, poor, ReservePolicy(kind="n_minus_1", value=0.3)).availability == 0.7
    assert dependable(BATTERY, poor, ReservePolicy(kind="flat", value=0.05)).availability == 0.95


def test_the_bid_tells_what_the_reserve_costs() -> None:
    inputs = replace(inputs_at(NEXT_MS, HISTORY), reserve=ReservePolicy(kind="flat", value=0.2))
    bid, _ = decide(inputs)
    assert bid.withheld_w == pytest.approx(2e5)
    assert bid.expected_price is not None
    assert bid.withheld_cost == pytest.approx(0.2 * bid.expected_price, rel=1e-3)
    assert bid.up_w == pytest.approx(8e5)


@pytest.mark.parametrize("cycles", [600, pytest.param(2_000, marks=pytest.mark.nightly)])
def test_any_inputs_give_a_bid_that_the_market_takes(cycles: int) -> None:
    """`python -m benchmarks.bid_fuzz` runs 100,000 of them."""
    rng, bidder = np.random.default_rng(5), Autobidder()
    rungs = set()
    for _ in range(cycles):
        inputs, clock = absurd_inputs(rng)
        bid, _ = bidder.decide(inputs, clock, 1.0)
        assert not complaints(bid, inputs), (complaints(bid, inputs), inputs)
        rungs.add(bid.rung)
    assert rungs >= {"warm_lp", "fresh_lp", "last_plan", "value_rule", "safe"}


def test_a_safe_bid_is_one_that_the_market_takes() -> None:
    inputs = inputs_at(NEXT_MS, HISTORY)
    assert not complaints(safe_bid(inputs, ("why",)), inputs)


def test_powers_beyond_all_measure_add_up_to_one_that_a_record_can_hold() -> None:
    beyond = Storage(1e18, 1e18, 1e6, 0.92, 0.92)
    inputs = replace(inputs_at(NEXT_MS, HISTORY, 0.0), storage=beyond)
    bid, _ = decide(inputs)
    assert complaints(bid, inputs) == []
