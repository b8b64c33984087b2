"""Who gives how much of a total: least cost within everybody's bounds, exact to rounding.

One multiplier, the price, makes the optimum: each device gives what it would at that price, and
the price is the one at which the sum is right (ADR 9). Powers are battery powers, + = discharge.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from vpp_streams.domain.ramps import (
    BLOCK,
    Floats,
    Ints,
    Ramps,
    group_prices,
    price_of,
    rows_by_group,
    with_sum,
)
from vpp_streams.domain.rollup import Mask

EXACT = 1e-9
"""Relative: what is missing by less is rounding."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Devices and what their power costs; float64 arrays of shape (n,) unless said otherwise.

    The cost of power p is ``p²/(2 weight) + wear |p| + stick/2 (p - held_w)²``, with
    ``weight_up`` where p > 0 and ``weight_down`` where p < 0. With energies as weights the price
    is in 1/h: all devices that are at no bound use up their energy in the same time.
    """

    least_w: Floats
    most_w: Floats
    """Where bounds cross, this one holds."""
    weight_up: Floats
    """Wh above the reserve, finite; 0 = no discharge beyond what the bounds force."""
    weight_down: Floats
    """Wh below full, finite; 0 = no charge beyond what the bounds force."""
    wear: Floats
    """Cost of |p| in units of the price, >= 0: below this price a device rests."""
    stick: Floats
    """Cost of moving away from ``held_w``, 1/Wh, >= 0; 0 = no matter."""
    held_w: Floats
    """The newest setpoint; not looked at where ``stick`` is 0."""
    min_w: Floats
    """The least |p| that is not 0; 0 = any."""
    group: Ints
    """Index of its group (feeder)."""
    group_least_w: Floats
    """Of each group's sum, shape (groups,); -inf = none. Bounds of devices go before groups'."""
    group_most_w: Floats
    """Of each group's sum, shape (groups,); inf = none."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who gives what."""

    setpoint_w: Floats
    """Shape (n,)."""
    price: float
    """The multiplier; infinite, with the sign of ``missing_w``, where no price brings it all."""
    missing_w: float
    """Asked less given; 0 where all is given."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Each device's power as a function of the price: rest, a ramp above and a ramp below."""

    least_w: Floats
    """Effective bounds, shape (n,): with those of zero weights."""
    most_w: Floats
    rest_w: Floats
    """What it gives where nothing is worth while: 0, or the bound next to it."""
    ramps: Ramps
    """Shape (2 n,): the devices' charge, then their discharge."""

    def of_ramps(self, group: Ints) -> Ints:
        """The groups of the ramps from those of the devices."""
        return np.concatenate((group, group))

    def at(self, price: float | Floats) -> Floats:
        """Power at a price (one, or one per device), shape (n,)."""
        power_w = np.empty_like(self.rest_w)
        n = len(power_w)
        for at in range(0, n, BLOCK):
            rows = slice(at, min(at + BLOCK, n))
            here = price if isinstance(price, float) else price[rows]
            down = self.ramps[rows]
            # Counted from above, so that what does not charge gives exactly nothing.
            fallen = np.minimum(np.maximum(down.first, here), down.last)
            fallen -= down.last
            fallen *= down.slope
            fallen += self.ramps[slice(rows.start + n, rows.stop + n)].risen_w(here)
            fallen += self.rest_w[rows]
            np.maximum(fallen, self.least_w[rows], out=fallen)
            np.minimum(fallen, self.most_w[rows], out=power_w[rows])
        return power_w


def curves(problem: Problem) -> Curves:
    """What each device gives at which price. ``min_w`` and groups are not part of it.

    Raises ValueError where a power, weight or cost that matters is not finite.
    """
    n = len(problem.least_w)
    least, most, rest = np.empty(n), np.empty(n), np.empty(n)
    slope, first, last = np.empty(2 * n), np.empty(2 * n), np.empty(2 * n)
    with np.errstate(invalid="ignore", over="ignore"):  # told below
        for at in range(0, n, BLOCK):
            down = slice(at, min(at + BLOCK, n))
            up = slice(down.start + n, down.stop + n)
            high = problem.most_w[down]
            low = np.minimum(problem.least_w[down], high)
            calm = np.minimum(np.maximum(low, 0.0), high)
            stick, wear = problem.stick[down], problem.wear[down]
            pull = np.zeros(len(low))
            np.multiply(stick, problem.held_w[down], where=stick != 0.0, out=pull)
            slope[down], last[down], first[down], least[down] = _ramp(
                problem.weight_down[down], stick, -wear - pull, calm, low
            )
            slope[up], first[up], last[up], most[down] = _ramp(
                problem.weight_up[down], stick, wear - pull, calm, high
            )
            rest[down] = calm
    if not (np.isfinite(slope).all() and np.isfinite(first).all() and np.isfinite(last).all()):
        raise ValueError("a bound, weight or cost of an allocation is not finite")
    return Curves(least, most, rest, Ramps(slope, first, last))


def _ramp(
    weight: Floats, stick: Floats, starts: Floats, calm_w: Floats, end_w: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Slope, the prices at which a side leaves rest and is at its end, and what that end is."""
    slope = weight / (1.0 + stick * weight)
    gives = slope > 0.0
    end_w = np.where(gives, end_w, calm_w)
    steep = np.where(gives, slope, 1.0)
    return slope, starts + calm_w / steep, starts + end_w / steep, end_w


def allocate(problem: Problem, total_w: float) -> Allocation:
    """Share a total out at least cost; what cannot be given is named.

    Bounds of devices always hold. Groups' limits do where their devices' bounds let them, and
    the sum does where both let it. A minimum power is held by a rule, not by an optimum
    (`_switched`), and may leave part of the total missing, less than one device's minimum where
    the others have room.
    """
    found = _solve(problem, total_w)
    small = (found.setpoint_w != 0.0) & (np.abs(found.setpoint_w) < problem.min_w)
    if not small.any():
        return found
    few, many = _switched(problem, found.setpoint_w, small, total_w)
    found = _solve(few, total_w)
    if not found.missing_w:
        return found
    return min(found, _solve(many, total_w), key=lambda one: abs(one.missing_w))


def _solve(problem: Problem, total_w: float) -> Allocation:
    """As `allocate`, without minimum powers."""
    groups = Groups(problem.group, problem.group_least_w, problem.group_most_w)
    return share_out(curves(problem), groups, total_w)


class Givers(Protocol):
    """Whoever gives more at a higher price: devices, or partitions by their curves."""

    @property
    def least_w(self) -> Floats:
        """Shape (n,)."""

    @property
    def most_w(self) -> Floats:
        """Shape (n,)."""

    @property
    def ramps(self) -> Ramps:
        """All of what rises from ``least_w`` to ``most_w``, shape (m,)."""

    def of_ramps(self, group: Ints) -> Ints:
        """The groups of the ramps, (m,), from those of the givers, (n,)."""

    def at(self, price: float | Floats) -> Floats:
        """Power at a price (one, or one per giver), shape (n,)."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Limits of sums."""

    group: Ints
    """Of each giver, shape (n,)."""
    least_w: Floats
    """Shape (groups,); -inf = none."""
    most_w: Floats
    """Shape (groups,); inf = none; where limits cross, this one holds."""

    def within(self, givers: Givers) -> tuple[Floats, Floats, Floats] | None:
        """What the givers can keep of the limits, and each group's lowest sum.

        None where no group is held off what its givers can do.
        """
        if np.isneginf(self.least_w).all() and np.isposinf(self.most_w).all():
            return None
        groups = len(self.least_w)
        lowest: Floats = np.bincount(self.group, givers.least_w, groups)
        highest = np.bincount(self.group, givers.most_w, groups)
        most: Floats = np.clip(self.most_w, lowest, highest)
        least = np.minimum(np.clip(self.least_w, lowest, highest), most)
        if (least == lowest).all() and (most == highest).all():
            return None
        return least, most, lowest


def share_out(givers: Givers, groups: Groups, total_w: float) -> Allocation:
    """Give the total, or what there is of it, at one price within the groups' limits."""
    floor_w, ceiling_w = float(givers.least_w.sum()), float(givers.most_w.sum())
    limits = groups.within(givers)
    if limits is None:
        given_w = min(max(total_w, floor_w), ceiling_w)
        price = price_of(givers.ramps, given_w - floor_w)
        power_w = with_sum(givers.at(price), givers.least_w, givers.most_w, given_w)
    else:
        least_w, most_w, lowest_w = limits
        given_w = min(max(total_w, float(least_w.sum())), float(most_w.sum()))
        price, own, settled_w = group_prices(
            givers.ramps,
            givers.of_ramps(groups.group),
            least_w - lowest_w,
            most_w - lowest_w,
            given_w - floor_w,
        )
        power_w = givers.at(np.where(np.isnan(own), price, own)[groups.group])
        _make_exact(power_w, givers, groups.group, settled_w + lowest_w, given_w)
    missing_w = total_w - given_w
    if abs(missing_w) <= EXACT * abs(total_w):
        return Allocation(power_w, price, 0.0)
    return Allocation(power_w, math.copysign(math.inf, missing_w), missing_w)


def _make_exact(
    power_w: Floats, givers: Givers, group: Ints, sums_w: Floats, total_w: float
) -> None:
    """Take rounding errors out, in place, of the sums of groups (NaN = free) and of all."""
    members = rows_by_group(group, len(sums_w))
    bound = np.isfinite(sums_w)
    parts = [(members[g], float(sums_w[g])) for g in np.flatnonzero(bound).tolist()]
    parts.append((np.flatnonzero(~bound[group]), total_w - float(sums_w[bound].sum())))
    for rows, sum_w in parts:
        least_w, most_w = givers.least_w[rows], givers.most_w[rows]
        power_w[rows] = with_sum(power_w[rows], least_w, most_w, sum_w)


def _switched(
    problem: Problem, power_w: Floats, small: Mask, total_w: float
) -> tuple[Problem, Problem]:
    """The problem with each device either off or held to its minimum, in two ways.

    Devices below their minimum are sorted by how near they came to it. The first way keeps as
    many as the power of all of them feeds, so that the others need not move much. The second,
    for where those dropped are missed, keeps as many as the total and their groups have room for.
    """
    sign = -1.0 if total_w < 0.0 else 1.0
    near, far, p = problem.least_w, problem.most_w, power_w
    group_most_w = problem.group_most_w
    if sign < 0.0:
        near, far, p, group_most_w = -far, -near, -p, -problem.group_least_w
    along = ((p > 0.0) & ~small) | (near > 0.0)
    against = ((p < 0.0) & ~small) | (far < 0.0)
    floor = np.where(along, np.minimum(np.maximum(near, problem.min_w), far), 0.0)
    floor = np.where(against, near, floor)
    ceiling = np.where(along, far, 0.0)
    ceiling = np.where(against, np.maximum(np.minimum(far, -problem.min_w), near), ceiling)

    rows = np.flatnonzero(small & (p > 0.0) & (far >= problem.min_w) & ~along)
    rows = rows[np.argsort(-p[rows] / problem.min_w[rows], kind="stable")]
    room_w = group_most_w - np.bincount(problem.group, floor, len(group_most_w))
    rows = rows[
        _cumsum_by_group(problem.min_w[rows], problem.group[rows]) <= room_w[problem.group[rows]]
    ]
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


def _cumsum_by_group(values: Floats, group: Ints) -> Floats:
    """The running sum within each group, in the order given."""
    order = np.argsort(group, kind="stable")
    run = np.cumsum(values[order])
    starts = np.searchsorted(group[order], group[order])
    sums = np.empty_like(run)
    sums[order] = run - (run - values[order])[starts]
    return sums
