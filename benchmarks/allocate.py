"""The time to allocate a total to a fleet.

    python -m benchmarks.allocate

Milliseconds of CPU for one allocation, a new total each time, and for one supply curve; how many
times as long the same takes without compiled loops; and how many times as long a quadratic solver
(Clarabel, its own time without the modelling around it), all in the same run, and how far the
solver's setpoints are from ours.
"""

import gc
from collections.abc import Iterator, Sequence
from functools import partial

import cvxpy as cp
import numpy as np

from benchmarks.report import Table, cpu_s, parser, publish
from vpp_streams.domain import kernels
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.curves import Problem
from vpp_streams.domain.control.sharing import Allocation
from vpp_streams.domain.control.supply import supply_curve

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SOLVED = 10_000
"""Largest size for the solver, which takes minutes for more."""


def allocate_next(one: Problem, totals: Iterator[float]) -> Allocation:
    """Allocate the next total."""
    return allocate(one, next(totals))


def without_compiled_loops(one: Problem, totals: np.ndarray) -> float:
    """CPU seconds of an allocation by numpy alone, of the same totals."""
    used, kernels.COMPILED = kernels.COMPILED, None
    try:
        return cpu_s(partial(allocate_next, one, iter(totals)), len(totals))
    finally:
        kernels.COMPILED = used


def homes(n: int, rng: np.random.Generator) -> Problem:
    """Home batteries at any state of charge, half of them with a setpoint; W and Wh."""
    above, rating = rng.uniform(0.0, 13_500.0, n), rng.choice([5_000.0, 11_500.0], n)
    below = 13_500.0 - above
    return Problem(
        least_w=-np.minimum(rating, 4.0 * below),
        most_w=np.minimum(rating, 4.0 * above),
        weight_up=above,
        weight_down=below,
        wear=rng.uniform(0.0, 0.02, n),
        stick=np.where(rng.random(n) < 0.5, 0.02 / 13_500.0, 0.0),
        held_w=rng.uniform(-2_000.0, 2_000.0, n),
        min_w=np.zeros(n),
        group=np.zeros(n, np.int64),
        group_least_w=np.array([-np.inf]),
        group_most_w=np.array([np.inf]),
    )


def solver_s(one: Problem, total_w: float) -> tuple[float, np.ndarray]:
    """Clarabel's own seconds, and its setpoints; solved in kW, which suits its tolerances."""
    up, down = (
        cp.Variable(len(one.least_w), nonneg=True),
        cp.Variable(len(one.least_w), nonneg=True),
    )
    p = up - down
    cost = (
        cp.sum(cp.multiply(500.0 / one.weight_up, up**2))
        + cp.sum(cp.multiply(500.0 / one.weight_down, down**2))
        + one.wear @ (up + down)
        + cp.sum(cp.multiply(500.0 * one.stick, (p - one.held_w / 1e3) ** 2))
    )
    rules = [p >= one.least_w / 1e3, p <= one.most_w / 1e3, cp.sum(p) == total_w / 1e3]
    problem = cp.Problem(cp.Minimize(cost), rules)
    problem.solve(cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return problem.solver_stats.solve_time, p.value * 1e3


def table_of(sizes: list[int], repeat: int) -> Table:
    """Measure each size."""
    rng = np.random.default_rng(1)
    gc.freeze()
    table = Table(
        "A total shared out",
        ("devices", "solver x", "numpy x", "allocate ms", "curve ms", "apart W"),
    )
    for n in sizes:
        one = homes(n, rng)
        drawn = rng.uniform(-0.9, 0.9, repeat + 1) * one.most_w.sum()
        totals = iter(drawn)
        first_w = next(totals)
        found = allocate(one, first_w)
        ours_s = cpu_s(partial(allocate_next, one, totals), repeat)
        numpy_s = without_compiled_loops(one, drawn[1:])
        curve_s = cpu_s(partial(supply_curve, one), min(repeat, 3))
        ratio = apart_w = None
        if n <= SOLVED:
            theirs_s, setpoint_w = solver_s(one, first_w)
            ratio = theirs_s / ours_s
            apart_w = float(np.abs(setpoint_w - found.setpoint_w).max())
        table.add(f"{n:,}", ratio, numpy_s / ours_s, ours_s * 1e3, curve_s * 1e3, apart_w)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=15)
    options.add_argument("--devices", type=int, nargs="+", default=list(SIZES))
    args = options.parse_args(argv)
    publish(args, [table_of(args.devices, args.repeat)])


if __name__ == "__main__":
    main()
