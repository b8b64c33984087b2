"""What each device gives at a price: its bounds and costs as a curve of two ramps.

Powers are battery powers, + = discharge.
"""

from dataclasses import dataclass, replace

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.control.ramps import BLOCK, NOWHERE, Ramps

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
            fallen += rest_w(self.least_w[rows], self.most_w[rows])
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
    calm = rest_w(low, high)
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


def rest_w(least_w: Floats, most_w: Floats) -> Floats:
    """Power of devices at rest, W: 0, or the bound nearest to it."""
    rest = np.maximum(least_w, 0.0)
    return np.minimum(rest, most_w, out=rest)


def effective_bounds(problem: Problem) -> tuple[Floats, Floats]:
    """Least and most of each device, shape (n,), with those of zero weights at rest."""
    low = np.minimum(problem.least_w, problem.most_w)
    calm = rest_w(low, problem.most_w)
    return (
        np.where(problem.weight_down > NO_WEIGHT, low, calm),
        np.where(problem.weight_up > NO_WEIGHT, problem.most_w, calm),
    )
