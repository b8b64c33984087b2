"""Ten thousand plans of missing, negative and absurd numbers: each a plan within its limits."""

from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from schemas.market import Product
from vpp_streams.domain.market.connection import ConnectionLimits
from vpp_streams.domain.market.plan.breaches import breaches
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem, Slack
from vpp_streams.domain.market.rules import MarketRules, Storage

ABSURD = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-12, 1e12, -1e30, 1e30, 1e300)
CAPACITY: tuple[Product, ...] = ("reg_up", "reg_down", "reserve")
PER_REGION = 20
RULES = MarketRules(
    name="here", currency="EUR", interval_ms=300_000, gate_ms=300_000, floor=-1000.0, cap=15_000.0
)


class Fuzz:
    """Problems of one seed, now and then with a number that makes no sense."""

    def __init__(self, seed: int) -> None:
        self.rng, self.tied = np.random.default_rng(seed), np.random.default_rng(seed + 1)

    def number(self, value: float) -> float:
        """It, or rarely an absurd one."""
        return float(self.rng.choice(ABSURD)) if self.rng.random() < 0.02 else float(value)

    def array(self, values: np.ndarray, share: float = 0.06) -> np.ndarray:
        """They, or one of them absurd."""
        if len(values) and self.rng.random() < share:
            values = np.array(values, float)
            values[self.rng.integers(len(values))] = self.rng.choice(ABSURD)
        return values

    def at_connection(self, problem: PlanProblem) -> PlanProblem:
        """The problem with a net load, fees and limits at the connection."""
        rng, n, energy = self.tied, len(problem.hours), float(10.0 ** self.tied.uniform(2.0, 9.0))
        net_w = rng.normal(0.0, energy, n)
        limits_w, fees = rng.uniform(0.0, 2.0 * energy, 2), rng.uniform(-20.0, 150.0, 2)
        if rng.random() < 0.1:
            net_w[rng.integers(n)] = rng.choice(ABSURD)
            limits_w[0], fees[1] = rng.choice(ABSURD, 2)
        rules = replace(problem.rules, import_fee=float(fees[0]), export_fee=float(fees[1]))
        limits = ConnectionLimits(*(float(w) if rng.random() < 0.7 else np.inf for w in limits_w))
        return replace(problem, rules=rules, net_load_w=net_w, limits=limits)

    def maybe(self, values: np.ndarray) -> np.ndarray | None:
        """They or nothing."""
        return self.array(values) if self.rng.random() < 0.4 else None

    def region(self) -> PlanProblem:
        """A storage and its market: what stays from one problem to the next."""
        rng, energy = self.rng, 10.0 ** self.rng.uniform(2.0, 10.0)
        steps = 12 if rng.random() < 0.9 else 24
        powers = energy * rng.uniform(0.1, 1.0, 2)
        most = (energy, *powers, *rng.uniform(0.8, 1.0, 2), rng.uniform(0.0, 30.0))
        rules = replace(
            RULES,
            sustain_h=self.number(rng.choice([0.0, 0.05, 0.25, 1.0])),
            reserve_sustain_h=self.number(rng.choice([0.0, 0.5, 4.0])),
            reg_up_used=self.number(rng.uniform(0.0, 0.5)),
            reg_down_used=self.number(rng.uniform(0.0, 0.5)),
        )
        hours = np.full(steps, rng.choice([1 / 12, 0.25, 1.0]))
        if rng.random() < 0.2:
            hours = self.array(rng.uniform(0.05, 2.0, steps))
        traded = [name for name in CAPACITY if rng.random() < 0.5]
        return PlanProblem(
            hours=hours,
            energy_price=np.zeros(steps),
            storage=Storage(*(self.number(value) for value in most)),
            stored_wh=energy,
            rules=rules,
            capacity_price={name: np.zeros(steps) for name in traded},
            terminal_wh=np.zeros(rng.integers(0, 4)),
        )

    def problem(self, region: PlanProblem) -> PlanProblem:
        """Prices, limits, what is sold and what is stored, at some moment."""
        rng, n, energy = self.rng, len(region.hours), region.stored_wh
        scale, pieces = rng.choice([1.0, 50.0, 5000.0]), len(region.terminal_wh)

        def some(values: np.ndarray) -> np.ndarray:
            return np.where(rng.random(n) < 0.3, values, np.nan)

        sold: dict[Product, np.ndarray] = {
            name: self.array(some(rng.uniform(0.0, energy, n)))
            for name in region.capacity_price
            if rng.random() < 0.4
        }
        return replace(
            region,
            energy_price=self.array(rng.normal(scale / 2.0, scale, n), 0.02),
            stored_wh=self.number(energy * rng.uniform(-0.3, 1.3)),
            capacity_price={
                name: self.array(rng.normal(8.0, 8.0, n)) for name in region.capacity_price
            },
            charge_w=self.maybe(rng.uniform(0.0, energy, n)),
            discharge_w=self.maybe(rng.uniform(0.0, energy, n)),
            energy_min_wh=self.maybe(rng.uniform(0.0, energy / 2.0, n)),
            energy_max_wh=self.maybe(rng.uniform(energy * 0.4, energy, n)),
            committed_w=self.maybe(some(rng.uniform(-energy, energy, n))),
            committed_capacity_w=sold,
            terminal_wh=self.array(np.sort(rng.uniform(0.0, energy, pieces))),
            terminal_per_mwh=self.array(rng.normal(30.0, 30.0, pieces)),
            final_wh=self.number(energy * rng.random()) if rng.random() < 0.2 else np.nan,
        )


@pytest.mark.parametrize("problems", [2_000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_whatever_the_numbers_the_plan_is_within_its_limits_or_there_is_a_reason(
    problems: int,
) -> None:
    fuzz, model, found = Fuzz(20), PlanModel(), Counter[str]()
    for turn in range(problems):
        if turn % PER_REGION == 0:
            region = fuzz.region()
        problem, no_time = fuzz.problem(region), fuzz.rng.random() < 0.02
        if turn // PER_REGION % 3 == 2:
            problem = fuzz.at_connection(problem)
        plan = model.solve(problem, 0.0 if no_time else 60.0)
        if isinstance(plan, PlanFailure):
            assert plan.detail
            assert plan.reason == "bad_input" or (no_time and plan.reason == "time_limit")
            found[plan.reason] += 1
            continue
        assert breaches(plan, problem) == (), (turn, plan, problem)
        assert keeps_the_limits_as_given(plan, problem)
        assert np.isfinite(plan.money)
        assert np.isfinite(plan.value_per_mwh).all()
        found.update((plan.how, *plan.slacks, *plan.faults, f"rounds {min(plan.rounds, 3)}"))
    assert found["bad_input"] < problems / 10 < found["warm"]
    assert {"time_limit", "fresh", "rounds 1", "rounds 2", "rounds 3"} <= set(found)
    assert set(get_args(Slack)) <= set(found)


def keeps_the_limits_as_given(plan: Plan, problem: PlanProblem) -> bool:
    """Power is within every limit that is a number, in W as it was said."""
    kept = True
    pairs = (
        (plan.charge_w, problem.charge_w, problem.storage.charge_w),
        (plan.discharge_w, problem.discharge_w, problem.storage.discharge_w),
    )
    for power_w, given_w, own_w in pairs:
        for limit_w in (given_w, own_w):
            if limit_w is not None:
                most_w = np.maximum(np.nan_to_num(limit_w, posinf=np.inf, neginf=0.0), 0.0)
                kept &= bool((power_w <= most_w * (1 + 1e-6) + 1e-5 * abs(power_w).max()).all())
    return kept
