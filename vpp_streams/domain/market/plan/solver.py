"""The programme in HiGHS: passed once, then only its costs and bounds change, and it stays warm."""

from dataclasses import dataclass

import highspy
import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.lp import Bounds, Shape, matrix_of

TIME = "time ran out"
QUIET: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 1,
    "solver": "simplex",
}
WARM: dict[str, bool | int | float | str] = {
    **QUIET,
    "presolve": "off",
    "simplex_strategy": 4,  # primal
    "simplex_scale_strategy": 0,
    "primal_simplex_bound_perturbation_multiplier": 0.0,
    "dual_simplex_cost_perturbation_multiplier": 0.0,
}
"""Measured as quickest where prices and stored energy move (`benchmarks.plan`); the programme is
in units of the storage, so it needs no scaling."""
ITERATIONS_PER_ROW = 20
"""Without perturbation the simplex method could go round in circles: then it is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """An optimum."""

    values: Floats
    """Of the columns."""
    duals: Floats
    """Of the rows: what the cost grows by, per unit of their bounds."""
    cost: float


class Solver:
    """One shape's model. Its time limits count the solver's own seconds."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._warm: highspy.Highs | None = None
        self._spent = 0.0
        self._bounds: Bounds | None = None

    @property
    def spent_s(self) -> float:
        """Seconds of all solves so far."""
        return self._spent + (self._warm.getRunTime() if self._warm else 0.0)

    def run(self, bounds: Bounds, time_limit_s: float) -> Solved | str:
        """The optimum with these numbers, from where the last one left off; or why there is none.

        Where the quick options fail, an object of its own tries with the usual ones.
        """
        until = self.spent_s + time_limit_s
        if self._warm is None:
            self._warm = _highs(WARM)
            limit = ITERATIONS_PER_ROW * sum(self.shape.row_blocks)
            self._warm.setOptionValue("simplex_iteration_limit", limit)
            _pass(self._warm, self.shape, bounds)
        else:
            _change(self._warm, bounds)
        found = _run(self._warm, time_limit_s)
        if isinstance(found, Solved) or self.spent_s >= until or found == TIME:
            return found
        self._spent, self._warm = self.spent_s, None
        rescue = _highs(QUIET)
        _pass(rescue, self.shape, bounds)
        found = _run(rescue, until - self._spent)
        self._spent += rescue.getRunTime()
        return found


def _highs(options: dict[str, bool | int | float | str]) -> highspy.Highs:
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in options.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise ValueError(f"this HiGHS knows no option {name} = {value}")
    return highs


def _pass(highs: highspy.Highs, shape: Shape, bounds: Bounds) -> None:
    matrix, lp = matrix_of(shape), highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(bounds.cost), matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = bounds.cost, bounds.lower, bounds.upper
    lp.row_lower_, lp.row_upper_ = bounds.row_lower, bounds.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.start, matrix.index
    lp.a_matrix_.value_ = matrix.value
    highs.passModel(lp)


def _change(highs: highspy.Highs, bounds: Bounds) -> None:
    columns = np.arange(len(bounds.cost), dtype=np.int32)
    rows = np.arange(len(bounds.row_lower), dtype=np.int32)
    highs.changeColsCost(len(columns), columns, bounds.cost)
    highs.changeColsBounds(len(columns), columns, bounds.lower, bounds.upper)
    # Its type stubs do not have this one.
    highs.changeRowsBounds(  # type: ignore[attr-defined]
        len(rows), rows, bounds.row_lower, bounds.row_upper
    )


def _run(highs: highspy.Highs, time_limit_s: float) -> Solved | str:
    # The limit counts from the object's first run on.
    highs.setOptionValue("time_limit", highs.getRunTime() + time_limit_s)
    highs.run()
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kTimeLimit:
        return TIME
    if status != highspy.HighsModelStatus.kOptimal:
        return f"the solver says {highs.modelStatusToString(status).lower()}"
    solution = highs.getSolution()
    return Solved(
        np.array(solution.col_value), np.array(solution.row_dual), highs.getObjectiveValue()
    )
