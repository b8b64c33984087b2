"""A histogram whose values are counted many at a time."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


class WeightedHistogram:
    """Counts of values by bucket; the last bucket has no upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        """Sum of the values, each as often as it was counted."""

    def add(self, value: float, times: int) -> None:
        """Count a value a number of times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper bound, with the number of values up to it."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        yield from zip(names, accumulate(self._counts), strict=True)
