"""A quick day-ahead forecast by ridge regression on the days before (a LEAR without its lasso).

All slots of a day at once, from yesterday's slots, the means of the last week and month and the
kind of day (Lago et al., Applied Energy 293 (2021) 116983; several windows by Marcjasz, Serafin and
Weron, Energies 11 (2018) 2364). The penalty is chosen by the exact leave-one-out error. No solver,
so a fit takes milliseconds. Forecasts the power of regions, each quarter of an hour, and prices of
which nothing but earlier prices is known; `day_ahead` is for the others.
"""

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.days import LEAST_DAYS, Days, profile
from vpp_streams.domain.market.forecast.scale import Scale

_PENALTIES = np.geomspace(1, 3000, 9)
_WEEK, _MONTH = 7, 28
_MOST = 6.0
"""Beyond so many scales a forecast is not believed."""
_KIND_WEIGHT = 2.0
"""A kind of day is punished less than a price."""


def lear(days: Days, windows: tuple[int, ...], spiky: bool) -> Floats:
    """The day after the last of ``days``, by slot: the mean of fits on several ``windows`` of days.

    Learns from the days since the last gap. ``days.kind`` must have the kind of the day to come,
    one more than values. What is not ``spiky`` (solar power, with as many zeros as not) is learned
    without the asinh.
    """
    gaps = np.flatnonzero(~np.isfinite(days.values.sum(axis=1)))
    first = int(gaps[-1]) + 1 if len(gaps) else 0
    values, kind = days.values[first:], days.kind[first:]
    if len(values) < LEAST_DAYS:
        return profile(days)
    used = {max(len(values) - window, _WEEK + 1) for window in windows}
    forecasts = np.array([_one(values, kind, since, spiky) for since in sorted(used)])
    mean: Floats = forecasts.mean(axis=0)
    return mean


def _one(values: Floats, kind: NDArray[np.int64], since: int, spiky: bool) -> Floats:
    """Fit on the days from ``since`` on, and forecast the day after the last."""
    scale = Scale.of(values[max(since - _WEEK, 0) :], spiky)
    prices = scale.to(values)
    x = _features(prices, kind, since)
    y = prices[since:]
    usual = y.mean(axis=0)
    forecast = x[-1] @ ridge(x[:-1], y - usual) + usual
    return scale.back(np.clip(forecast, -_MOST, _MOST))


def _features(prices: Floats, kind: NDArray[np.int64], since: int) -> Floats:
    """A row for each day from ``since`` to the day after the last, made of days before it."""
    day = np.arange(since, len(prices) + 1)
    before = prices[day - 1]
    sums = np.vstack([np.zeros((1, prices.shape[1])), np.cumsum(prices, axis=0)])
    means = [(sums[day] - sums[np.maximum(day - n, 0)]) / np.minimum(n, day)[:, None]
             for n in (_WEEK, _MONTH)]  # fmt: skip
    shape = np.column_stack(
        [before.mean(axis=1), before.max(axis=1), before.min(axis=1), before.std(axis=1)]
    )
    x = np.hstack([before, *means, shape])
    learned = x[:-1]
    x = (x - learned.mean(axis=0)) / (learned.std(axis=0) + 1e-9)
    kinds = np.eye(7)[kind[day]] * _KIND_WEIGHT
    features: Floats = np.hstack([x, kinds - kinds[:-1].mean(axis=0)])
    return features


def ridge(x: Floats, y: Floats) -> Floats:
    """Coefficients (features, outputs) with the penalty of least leave-one-out error.

    ``x`` (rows, features) and ``y`` (rows, outputs) have mean 0.
    """
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    seen = u.T @ y
    best, least = np.zeros((x.shape[1], y.shape[1])), np.inf
    for penalty in _PENALTIES:
        shrink = s**2 / (s**2 + penalty)
        leverage = (u**2 * shrink).sum(axis=1) + 1 / len(x)
        left_out = (y - u @ (shrink[:, None] * seen)) / (1 - leverage)[:, None]
        error = float((left_out**2).sum())
        if error < least:
            least, best = error, vt.T @ ((s / (s**2 + penalty))[:, None] * seen)
    return best
