"""Own load and solar power ahead, learnt from the home's own measurements as they arrive."""

import numpy as np
from numpy.typing import NDArray

from edge.arrays import Floats
from edge.optimizer.plan import Outlook

DAYS = 28
"""Days that are remembered; older ones are overwritten."""
_BINS = 3
"""Equally likely bins of load, and of solar power; an outlook has their combinations."""
_LOAD_FADE, _SOLAR_FADE = 0.9, 0.85
"""What a day counts of the day after it."""
_OTHER_KIND = 0.4
"""What a working day counts for a weekend, and the other way round."""
_LOAD_HALF_H, _SOLAR_HALF_H = 1.5, 6.0
"""Hours after which half of the last hours' deviation from the usual is left."""
_LAST_H = 3.0
"""Hours that the present deviation is measured over."""
_DAYLIGHT = 0.1
"""Share of the mean solar power ahead from which the sun's present deviation says something."""
_LOAD_STAYS_H, _SOLAR_STAYS_H = 5.0, 24.0
"""Mean hours before high or low power is forgotten."""


class Forecaster:
    """The last four weeks of a home by slot of the day. A slot without a measurement is NaN.

    Steps are counted from a local midnight that starts a Monday, so that step // slots per day is
    the day. Memory is bounded; a new home knows its first measurement, and without any expects 0 W.
    """

    def __init__(self, per_day: int) -> None:
        self._per_day = per_day
        self._day = np.full(DAYS, -1)
        self._load_w = np.full((DAYS, per_day), np.nan)
        self._solar_w = np.full((DAYS, per_day), np.nan)

    def observe(self, step: int, load_w: float, solar_w: float) -> None:
        """Learn the mean powers of a complete step, W; NaN where one was not measured."""
        day, slot = divmod(step, self._per_day)
        row = day % DAYS
        if self._day[row] != day:
            self._day[row] = day
            self._load_w[row] = self._solar_w[row] = np.nan
        self._load_w[row, slot], self._solar_w[row, slot] = load_w, solar_w

    def outlook(self, first: int, steps: int) -> Outlook:
        """What the net load may be from step ``first`` on, given what was observed before it."""
        load, solar = self._load(first, steps), self._solar(first, steps)
        net = (load[:, None, :] - solar[None, :, :]).reshape(_BINS**2, steps)
        follows = np.kron(self._follows(_LOAD_STAYS_H), self._follows(_SOLAR_STAYS_H))
        return Outlook(net, np.full(_BINS**2, 1.0 / _BINS**2), follows.astype(np.float64))

    def expected(self, first: int, steps: int) -> tuple[Floats, Floats]:
        """Mean load and mean solar power of these steps, W, each of shape (steps,)."""
        return self._load(first, steps).mean(axis=0), self._solar(first, steps).mean(axis=0)

    def _load(self, first: int, steps: int) -> Floats:
        """Load by bin and step: as usual, and the last hours' difference from it, which fades."""
        at, before = self._around(first, steps)
        load = self._bins(self._load_w, at, fade=_LOAD_FADE, other_kind=_OTHER_KIND, first=first)
        above = _mean(self._measured(self._load_w, at[:before]) - load[:, :before].mean(axis=0))
        return np.maximum(load[:, before:] + above * self._fading(steps, _LOAD_HALF_H), 0.0)

    def _solar(self, first: int, steps: int) -> Floats:
        """Solar power by bin and step: as usual, times the last hours' ratio to it, which fades."""
        at, before = self._around(first, steps)
        solar = self._bins(self._solar_w, at, fade=_SOLAR_FADE, other_kind=1.0, first=first)
        lately, usual = self._measured(self._solar_w, at[:before]), solar[:, :before].mean(axis=0)
        usual_w = _mean(np.where(np.isfinite(lately), usual, np.nan))
        solar = solar[:, before:]
        if usual_w <= _DAYLIGHT * solar.mean():
            return solar
        ratio = min(max(_mean(lately) / usual_w, 0.0), 2.0)
        return solar * (1.0 + (ratio - 1.0) * self._fading(steps, _SOLAR_HALF_H))

    def _around(self, first: int, steps: int) -> tuple[NDArray[np.int64], int]:
        """The last hours' steps and those ahead, and how many are of the last hours."""
        before = max(round(_LAST_H * self._per_day / 24.0), 1)
        return np.arange(first - before, first + steps), before

    def _fading(self, steps: int, half_h: float) -> Floats:
        """What is left of a deviation in the middle of each step, 1..0."""
        ahead_h = (np.arange(steps) + 0.5) * 24.0 / self._per_day
        left: Floats = np.exp2(-ahead_h / half_h)
        return left

    def _measured(self, known_w: Floats, at: NDArray[np.int64]) -> Floats:
        """What was measured in these steps; NaN where nothing was."""
        day, slot = np.divmod(at, self._per_day)
        return np.where(self._day[day % DAYS] == day, known_w[day % DAYS, slot], np.nan)

    def _follows(self, stays_h: float) -> Floats:
        """Chance of each bin (column) a step after each (row)."""
        stays = float(np.exp(-24.0 / self._per_day / stays_h))
        same: Floats = np.eye(_BINS)
        return stays * same + (1.0 - stays) / _BINS

    def _bins(
        self, known_w: Floats, at: NDArray[np.int64], *, fade: float, other_kind: float, first: int
    ) -> Floats:
        """Means of equally likely bins of the past's values at these steps, shape (bins, steps).

        A slot without any value expects the mean of all slots.
        """
        per_day, kind = self._per_day, at // self._per_day % 7 >= 5
        found = np.zeros((_BINS, len(at)))
        for weekend in np.unique(kind):
            like = np.where((self._day % 7 >= 5) == weekend, 1.0, other_kind)
            age = first // per_day - self._day
            by_day = np.where(self._day >= 0, like * fade ** np.maximum(age, 0), 0.0)
            mine = kind == weekend
            found[:, mine] = _binned(known_w, by_day)[:, at[mine] % per_day]
        return found


def _mean(values: Floats) -> float:
    """The mean of what is known; 0 if nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _binned(known_w: Floats, by_day: Floats) -> Floats:
    """Means of equally likely bins by slot, shape (bins, slots).

    They are of the days' values in the slot and, with half the weight, in its neighbours.
    """
    values = np.concatenate([known_w, np.roll(known_w, 1, axis=1), np.roll(known_w, -1, axis=1)])
    weight = np.concatenate([by_day, 0.5 * by_day, 0.5 * by_day])[:, None] * np.isfinite(values)
    values = np.where(np.isfinite(values), values, 0.0)
    total = weight.sum(axis=0)
    anywhere = float((values * weight).sum() / max(total.sum(), 1e-300))
    order = np.argsort(values, axis=0)
    values, weight = np.take_along_axis(values, order, 0), np.take_along_axis(weight, order, 0)
    share = weight / np.where(total > 0, total, 1.0)
    until = np.cumsum(share, axis=0)
    edges = (np.arange(_BINS + 1) / _BINS)[:, None, None]
    inside = np.minimum(until, edges[1:]) - np.maximum(until - share, edges[:-1])
    return np.where(total > 0, (np.maximum(inside, 0.0) * values).sum(axis=1) * _BINS, anywhere)
