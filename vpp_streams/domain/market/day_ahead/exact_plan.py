"""The best plan of all, also where prices below 0 reward charging and discharging at once.

The linear programme of `plan.lp` with hard limits of the stored energy, and one binary variable
(1 = the step may charge, 0 = it may discharge) for each step that needs one: solved without any,
then with one for each step that still goes both ways, until none does. Fewer constraints never
lower an optimum, so the last one is the optimum with all of them. A search that takes too long ends
with its best plan, and how much better another one may be.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.lp import Bounds, Matrix, Shape, bounds_of, matrix_of, shape_of
from vpp_streams.domain.market.plan.problem import PlanFailure, PlanProblem
from vpp_streams.domain.market.plan.read import TOLERANCE, PlanColumns, columns_of
from vpp_streams.domain.market.plan.tidy import tidy

GAP = 1e-7
"""Share of the optimum within which the search ends."""
LIMIT_S, LIMIT_GAP = 20.0, 0.05
"""Time for a search, and the share of the optimum that it has to be within by then: hundreds of
steps in a row at prices below 0 can take hours to be proven, and are within 0.005 in seconds."""
OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 1,
    "mip_rel_gap": GAP,
    "time_limit": LIMIT_S,
}


@dataclass(frozen=True, slots=True, eq=False)
class ExactPlan:
    """Columns of the optimum, W and Wh; see `Plan`."""

    power_w: Floats
    discharge_w: Floats
    reg_up_w: Floats
    reg_down_w: Floats
    reserve_w: Floats
    stored_wh: Floats
    gap: float
    """Share by which the optimum may earn more; 0 unless the search took too long."""


def exact_plan(problem: PlanProblem) -> ExactPlan:
    """The optimum of a problem that starts within its limits and has no commitments.

    Raises `ValueError` where the search is not close to the optimum in time, and `RuntimeError`
    where the solver finds no plan, which is a bug: doing nothing is feasible unless more energy is
    wanted at the end than can be stored until then.
    """
    mended = tidy(problem)
    if isinstance(mended, PlanFailure):
        raise RuntimeError(f"no exact plan: {mended.detail}")
    shape = shape_of(mended)
    bounds = _hard(bounds_of(mended, shape), shape, 0.0 if np.isnan(mended.final) else mended.final)
    one_way = np.zeros(shape.steps, bool)
    while True:
        values, gap = _solved(shape, bounds, one_way)
        columns = columns_of(values, bounds, shape)
        both = (np.minimum(columns.charge, columns.discharge) > TOLERANCE) & ~one_way
        if not both.any():
            return _plan(columns, mended.unit_wh, gap)
        one_way |= both
        if gap:  # a search for each round would take minutes
            one_way |= problem.energy_price < 0


def _hard(bounds: Bounds, shape: Shape, final: float) -> Bounds:
    """No stored energy outside of the limits."""
    lower, upper = bounds.lower.copy(), bounds.upper.copy()
    n, end = shape.steps, sum(shape.column_blocks[:-1])
    upper[end - 2 * (n + 1) : end] = 0.0
    lower[end - 2 * (n + 1) - 1] = max(lower[end - 2 * (n + 1) - 1], final)
    return replace(bounds, lower=lower, upper=upper)


def _solved(shape: Shape, bounds: Bounds, one_way: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Values of the programme's columns, of the steps in ``one_way`` only one way.

    Also the share by which the optimum may be better, if the search took longer than `LIMIT_S`.
    """
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in OPTIONS.items():
        highs.setOptionValue(name, value)
    highs.passModel(_programme(matrix_of(shape), bounds, np.flatnonzero(one_way), shape.steps))
    highs.run()
    status = highs.getModelStatus()
    late, gap = status == highspy.HighsModelStatus.kTimeLimit, highs.getInfo().mip_gap
    if late and not gap <= LIMIT_GAP:
        raise ValueError(
            f"perfect foresight was not found in {LIMIT_S:g} s, only within {gap:.1%}: prices are"
            " below 0 for too long; try again while the machine is idle, or with fewer days"
        )
    if not late and status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"no exact plan: {highs.modelStatusToString(status)}")
    return np.array(highs.getSolution().col_value)[: len(bounds.cost)], gap if late else 0.0


def _programme(
    matrix: Matrix, bounds: Bounds, one_way: NDArray[np.intp], steps: int
) -> highspy.HighsLp:
    """Two rows for each binary z: charge <= most charge z; discharge <= most discharge (1 - z)."""
    n, rows = len(one_way), matrix.rows
    columns = len(bounds.cost)
    of = np.repeat(np.arange(columns), np.diff(matrix.start))
    k = np.arange(n)
    charge, discharge = bounds.upper[one_way], bounds.upper[steps + one_way]
    row = np.concatenate([matrix.index, *[rows + k] * 2, *[rows + n + k] * 2])
    column = np.concatenate([of, one_way, columns + k, steps + one_way, columns + k])
    value = np.concatenate([matrix.value, np.ones(n), -charge, np.ones(n), discharge])
    order = np.lexsort((row, column))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns + n, rows + 2 * n
    lp.col_cost_ = np.append(bounds.cost, np.zeros(n))
    lp.col_lower_ = np.append(bounds.lower, np.zeros(n))
    lp.col_upper_ = np.append(bounds.upper, np.ones(n))
    lp.row_lower_ = np.append(bounds.row_lower, np.full(2 * n, -np.inf))
    lp.row_upper_ = np.concatenate([bounds.row_upper, np.zeros(n), discharge])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.searchsorted(column[order], np.arange(columns + n + 1)).astype(
        np.int32
    )
    lp.a_matrix_.index_, lp.a_matrix_.value_ = row[order].astype(np.int32), value[order]
    kinds = highspy.HighsVarType
    lp.integrality_ = [kinds.kContinuous] * columns + [kinds.kInteger] * n
    return lp


def _plan(columns: PlanColumns, unit_wh: float, gap: float) -> ExactPlan:
    return ExactPlan(
        power_w=(columns.discharge - columns.charge) * unit_wh,
        discharge_w=columns.discharge * unit_wh,
        reg_up_w=columns.capacity["reg_up"] * unit_wh,
        reg_down_w=columns.capacity["reg_down"] * unit_wh,
        reserve_w=columns.capacity["reserve"] * unit_wh,
        stored_wh=columns.stored * unit_wh,
        gap=gap,
    )
