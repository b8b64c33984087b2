"""A total shared out among very many devices, in two compiled passes over them.

A sample of the devices says between which two prices the answer is. The first pass adds up all
devices whose curves are straight between these: together they are one ramp. The price is found from
it and the few others; the second pass writes what each device gives. `allocate` does without all
this where there are few devices, limits of groups, or no compiled loops.
"""

import math
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.control.curves import NO_WEIGHT, Problem, curves, effective_bounds
from vpp_streams.domain.control.ramps import Ramps, price_of
from vpp_streams.domain.control.sharing import Allocation, allocated, with_sum

LEAST_DEVICES = 1 << 15
"""With fewer, a pass costs less than what is saved."""
SAMPLED = 32
"""One of so many devices is in the sample,"""
SAMPLE = 1 << 14
"""which has at most this many."""
DEVIATIONS = 4.0
"""Standard deviations of the sample's sum that the two prices are apart from its own price."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass found."""

    rows: Ints
    """Devices whose curves have a kink between the two prices, as many as there was room for."""
    kinked: int
    """How many they are."""
    floor_w: float
    """The sum of all least powers."""
    ceiling_w: float
    first: float
    """The price from which the first device's power rises."""
    last: float
    """The price from which no device's power rises any more."""
    height_w: float
    """Not finite = a bound or a cost is not."""
    risen_w: float
    """Rise of the other devices at the lower price."""
    slope: float
    """Theirs, W per unit of price."""


def share_out_compiled(problem: Problem, total_w: float) -> Allocation | None:
    """Share the total out as `share_out` does; None where that is to be used."""
    kernel, n = kernels.COMPILED, len(problem.least_w)
    if kernel is None or n < LEAST_DEVICES or math.isnan(total_w):
        return None
    if not ((problem.group_least_w == -np.inf).all() and (problem.group_most_w == np.inf).all()):
        return None
    around = _prices_around(problem, total_w)
    if around is None:
        return None
    found = _survey(kernel, problem, *around)
    given_w = min(max(total_w, found.floor_w), found.ceiling_w)
    price = _price(problem, found, around, given_w - found.floor_w)
    if price is None:
        return None
    power_w = np.empty(n)
    kernel.powers_at(*costs(problem), NO_WEIGHT, price, power_w)
    return allocated(_exact(problem, power_w, given_w), price, total_w, given_w)


def costs(problem: Problem) -> tuple[Floats, ...]:
    """The columns that the compiled loops read, as they need them."""
    columns = (
        problem.least_w,
        problem.most_w,
        problem.weight_up,
        problem.weight_down,
        problem.wear,
        problem.stick,
        problem.held_w,
    )
    return tuple(np.ascontiguousarray(column, np.float64) for column in columns)


def _rows_of(problem: Problem, rows: Ints | slice) -> Problem:
    """The same problem, of some of its devices."""
    return replace(
        problem,
        least_w=problem.least_w[rows],
        most_w=problem.most_w[rows],
        weight_up=problem.weight_up[rows],
        weight_down=problem.weight_down[rows],
        wear=problem.wear[rows],
        stick=problem.stick[rows],
        held_w=problem.held_w[rows],
        min_w=problem.min_w[rows],
        group=problem.group[rows],
    )


def _prices_around(problem: Problem, total_w: float) -> tuple[float, float] | None:
    """Two prices, and very likely the answer between them; None where a sample cannot say."""
    n = len(problem.least_w)
    sample = curves(_rows_of(problem, slice(None, None, max(SAMPLED, n // SAMPLE))))
    floor_w, size = float(sample.least_w.sum()), len(sample.least_w)
    given_w = total_w / n * size
    price = price_of(sample.ramps, given_w - floor_w)
    off_w = DEVIATIONS * float(np.std(sample.at(price))) * math.sqrt(size)
    low = price_of(sample.ramps, given_w - off_w - floor_w)
    high = price_of(sample.ramps, given_w + off_w - floor_w)
    return (float(low), float(high)) if low < high else None


def _survey(kernel: ModuleType, problem: Problem, low: float, high: float) -> Survey:
    """Make the first pass."""
    rows = np.empty(len(problem.least_w) // 2, np.int64)
    *sums, kinked = kernel.survey(*costs(problem), NO_WEIGHT, low, high, rows)
    return Survey(rows[:kinked], kinked, *sums)


def _price(
    problem: Problem, found: Survey, around: tuple[float, float], risen_w: float
) -> float | None:
    """The price at which all devices together have risen so far; None where it is not between."""
    if not math.isfinite(found.height_w) or found.kinked > len(found.rows):
        return None
    if risen_w <= 0.0 or risen_w >= found.height_w:
        return found.first if risen_w <= 0.0 else found.last
    few = curves(_rows_of(problem, found.rows)).ramps
    ramps = Ramps(
        np.append(few.slope, found.slope),
        np.append(few.first, around[0]),
        np.append(few.last, around[1]),
    )
    price = float(price_of(ramps, risen_w - found.risen_w))
    return price if around[0] < price < around[1] else None


def _exact(problem: Problem, power_w: Floats, given_w: float) -> Floats:
    """The same powers without the rounding error of their sum."""
    if abs(given_w - float(power_w.sum())) <= 1e-12 * abs(given_w):
        return power_w
    return with_sum(power_w, *effective_bounds(problem), given_w)
