"""How long a total takes to be shared out: ``python benchmarks/allocate.py``.

Prints milliseconds of CPU for one allocation, a new total each time, and for one supply curve;
and how many times as long a quadratic solver (Clarabel, its own time without the modelling
around it) takes in the same run, and how far the two are apart.
"""

import argparse
import gc
import time
from collections.abc import Callable

import cvxpy as cp
import numpy as np

from vpp_streams.domain.allocate import Problem, allocate
from vpp_streams.domain.supply import supply_curve

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SOLVED = 10_000
"""The solver takes minutes for more."""


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


def cpu_s(work: Callable[[float], object], totals: list[float]) -> float:
    """Median CPU seconds of one call."""
    spent = []
    for total_w in totals:
        start = time.process_time()
        work(total_w)
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    rng = np.random.default_rng(1)
    gc.freeze()
    print(f"{'devices':>9} {'allocate ms':>12} {'curve ms':>9} {'solver ratio':>13} {'apart W':>8}")
    for n in SIZES:
        one = homes(n, rng)
        totals = (rng.uniform(-0.9, 0.9, repeat) * one.most_w.sum()).tolist()
        allocate(one, totals[0])
        ours_s = cpu_s(lambda total_w, one=one: allocate(one, total_w), totals)
        curve_s = cpu_s(lambda _, one=one: supply_curve(one), totals[:3])
        against = f"{'':>13} {'':>8}"
        if n <= SOLVED:
            theirs_s, setpoint_w = solver_s(one, totals[0])
            apart_w = np.abs(setpoint_w - allocate(one, totals[0]).setpoint_w).max()
            against = f"{theirs_s / ours_s:>13.0f} {apart_w:>8.3f}"
        print(f"{n:>9,} {ours_s * 1e3:>12.2f} {curve_s * 1e3:>9.1f} {against}")


if __name__ == "__main__":
    main()
