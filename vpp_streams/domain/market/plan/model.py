"""Solves plans: the model is built once per shape, then only its numbers change, kept warm."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.market.plan.curve import curve_of, first_powers, fixed
from vpp_streams.domain.market.plan.cuts import cut, everywhere, forbidden_in
from vpp_streams.domain.market.plan.lp import Bounds, bounds_of, shape_of
from vpp_streams.domain.market.plan.problem import (
    Failure,
    Plan,
    PlanFailure,
    PlanProblem,
    PowerCurve,
)
from vpp_streams.domain.market.plan.read import PlanColumns, columns_of, money_of, slacks_of
from vpp_streams.domain.market.plan.solver import TIME, Solved, Solver
from vpp_streams.domain.market.plan.tidy import Tidy, tidy

ROUNDS = 5
"""From then on a rule that is broken in one step is enforced in all, so that there is an end: at
most three more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """An optimum that breaks no rule."""

    columns: PlanColumns
    solved: Solved
    bounds: Bounds
    """Those that it was solved with."""
    rounds: int


class PlanModel:
    """One horizon's model. What it keeps between solves saves time, and changes no optimum."""

    def __init__(self) -> None:
        self._solver: Solver | None = None
        self._last: tuple[_Found, Tidy] | None = None

    def solve(self, problem: PlanProblem, time_limit_s: float) -> Plan | PlanFailure:
        """The best plan; a failure where time ran out or the numbers make no problem.

        The limit is of the solver's own time, as is what the plan says it took. After a failure
        the next solve starts afresh.
        """
        self._last = None
        mended = tidy(problem)
        if isinstance(mended, PlanFailure):
            return mended
        if not time_limit_s > 0.0:
            return PlanFailure("time_limit", "there was no time", mended.faults)
        shape, solver = shape_of(mended), self._solver
        fresh = solver is None or solver.shape != shape
        if solver is None or fresh:
            self._solver = solver = Solver(shape)
        began_s = solver.spent_s
        found = _lawful(solver, mended, time_limit_s)
        if isinstance(found, str):
            self._solver = None
            return _failure(found, mended)
        self._last = found, mended
        return _plan(found, mended, solver.spent_s - began_s, fresh)

    def first_power_curve(self, time_limit_s: float, levels: int = 9) -> PowerCurve | PlanFailure:
        """What all else would earn, by the first step's power; of the problem just solved.

        Steps that were not allowed to go both ways keep the way they have in the plan.
        """
        if self._last is None or self._solver is None:
            return PlanFailure("bad_input", "no plan was found before")
        solver, (found, mended) = self._solver, self._last
        began_s, powers = solver.spent_s, first_powers(mended, levels)
        costs = np.zeros(len(powers))
        for i, power in enumerate(powers.tolist()):
            left = began_s + time_limit_s - solver.spent_s
            bounds = fixed(found.bounds, len(mended.hours), power)
            solved = solver.run(bounds, left) if left > 0.0 else TIME
            if isinstance(solved, str):
                return _failure(solved, mended)
            costs[i] = solved.cost
        return curve_of(mended, powers, costs, solver.spent_s - began_s)


def _failure(why: str, mended: Tidy) -> PlanFailure:
    reason: Failure = "time_limit" if why == TIME else "solver"
    return PlanFailure(reason, why, mended.faults)


def _lawful(solver: Solver, mended: Tidy, time_limit_s: float) -> _Found | str:
    """Solve; where that breaks a rule that is no limit of the programme, cut and solve again."""
    until, shape = solver.spent_s + time_limit_s, solver.shape
    bounds, rounds = bounds_of(mended, shape), 0
    while True:
        rounds += 1
        left = until - solver.spent_s
        solved = solver.run(bounds, left) if left > 0.0 else TIME
        if isinstance(solved, str):
            return solved
        columns = columns_of(solved.values, bounds, shape)
        forbidden = forbidden_in(columns, mended, shape)
        if not forbidden:
            return _Found(columns, solved, bounds, rounds)
        if rounds >= ROUNDS:
            forbidden = everywhere(forbidden)
        bounds = cut(bounds, columns, forbidden, mended, shape)


def _plan(found: _Found, mended: Tidy, seconds: float, fresh: bool) -> Plan:
    columns, unit = found.columns, mended.unit_wh
    return Plan(
        power_w=(columns.discharge - columns.charge) * unit,
        charge_w=columns.charge * unit,
        discharge_w=columns.discharge * unit,
        reg_up_w=columns.capacity["reg_up"] * unit,
        reg_down_w=columns.capacity["reg_down"] * unit,
        reserve_w=columns.capacity["reserve"] * unit,
        stored_wh=columns.stored * unit,
        value_per_mwh=-found.solved.duals[: len(mended.hours)],
        money=money_of(columns, mended),
        slacks=slacks_of(columns, mended),
        faults=mended.faults,
        solve_ms=seconds * 1e3,
        rounds=found.rounds,
        how="fresh" if fresh else "warm",
    )
