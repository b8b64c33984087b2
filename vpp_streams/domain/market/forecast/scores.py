"""How good a forecast was, by its errors and by its quantiles; `domain.backtest` has the money."""

import numpy as np

from vpp_streams.domain.arrays import Floats


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
