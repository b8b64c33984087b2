"""Powers that rise with one price, and the price at which they make a given sum.

A device with quadratic costs and bounds gives, at a price, a power that rises in straight lines
between flats. All that allocation needs is the inverse of the sum of many such ramps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints

BLOCK = 8192
"""Ramps processed at once: the result of one step is still in the cache for the next."""
SAMPLE = 1 << 10
"""This many ramps are enough to estimate the price of all of them."""
PRECISION = 1e-13
"""Tolerance, relative to the total rise: the sums themselves are not more exact."""


class Span(NamedTuple):
    """Where ramps begin and end, together."""

    low: float
    """The first price of all."""
    high: float
    """The last."""
    height_w: float
    """The total rise, W."""

    def with_ramps(self, block: "Ramps") -> "Span":
        """This and the span of a block of ramps. What is not finite in a block is not finite here
        either.
        """
        return Span(
            float(np.minimum(self.low, block.first.min())),  # NaN stays, unlike with min
            float(np.maximum(self.high, block.last.max())),
            self.height_w + float(np.dot(block.slope, block.last - block.first)),
        )

    @property
    def is_finite(self) -> bool:
        """Whether all of its ramps are."""
        return all(map(math.isfinite, self))


NOWHERE = Span(math.inf, -math.inf, 0.0)


@dataclass(frozen=True, slots=True)
class Ramps:
    """Rises of power, W, each between two prices; arrays of shape (m,), all finite."""

    slope: Floats
    """W per unit of price, >= 0."""
    first: Floats
    """Price from which power rises."""
    last: Floats
    """Price from which it is flat again, >= ``first``; equal to it = no ramp at all."""
    whole: "Span | None" = None
    """Of all of them, where it is known already."""

    def __getitem__(self, rows: slice | Ints) -> "Ramps":
        return Ramps(self.slope[rows], self.first[rows], self.last[rows])

    def blocks(self) -> Iterator["Ramps"]:
        """The same ramps, in parts that fit the cache."""
        return (self[at : at + BLOCK] for at in range(0, len(self.slope), BLOCK))

    def risen_w(self, price: float | Floats) -> Floats:
        """Power above that of the lowest price, shape (m,); ``price`` is one or of shape (m,)."""
        reached = np.minimum(np.maximum(self.first, price), self.last)
        reached -= self.first
        reached *= self.slope
        return reached

    def span(self) -> "Span":
        """The first and the last price of all, and the total rise; that of none is `NOWHERE`."""
        if self.whole is not None:
            return self.whole
        found = NOWHERE
        for b in self.blocks():
            found = found.with_ramps(b)
        return found

    def sum_at(self, price: float) -> tuple[float, float]:
        """The rise of all ramps at a price, W, and its slope, W per unit of price."""
        risen = slope = 0.0
        for b in self.blocks():
            reached = np.maximum(b.first, price)
            np.minimum(reached, b.last, out=reached)
            rising = reached == price
            reached -= b.first
            risen += float(np.dot(b.slope, reached))
            slope += float(np.dot(b.slope, rising))
        return risen, slope


def price_of(ramps: Ramps, risen_w: float) -> float:
    """The price at which the ramps have risen by ``risen_w`` together, or the nearest end.

    Newton's method within a bracket. Where a step leaves the bracket, the median of the kinks in
    it is next, so a sum of m ramps takes at most log2(2 m) such steps, whatever their slopes.
    """
    if not len(ramps.slope):
        return 0.0
    low, high, height_w = ramps.span()
    if risen_w <= 0.0 or risen_w >= height_w:
        return low if risen_w <= 0.0 else high
    low_w, high_w = 0.0, height_w
    price = _guess(ramps, risen_w / height_w)
    while True:
        if not low < price < high:
            inside = _kinks_between(ramps, low, high)
            if not len(inside):
                return low + (high - low) * (risen_w - low_w) / (high_w - low_w)
            price = float(np.partition(inside, len(inside) // 2)[len(inside) // 2])
        given_w, slope = ramps.sum_at(price)
        short_w = risen_w - given_w
        if abs(short_w) <= PRECISION * height_w:
            return price
        if short_w > 0.0:
            low, low_w = price, given_w
        else:
            high, high_w = price, given_w
        price = price + short_w / slope if slope > 0.0 else high


def group_prices(
    ramps: Ramps, group: Ints, least_w: Floats, most_w: Floats, risen_w: float
) -> tuple[float, Floats, Floats]:
    """The price of all; of groups that their limits hold off it, their own price and rise.

    Both (groups,), NaN where the common price holds.
    ``group`` (m,) is an index into ``least_w`` and ``most_w`` (groups,): limits of the groups'
    rises, within what they can do, and their sums enclose ``risen_w``. A group that is beyond a
    limit at the common price is at that limit in the optimum if moving it there alone does not
    overshoot the sum (Bitran and Hax 1981), so each round settles some groups for good.
    """
    groups = len(least_w)
    own, settled_w = np.full(groups, np.nan), np.full(groups, np.nan)
    members = rows_by_group(group, groups)
    free, free_group, left_w = ramps, group, risen_w
    while True:
        price = price_of(free, left_w)
        given = np.bincount(free_group, free.risen_w(price), groups)
        near = PRECISION * (1.0 + np.abs(given))
        is_free = np.isnan(own)
        over = is_free & (given > most_w + near)
        under = is_free & (given < least_w - near)
        if not (over.any() or under.any()):
            return price, own, settled_w
        excess_w = (given - most_w)[over].sum() - (least_w - given)[under].sum()
        bound, limit_w = (over, most_w) if excess_w >= 0.0 else (under, least_w)
        for g in np.flatnonzero(bound).tolist():
            own[g] = price_of(ramps[members[g]], float(limit_w[g]))
            left_w -= float(limit_w[g])
        settled_w[bound] = limit_w[bound]
        stays = np.flatnonzero(~bound[free_group])
        free, free_group = free[stays], free_group[stays]


def rows_by_group(group: Ints, groups: int) -> list[Ints]:
    """The rows of each group."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, groups)))


def _guess(ramps: Ramps, part: float) -> float:
    """A price near the one at which ``part`` (0..1) of the total rise is reached.

    With few ramps: the mean of where each is that far up, by slope.
    """
    stride = len(ramps.slope) // SAMPLE
    if stride < 2:
        there = ramps.first + part * (ramps.last - ramps.first)
        return float(np.dot(ramps.slope, there) / ramps.slope.sum())
    sample = ramps[::stride]
    return price_of(sample, part * sample.span().height_w)


def _kinks_between(ramps: Ramps, low: float, high: float) -> Floats:
    kinks = np.concatenate((ramps.first, ramps.last))
    return kinks[(kinks > low) & (kinks < high)]
