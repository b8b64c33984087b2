"""A total shared out at one price, within bounds and within limits of groups, and exact."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.control.ramps import Ramps, group_prices, price_of, rows_by_group

EXACT = 1e-9
"""Relative tolerance: less than this is rounding, not missing power."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The power of each giver."""

    setpoint_w: Floats
    """Power of each giver, W, shape (n,)."""
    price: float
    """The multiplier; infinite, with the sign of ``missing_w``, where no price gives the total."""
    missing_w: float
    """Total less given power, W; 0 where all is given."""


class Givers(Protocol):
    """Devices, or partitions with their curves, that give more power at a higher price."""

    @property
    def least_w(self) -> Floats:
        """Shape (n,)."""

    @property
    def most_w(self) -> Floats:
        """Shape (n,)."""

    @property
    def ramps(self) -> Ramps:
        """Everything that rises from ``least_w`` to ``most_w``, shape (m,)."""

    def of_ramps(self, group: Ints) -> Ints:
        """The groups of the ramps, (m,), from those of the givers, (n,)."""

    def at(self, price: float | Floats) -> Floats:
        """Power at a price (one, or one per giver), shape (n,)."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Limits of the sums of groups."""

    group: Ints
    """Index of each giver's group, shape (n,)."""
    least_w: Floats
    """Shape (groups,); -inf = none."""
    most_w: Floats
    """Shape (groups,); inf = none; where limits cross, this one holds."""

    def within(self, givers: Givers) -> tuple[Floats, Floats, Floats] | None:
        """The limits as far as the givers can keep them, and each group's lowest sum, W.

        None where no limit restricts what a group's givers can do.
        """
        if (self.least_w == -np.inf).all() and (self.most_w == np.inf).all():
            return None
        groups = len(self.least_w)
        lowest = _sum_by(self.group, givers.least_w, groups)
        highest = _sum_by(self.group, givers.most_w, groups)
        most: Floats = np.clip(self.most_w, lowest, highest)
        least = np.minimum(np.clip(self.least_w, lowest, highest), most)
        if (least == lowest).all() and (most == highest).all():
            return None
        return least, most, lowest


def share_out(givers: Givers, groups: Groups, total_w: float) -> Allocation:
    """Share out the total, or as much as is available, at one price within the groups' limits.

    Raises ValueError where the total is not a number.
    """
    if math.isnan(total_w):
        raise ValueError("the total of an allocation is not a number")
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
    return allocated(power_w, price, total_w, given_w)


def allocated(power_w: Floats, price: float, total_w: float, given_w: float) -> Allocation:
    """What was found, where ``given_w`` of the total can be given."""
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


def with_sum(power_w: Floats, least_w: Floats, most_w: Floats, total_w: float) -> Floats:
    """The same powers, with the rounding error of their sum moved to where bounds leave room.

    Those that give nothing continue to, unless the others have no room.
    """
    short_w = total_w - float(power_w.sum())
    if abs(short_w) <= 1e-12 * abs(total_w):
        return power_w
    room_w = most_w - power_w if short_w > 0.0 else power_w - least_w
    used_w = np.where(power_w != 0.0, room_w, 0.0)
    if used_w.sum() >= abs(short_w):
        room_w = used_w
    space_w = float(room_w.sum())
    if space_w <= 0.0:
        return power_w
    part = min(max(short_w / space_w, -1.0), 1.0)
    return np.clip(power_w + part * room_w, least_w, most_w)


def _sum_by(group: Ints, power_w: Floats, groups: int) -> Floats:
    return np.asarray(np.bincount(group, weights=power_w, minlength=groups), np.float64)
