"""Load and solar power of a region for the day ahead, from the days that were measured.

A "day" here is the 24 hours up to now, so that a forecast begins at any slot, and the last hour
is among what the regression sees.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.forecast import ForecastAccuracy, Forecaster, QuantityForecast, RegionForecast
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.days import (
    LEAST_DAYS,
    Days,
    error_quantiles,
    naive,
    profile,
)
from vpp_streams.domain.market.forecast.lear import lear
from vpp_streams.domain.market.forecast.scores import coverage, mean_absolute_error
from vpp_streams.domain.moments import DAY_MS

SLOT_S = 900
SLOT_MS = SLOT_S * 1000
SLOTS = DAY_MS // SLOT_MS
"""Slots of a day."""
HISTORY_DAYS = 30
"""Older days are not used."""
LOW, HIGH = 0.1, 0.9
_WINDOWS = (28,)
"""Days that a regression looks back."""
_BACK = 14
"""Past days forecast as at the time, from whose errors the quantiles are estimated."""
_LEAST_BACK = 3
_MOST_FILLED = 0.1
"""Largest share of unmeasured slots of a day whose forecast errors count."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is forecast."""

    name: Literal["load", "solar"]
    spiky: bool
    """Whether rare peaks matter: they do in loads, not in solar power."""


LOAD, SOLAR = Quantity("load", spiky=True), Quantity("solar", spiky=False)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Known values of one quantity of a region; NaN = not known."""

    history_w: Floats
    """Power by slot up to now, oldest first."""
    first_w: Floats
    """Shape (3, `SLOTS`): mean, low and high of the last day's slots, as first forecast."""


def forecast_region(
    region: str, start_ms: int, known_at_ms: int, load: Seen, solar: Seen
) -> RegionForecast | None:
    """The day from ``start_ms`` on, and how good the last one was; None where nothing is known."""
    made = [
        _with_accuracy(forecast_quantity(quantity, seen.history_w), seen)
        for quantity, seen in ((LOAD, load), (SOLAR, solar))
    ]
    if made[0] is None or made[1] is None:
        return None
    return RegionForecast(
        region=region,
        known_at_ms=known_at_ms,
        start_ms=start_ms,
        slot_s=SLOT_S,
        load=made[0],
        solar=made[1],
    )


def forecast_quantity(quantity: Quantity, history_w: Floats) -> QuantityForecast | None:
    """The day from now on; None where nothing is known at all.

    ``history_w`` has a power for each slot up to now, oldest first, NaN = not known.
    """
    history_w = history_w[-HISTORY_DAYS * SLOTS :]
    found = np.flatnonzero(np.isfinite(history_w))
    if not len(found):
        return None
    history_w = history_w[found[0] :]
    past = _Past.of(history_w)
    mean, by = _ahead(quantity, past.days, history_w)
    low, high = _quantiles(quantity, past, history_w, mean)
    most_w = max(float(np.nanmax(history_w)), 0.0)
    # Where the forecasts before were all too high (or too low), so may the mean be.
    columns = (mean, np.minimum(low, mean), np.maximum(high, mean))
    mean_w, low_w, high_w = (
        tuple(np.clip(column, 0.0, most_w).round(1).tolist()) for column in columns
    )
    return QuantityForecast(by=by, mean_w=mean_w, low_w=low_w, high_w=high_w, filled=past.filled)


def accuracy(seen: Seen) -> ForecastAccuracy | None:
    """How well the last day was forecast; None where nothing of it was forecast and measured."""
    history_w = np.concatenate([np.full(2 * SLOTS, np.nan), seen.history_w])
    actual, before = history_w[-SLOTS:], history_w[-2 * SLOTS : -SLOTS]
    known = np.isfinite(actual) & np.isfinite(seen.first_w).all(axis=0)
    if not known.any():
        return None
    actual, before, (mean, low, high) = actual[known], before[known], seen.first_w[:, known]
    compared = np.isfinite(before).any()
    return ForecastAccuracy(
        slots=int(known.sum()),
        error_w=mean_absolute_error(actual, mean),
        naive_error_w=mean_absolute_error(actual, before) if compared else None,
        inside=coverage(actual, low, high),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """History as days."""

    days: Days
    """Gaps are filled from the day before, if it is known."""
    measured: NDArray[np.bool_]
    """Which days were, all but a few slots."""
    filled: int
    """Slots that were filled."""

    @classmethod
    def of(cls, history_w: Floats) -> "_Past":
        """Whole days up to now; the slots before them are left out."""
        count = len(history_w) // SLOTS
        values = history_w[len(history_w) - count * SLOTS :].reshape(count, SLOTS).copy()
        missing = ~np.isfinite(values)
        for day in range(1, count):
            values[day, missing[day]] = values[day - 1, missing[day]]
        # Which days are alike is all that matters, not what they are called.
        kind = np.arange(-count, 1, dtype=np.int64) % 7
        whole = np.isfinite(values).all(axis=1)
        return cls(
            Days(values, kind),
            whole & (missing.mean(axis=1) <= _MOST_FILLED),
            int((missing & np.isfinite(values)).sum()),
        )


def _with_accuracy(made: QuantityForecast | None, seen: Seen) -> QuantityForecast | None:
    return made and msgspec.structs.replace(made, accuracy=accuracy(seen))


def _ahead(quantity: Quantity, days: Days, history_w: Floats) -> tuple[Floats, Forecaster]:
    gaps = np.flatnonzero(~np.isfinite(days.values).all(axis=1))
    if len(days.values) - (gaps[-1] + 1 if len(gaps) else 0) >= LEAST_DAYS:
        # Of a month of days a regression learns weather that does not last, and of weekdays
        # little: it is held back.
        plain = (naive(days) + days.values[-7] + profile(days)) / 3
        return (lear(days, _WINDOWS, quantity.spiky) + plain) / 2, "lear"
    usual = profile(days)
    if np.isfinite(usual).any():
        return np.where(np.isfinite(usual), usual, np.nanmean(usual)), "profile"
    last_w = history_w[np.isfinite(history_w)][-1]
    return np.full(days.slots, float(last_w)), "persistence"


def _quantiles(
    quantity: Quantity, past: _Past, history_w: Floats, mean: Floats
) -> tuple[Floats, Floats]:
    """Low and high: from the errors of forecasts of the days before, else from all values."""
    days = past.days
    back = [day for day in range(1, len(days.values)) if past.measured[day]][-_BACK:]
    if len(back) < _LEAST_BACK:
        low, high = np.nanquantile(history_w, (LOW, HIGH))
        return np.full(days.slots, low), np.full(days.slots, high)
    ends = [len(history_w) - (len(days.values) - day) * SLOTS for day in back]
    before = np.array(
        [
            _ahead(quantity, days.known(day), history_w[:end])[0]
            for day, end in zip(back, ends, strict=True)
        ]
    )
    found = error_quantiles(mean, before, days.values[back], (LOW, HIGH))
    return found[LOW], found[HIGH]
