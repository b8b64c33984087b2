"""Day-ahead forecast by gradient-boosted trees (LightGBM), averaged with `day_ahead`; optional.

``pip install vpp-streams[boosted]``. Trees see what is not linear; the mean of the two is better
than either. The trees are fitted anew every `REFIT_DAYS`.
"""

import lightgbm
import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import LEAST_DAYS, Days, profile

REFIT_DAYS = 14
_TREES = 200
_SETTINGS = {
    "objective": "huber",
    "alpha": 20,
    "learning_rate": 0.04,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 1,
}


class Boosted:
    """A forecaster that keeps its trees between days."""

    def __init__(self) -> None:
        self._trees: lightgbm.Booster | None = None
        self._fitted_on = -REFIT_DAYS

    def __call__(self, days: Days) -> Floats:
        """The day after the last of ``days``, by slot."""
        count = len(days.values)
        whole = np.isfinite(days.values).all()
        if count < LEAST_DAYS or not whole:
            return day_ahead(days)
        if self._trees is None or not 0 <= count - self._fitted_on < REFIT_DAYS:
            rows = [_features(days, day) for day in range(8, count)]
            target = [days.values[day] - _week(days, day) for day in range(8, count)]
            data = lightgbm.Dataset(np.vstack(rows), np.concatenate(target))
            self._trees, self._fitted_on = lightgbm.train(_SETTINGS, data, _TREES), count
        by_trees = _week(days, count) + np.asarray(self._trees.predict(_features(days, count)))
        mean: Floats = (by_trees + day_ahead(days)) / 2
        return mean


def _week(days: Days, day: int) -> Floats:
    return profile(days.known(day))


def _features(days: Days, day: int) -> Floats:
    """A row for each slot of a day, made of the days before it."""
    known, slots = days.values[:day], days.slots
    one, two, week = known[-1], known[-2], known[-7]
    usual, month = _week(days, day), profile(days.known(day), back=28)
    shape = [one.mean(), one.max(), one.min(), one[-1], two.mean(), week.mean()]
    kinds = [float(days.kind[day]), float(days.kind[day - 1])]
    by_slot = np.column_stack(
        [
            *(one, two, week, usual, month, np.arange(slots), np.roll(one, 1), np.roll(one, -1)),
            *(usual - usual.mean(), one - one.mean()),
        ]
    )
    series = [_known(each, day) for each in days.known_before.values()]
    return np.hstack([by_slot, np.tile(kinds + shape, (slots, 1)), *series])


def _known(series: Floats, day: int) -> Floats:
    """What is known of a day before its gate, beside the day before and the week before.

    NaN stays: trees have a branch for what is not known.
    """
    today, week = series[day], series[day - 7]
    return np.column_stack([today, today - series[day - 1], today - week,
                            np.full_like(today, today.mean())])  # fmt: skip
