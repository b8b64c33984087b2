"""How good a forecast was: by its errors, by its quantiles, and by the money it makes."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.market import Floats


def pinball(actual: Floats, quantile: Floats, chance: float) -> float:
    """Mean pinball loss of a quantile forecast; the smaller the better, 0 = exact."""
    error = actual - quantile
    return float(np.nanmean(np.maximum(chance * error, (chance - 1) * error)))


def mean_absolute_error(actual: Floats, forecast: Floats) -> float:
    """Mean of |actual - forecast|, in their unit."""
    return float(np.nanmean(np.abs(actual - forecast)))


def coverage(actual: Floats, low: Floats, high: Floats) -> float:
    """Share of the actual values that lie between two quantiles."""
    return float(np.mean((actual >= low) & (actual <= high)))


@dataclass(slots=True)
class Accuracy:
    """Kept up live: errors that fade, a day of ``day_slots`` forecasts counting most."""

    day_slots: int
    error: float = 0.0
    """Mean absolute error, in the forecast's unit."""
    naive_error: float = 0.0
    """As above, had one forecast the value of a day before."""
    inside: float = 0.0
    """Share between the 10 % and the 90 % quantile; 0.8 is right."""
    count: int = 0

    def add(self, actual: float, mean: float, low: float, high: float, naive: float) -> None:
        """A value came to be known that was forecast."""
        self.count += 1
        weight = max(1 / self.count, 1 / self.day_slots)
        self.error += weight * (abs(actual - mean) - self.error)
        self.naive_error += weight * (abs(actual - naive) - self.naive_error)
        self.inside += weight * (float(low <= actual <= high) - self.inside)
