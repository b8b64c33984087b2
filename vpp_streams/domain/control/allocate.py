"""A total shared out among devices: least cost within all bounds, exact to rounding.

One multiplier, the price, makes the optimum: each device gives what it would at that price, and
the price is the one at which the sum is right (ADR 9). Powers are battery powers, + = discharge.
"""

from dataclasses import replace

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.control.curves import Problem, curves
from vpp_streams.domain.control.sharing import Allocation, Groups, share_out
from vpp_streams.domain.control.two_passes import share_out_compiled


def allocate(problem: Problem, total_w: float) -> Allocation:
    """Share a total out at least cost; what cannot be given is in ``missing_w``.

    Bounds of devices always hold. Groups' limits do where their devices' bounds let them, and
    the sum does where both let it. Minimum powers are held by a rule, not by an optimum
    (`_switched`): among a handful of devices it may leave up to one minimum missing that another
    choice of devices could have given.
    """
    found = _solve(problem, total_w)
    if not problem.min_w.any():
        return found
    small = (found.setpoint_w != 0.0) & (np.abs(found.setpoint_w) < problem.min_w)
    if not small.any():
        return found
    few, many = _switched(problem, found.setpoint_w, small, total_w)
    found = _solve(few, total_w)
    if not found.missing_w:
        return found
    return min(found, _solve(many, total_w), key=lambda one: abs(one.missing_w))


def _solve(problem: Problem, total_w: float) -> Allocation:
    """Solve as `allocate` does, without minimum powers."""
    found = share_out_compiled(problem, total_w)
    if found is not None:
        return found
    groups = Groups(problem.group, problem.group_least_w, problem.group_most_w)
    return share_out(curves(problem), groups, total_w)


def _switched(
    problem: Problem, power_w: Floats, small: Mask, total_w: float
) -> tuple[Problem, Problem]:
    """The problem with each device either off or held to its minimum, in two ways.

    Devices below their minimum are sorted by how close they are to it. The first way keeps as
    many as the power of all of them feeds, so that the others need not move much. The second,
    for when the dropped ones are missed, keeps as many as the total and their groups have room for.
    """
    sign = -1.0 if total_w < 0.0 else 1.0
    near, far, p = problem.least_w, problem.most_w, power_w
    group_most_w = problem.group_most_w
    if sign < 0.0:
        near, far, p, group_most_w = -far, -near, -p, -problem.group_least_w
    along = ((p > 0.0) & ~small) | (near > 0.0)
    against = ((p < 0.0) & ~small) | (far < 0.0)
    floor, ceiling = _held_to_minimum(near, far, problem.min_w, along, against)
    able = small & (p > 0.0) & (far >= problem.min_w) & ~along
    room_w = group_most_w - np.bincount(problem.group, floor, len(group_most_w))
    rows = _nearest_first(problem, p, able, room_w)
    needed_w = np.cumsum(problem.min_w[rows])
    few = int(np.searchsorted(needed_w, p[small & (p > 0.0)].sum(), side="right"))
    many = int(np.searchsorted(needed_w, abs(total_w) - floor.sum(), side="right"))

    def with_first(count: int) -> Problem:
        low, high = floor.copy(), ceiling.copy()
        on = rows[:count]
        low[on], high[on] = problem.min_w[on], far[on]
        low, high = (low, high) if sign > 0.0 else (-high, -low)
        return replace(problem, least_w=low, most_w=high)

    return with_first(few), with_first(many)


def _nearest_first(problem: Problem, power_w: Floats, able: Mask, room_w: Floats) -> Ints:
    """The rows that can run at their minimum, the nearest to it first, as far as groups have room.

    ``room_w`` is per group.
    """
    rows = np.flatnonzero(able)
    rows = rows[np.argsort(-power_w[rows] / problem.min_w[rows], kind="stable")]
    group = problem.group[rows]
    fitting: Ints = rows[_cumsum_by_group(problem.min_w[rows], group) <= room_w[group]]
    return fitting


def _held_to_minimum(
    near: Floats, far: Floats, min_w: Floats, along: Mask, against: Mask
) -> tuple[Floats, Floats]:
    """Floor and ceiling of each device: at least its minimum along or against, else off."""
    floor = np.where(along, np.minimum(np.maximum(near, min_w), far), 0.0)
    ceiling = np.where(along, far, 0.0)
    return (
        np.where(against, near, floor),
        np.where(against, np.maximum(np.minimum(far, -min_w), near), ceiling),
    )


def _cumsum_by_group(values: Floats, group: Ints) -> Floats:
    """The running sum within each group, in the order given."""
    order = np.argsort(group, kind="stable")
    run = np.cumsum(values[order])
    starts = np.searchsorted(group[order], group[order])
    sums = np.empty_like(run)
    sums[order] = run - (run - values[order])[starts]
    return sums
