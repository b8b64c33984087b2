"""Step 4: the planning problem of the day ahead, and a coarser version that solves faster."""

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.connection import NO_LIMITS
from vpp_streams.domain.market.decision.outlook import Outlook
from vpp_streams.domain.market.decision.position import Position
from vpp_streams.domain.market.decision.prices_ahead import PricesAhead
from vpp_streams.domain.market.plan.problem import PlanProblem
from vpp_streams.domain.market.value import W_PER_MW
from vpp_streams.domain.moments import HOUR_MS

COARSE = 6
"""Steps of the plan that become one where time is short."""


def plan_problem(position: Position, outlook: Outlook, ahead: PricesAhead) -> PlanProblem:
    """The problem over the expected prices, with the energy left at its end worth the outlook's."""
    inputs, rules, steps = position.inputs, position.inputs.rules, len(ahead.mean)
    last = (inputs.start_ms - outlook.made_for_ms) // rules.interval_ms + steps - 1
    worth = outlook.table.value[min(last, len(outlook.table.value) - 1)] @ ahead.chances[-1]
    grid = outlook.table.stored_wh
    connection, net_load_w = position.connection, None
    if connection is not None:
        net_load_w = connection.ahead(inputs.start_ms, rules.interval_ms, steps).expected_w
    return PlanProblem(
        hours=np.full(steps, rules.interval_ms / HOUR_MS),
        energy_price=ahead.mean,
        storage=position.storage,
        stored_wh=position.stored_wh,
        rules=rules,
        capacity_price=ahead.capacity.price,
        committed_w=_sold_later_w(position, steps),
        net_load_w=net_load_w,
        limits=connection.limits if connection else NO_LIMITS,
        terminal_wh=grid[1:],
        # On a grid and under a forecast it may rise slightly; the plan needs it falling.
        terminal_per_mwh=np.minimum.accumulate(np.diff(worth) / np.diff(grid) * W_PER_MW),
    )


def _sold_later_w(position: Position, steps: int) -> Floats:
    """Power already sold in each step after the first; NaN = none."""
    inputs = position.inputs
    sold = np.full(steps, np.nan)
    for award in inputs.awards:
        step, beside = divmod(award.start_ms - inputs.start_ms, inputs.rules.interval_ms)
        if not beside and 0 < step < steps:
            sold[step] = award.energy_w
    return sold


def coarser(problem: PlanProblem) -> PlanProblem:
    """The problem with each `COARSE` steps merged into one; the first step stays as it is."""
    n = len(problem.hours)
    starts = np.concatenate([[0], np.arange(1, n, COARSE)])
    hours = np.add.reduceat(problem.hours, starts)

    def merged(values: Floats) -> Floats:
        weighted: Floats = np.add.reduceat(values * problem.hours, starts) / hours
        return weighted

    return PlanProblem(
        hours=hours,
        energy_price=merged(problem.energy_price),
        storage=problem.storage,
        stored_wh=problem.stored_wh,
        rules=problem.rules,
        capacity_price={p: merged(price) for p, price in problem.capacity_price.items()},
        net_load_w=None if problem.net_load_w is None else merged(problem.net_load_w),
        limits=problem.limits,
        terminal_wh=problem.terminal_wh,
        terminal_per_mwh=problem.terminal_per_mwh,
    )
