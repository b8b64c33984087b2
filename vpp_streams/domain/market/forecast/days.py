"""History as days by slots, and the simplest forecasts made of it.

A forecast of day d uses whole days before d only, and the series that are known of d before its
gate; `Days.known` is what it may see.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats

LEAST_DAYS = 21
"""With fewer days a regression is no use and the profile stands in."""


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Values by day and slot, in order of time. NaN = not known."""

    values: Floats
    """Shape (days, slots)."""
    kind: NDArray[np.int64]
    """Which of the seven weekdays a day is like, Monday = 0 (a holiday: 6). One more than days
    is allowed: that of the day to come."""
    known_before: Mapping[str, Floats] = field(default_factory=dict)
    """Series by name that are known of a day before its gate (forecasts of load, wind or solar
    power). Shape (days + 1, slots): the last row is that of the day to come."""

    @property
    def slots(self) -> int:
        """Slots of a day."""
        return int(self.values.shape[1])

    def known(self, day: int) -> "Days":
        """Only what is known before the gate of a day: the values of the days before it, its own
        kind, and the series that are known before the gate."""
        known_before = {name: series[: day + 1] for name, series in self.known_before.items()}
        return Days(self.values[:day], self.kind[: day + 1], known_before)


def naive(days: Days) -> Floats:
    """As yesterday; NaN where there is none."""
    return days.values[-1] if len(days.values) else np.full(days.slots, np.nan)


def profile(days: Days, back: int = 7) -> Floats:
    """The mean of the last days, slot by slot; the fallback of every other forecaster."""
    lately = days.values[-back:]
    known = np.isfinite(lately)
    count = known.sum(axis=0)
    total = np.where(known, lately, 0.0).sum(axis=0)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def error_quantiles(
    forecast: Floats, before: Floats, actual: Floats, chances: tuple[float, ...]
) -> dict[float, Floats]:
    """Quantiles of a day from the errors of the forecasts before it, slot by slot.

    ``before`` and ``actual`` have a row per day. The errors of both neighbours of a slot count as
    its own: days are few.
    """
    errors = actual - before
    errors = errors[np.isfinite(errors).all(axis=1)]
    if not len(errors):
        return {chance: forecast.copy() for chance in chances}
    near = np.concatenate([np.roll(errors, off, axis=1) for off in (-1, 0, 1)])
    found = np.quantile(near, chances, axis=0)
    return {chance: forecast + row for chance, row in zip(chances, found, strict=True)}
