"""Own load and solar power ahead, learnt from the home's own measurements as they arrive."""

import numpy as np
from numpy.typing import NDArray

from edge.optimizer.home import Floats
from edge.optimizer.plan import Outlook

DAYS = 28
"""Days that are remembered; older ones are overwritten."""
_BINS = 3
"""Equally likely bins of load, and of solar power; an outlook has their combinations."""
_LOAD_FADE, _SOLAR_FADE = 0.95, 0.85
"""What a day counts of the day after it."""
_OTHER_KIND = 0.4
"""What a working day counts for a weekend, and the other way round."""
_LOAD_HALF_H, _SOLAR_HALF_H = 1.5, 6.0
"""Hours after which half of the last hours' deviation from the usual is left."""
_LAST_H = 3.0
"""Hours that the present deviation is measured over."""
_DAYLIGHT = 0.1
"""Share of the mean solar power ahead from which the sun's present deviation says something."""


_LOAD_STAYS_H, _SOLAR_STAYS_H = 4.0, 12.0
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
        load, solar = self._powers(first, steps)
        net = (load[:, None, :] - solar[None, :, :]).reshape(_BINS**2, steps)
        hours = 24.0 / self._per_day
        follows = np.kron(_stay(hours / _LOAD_STAYS_H), _stay(hours / _SOLAR_STAYS_H))
        return Outlook(net, np.full(_BINS**2, 1.0 / _BINS**2), follows)

    def expected(self, first: int, steps: int) -> tuple[Floats, Floats]:
        """Mean load and mean solar power of these steps, W, each of shape (steps,)."""
        load, solar = self._powers(first, steps)
        return load.mean(axis=0), solar.mean(axis=0)

    def _powers(self, first: int, steps: int) -> tuple[Floats, Floats]:
        """Equally likely bins of load and of solar power, each of shape (bins, steps)."""
        lately_steps = max(round(_LAST_H * self._per_day / 24.0), 1)
        at = np.arange(first - lately_steps, first + steps)
        load = self._bins(self._load_w, at, first, fade=_LOAD_FADE, other_kind=_OTHER_KIND)
        solar = self._bins(self._solar_w, at, first, fade=_SOLAR_FADE, other_kind=1.0)
        ahead_h = (np.arange(steps) + 0.5) * 24.0 / self._per_day
        before, after = slice(None, lately_steps), slice(lately_steps, None)
        now, usual = self._lately(self._load_w, at[before], load[:, before].mean(axis=0))
        load = np.maximum(load[:, after] + (now - usual) * 0.5 ** (ahead_h / _LOAD_HALF_H), 0.0)
        now, usual = self._lately(self._solar_w, at[before], solar[:, before].mean(axis=0))
        solar = solar[:, after]
        if usual > _DAYLIGHT * solar.mean():
            ratio = np.clip(now / usual, 0.0, 2.0)
            solar = solar * (1.0 + (ratio - 1.0) * 0.5 ** (ahead_h / _SOLAR_HALF_H))
        return load, solar

    def _lately(self, known_w: Floats, at: NDArray[np.int64], usual_w: Floats) -> tuple[float, float]:
        """Mean of the measured steps of these, and of what is usual in the same steps."""
        day, slot = np.divmod(at, self._per_day)
        values = np.where(self._day[day % DAYS] == day, known_w[day % DAYS, slot], np.nan)
        there = np.isfinite(values)
        if not there.any():
            return 0.0, 0.0
        return float(values[there].mean()), float(usual_w[there].mean())

    def _bins(
        self, known_w: Floats, at: NDArray[np.int64], first: int, *, fade: float, other_kind: float
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


def _stay(part: float) -> Floats:
    """Chance of each bin after each, when this part of the mean time in a bin has passed."""
    stays = float(np.exp(-part))
    return stays * np.eye(_BINS) + np.full((_BINS, _BINS), (1.0 - stays) / _BINS)


def _binned(known_w: Floats, by_day: Floats) -> Floats:
    """Means of equally likely bins by slot: of the days' values there and, less, in its neighbours."""
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
