"""A total shared out among devices: least cost within all bounds, exact to rounding.

One multiplier, the price, makes the optimum: each device gives what it would at that price, and
the price is the one at which the sum is right (ADR 9). Powers are battery powers, + = discharge.
"""

from dataclasses import dataclass, replace

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.control.ramps import BLOCK, NOWHERE, Ramps
from vpp_streams.domain.control.sharing import Allocation, Groups, share_out

NO_WEIGHT = 1e-9
"""Weights below this, Wh, count as 0: the smallest floats would give infinite prices."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Devices and what their power costs; float64 arrays of shape (n,) unless said otherwise.

    The cost of power p is ``p²/(2 weight) + wear |p| + stick/2 (p - held_w)²``, with
    ``weight_up`` where p > 0 and ``weight_down`` where p < 0. With energies as weights the price
    is in 1/h: all devices that are at no bound use up their energy in the same time.
    """

    least_w: Floats
    most_w: Floats
    """Upper bound; where bounds cross, this one holds."""
    weight_up: Floats
    """Wh above the reserve, finite; 0 = no discharge beyond what the bounds force."""
    weight_down: Floats
    """Wh below full, finite; 0 = no charge beyond what the bounds force."""
    wear: Floats
    """Cost of |p| in units of the price, >= 0: below this price a device rests."""
    stick: Floats
    """Cost of moving away from ``held_w``, 1/Wh, >= 0; 0 = no matter."""
    held_w: Floats
    """The newest setpoint; ignored where ``stick`` is 0."""
    min_w: Floats
    """The least |p| that is not 0; 0 = any."""
    group: Ints
    """Index of its group (feeder)."""
    group_least_w: Floats
    """Limit of each group's sum, shape (groups,); -inf = none. Device bounds take precedence."""
    group_most_w: Floats
    """Limit of each group's sum, shape (groups,); inf = none."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Each device's power as a function of the price: rest, a ramp above and a ramp below."""

    least_w: Floats
    """Effective bounds, shape (n,), which include those of zero weights."""
    most_w: Floats
    ramps: Ramps
    """Shape (2 n,): the devices' charge, then their discharge."""

    def of_ramps(self, group: Ints) -> Ints:
        """The groups of the ramps from those of the devices."""
        return np.concatenate((group, group))

    def at(self, price: float | Floats) -> Floats:
        """Power at a price (one, or one per device), shape (n,)."""
        n = len(self.least_w)
        power_w = np.empty(n)
        for at in range(0, n, BLOCK):
            rows = slice(at, min(at + BLOCK, n))
            here = price if isinstance(price, float) else price[rows]
            down = self.ramps[rows]
            # Counted from above, so that a device that does not charge gives exactly 0.
            fallen = np.minimum(np.maximum(down.first, here), down.last)
            fallen -= down.last
            fallen *= down.slope
            fallen += self.ramps[slice(rows.start + n, rows.stop + n)].risen_w(here)
            fallen += _rest_w(self.least_w[rows], self.most_w[rows])
            np.maximum(fallen, self.least_w[rows], out=fallen)
            np.minimum(fallen, self.most_w[rows], out=power_w[rows])
        return power_w


def curves(problem: Problem) -> Curves:
    """Each device's power as a function of the price, without ``min_w`` and groups.

    Raises ValueError where a power, weight or cost that matters is not finite.
    """
    n = len(problem.least_w)
    least, most = np.empty((2, n))
    found = Curves(least, most, Ramps(*np.empty((3, 2 * n))))
    span = NOWHERE
    with np.errstate(all="ignore"):  # an error is raised below
        for at in range(0, n, BLOCK):
            down = slice(at, min(at + BLOCK, n))
            _fill(found, problem, down)
            for rows in (down, slice(down.start + n, down.stop + n)):  # while they are in the cache
                span = span.with_ramps(found.ramps[rows])
    if n and not span.is_finite:
        raise ValueError("a bound, weight or cost of an allocation is not finite")
    return replace(found, ramps=replace(found.ramps, whole=span))


def _fill(found: Curves, problem: Problem, down: slice) -> None:
    """Write the curves of a block of devices into those of all."""
    n, ramps = len(found.least_w), found.ramps
    slope, first, last = ramps.slope, ramps.first, ramps.last
    up = slice(down.start + n, down.stop + n)
    high = problem.most_w[down]
    low = np.minimum(problem.least_w[down], high)
    calm = _rest_w(low, high)
    rests = not calm.any()  # no bound forces a power
    stick, wear = problem.stick[down], problem.wear[down]
    pull = np.where(stick != 0.0, problem.held_w[down], 0.0)
    pull *= stick
    for side, weight, starts, end, effective, inner, outer in (
        (down, problem.weight_down, -wear - pull, low, found.least_w, last, first),
        (up, problem.weight_up, wear - pull, high, found.most_w, first, last),
    ):
        gives = weight[down] > NO_WEIGHT
        if gives.all():  # as in most blocks
            flat = np.divide(1.0, weight[down])
            flat += stick
            np.divide(1.0, flat, out=slope[side])
            effective[down] = end
        else:
            flat = np.divide(1.0, np.where(gives, weight[down], 1.0))
            flat += stick
            np.divide(gives, flat, out=slope[side])
            effective[down] = np.where(gives, end, calm)
        np.multiply(effective[down], flat, out=outer[side])
        outer[side] += starts
        if rests:
            inner[side] = starts
        else:
            np.multiply(calm, flat, out=inner[side])
            inner[side] += starts


def _rest_w(least_w: Floats, most_w: Floats) -> Floats:
    """Power of devices at rest, W: 0, or the bound nearest to it."""
    rest = np.maximum(least_w, 0.0)
    return np.minimum(rest, most_w, out=rest)


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
