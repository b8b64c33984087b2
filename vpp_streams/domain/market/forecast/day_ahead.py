"""Day-ahead price forecast by ridge regression on prices and on series known before the gate.

The mean of two kinds of regression (both LEARs without their lasso, see Lago et al., "Forecasting
day-ahead electricity prices", Applied Energy 293 (2021) 116983): one of all slots at once from
whole days, and one of each slot from what is near to it. Both are fitted again for each day, on
several windows (Marcjasz, Serafin and Weron, "Selection of Calibration Windows for Day-Ahead
Electricity Price Forecasting", Energies 11 (2018) 2364), after the variance-stabilising asinh; the
penalty is chosen by the exact leave-one-out error.

A fifth is a quicker regression on prices alone (`lear`), whose short window follows a market that
changes; where no series is known it stands alone.
"""

from collections.abc import Callable

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.days import Days
from vpp_streams.domain.market.forecast.lear import lear
from vpp_streams.domain.market.forecast.linear_fit import fit_and_forecast
from vpp_streams.domain.market.forecast.price_features import (
    Window,
    day_features,
    slot_features,
)
from vpp_streams.domain.market.forecast.scale import Scale

_LOOKED_BACK = 28
"""Days before a window that its first features look back."""
_MOST = 6.0
"""Beyond so many scales a forecast is not believed."""
_LEAST_SERIES_DAYS = 56
"""A series that is known of fewer days is not used."""

Fit = Callable[[Window, Floats], Floats | None]


def _whole_day(window: Window, y: Floats) -> Floats | None:
    return fit_and_forecast(day_features(window), y.T)


def _each_slot(window: Window, y: Floats) -> Floats | None:
    found = [
        fit_and_forecast(features, y[:, slot][None])
        for slot, features in enumerate(slot_features(window))
    ]
    known = [forecast for forecast in found if forecast is not None]
    return np.concatenate(known) if len(known) == len(found) else None


FITS: tuple[tuple[Fit, tuple[int, ...]], ...] = (
    (_whole_day, (364, 728, 1456)),
    (_each_slot, (182, 364, 728, 1456)),
)
"""The kinds of regression, each with the numbers of days that it looks back."""
PRICE_WINDOWS = (84, 182, 364, 728)
"""Numbers of days that the regression on prices alone looks back."""
PRICES_SHARE = 0.2
"""Weight of the regression on prices alone beside the others."""


def day_ahead(days: Days) -> Floats:
    """The day after the last of ``days``, by slot.

    ``days.kind`` must have the kind of the day to come, one more than values. Days of which
    something is not known are not learned from. A series of which a slot of the day to come is not
    known, or too few days before it, is not used. Without any series `lear` forecasts.
    """
    # Past prices alone tell little that lasts: few features and a short window beside long ones
    # earned as much in DE and more in NP than all features on long windows.
    alone = lear(days, PRICE_WINDOWS, spiky=True)
    useful = [each for each in days.known_before.values() if _is_useful(each)]
    if useful:
        found = [_mean(days, useful, fit, windows) for fit, windows in FITS]
        known = [forecast for forecast in found if forecast is not None]
        if known:
            mixed: Floats = (1 - PRICES_SHARE) * np.mean(known, axis=0) + PRICES_SHARE * alone
            return mixed
    return alone


def _is_useful(series: Floats) -> bool:
    known = np.isfinite(series.sum(axis=1))
    return bool(known[-1]) and int(known[:-1].sum()) >= _LEAST_SERIES_DAYS


def _mean(days: Days, series: list[Floats], fit: Fit, windows: tuple[int, ...]) -> Floats | None:
    """The mean of the forecasts of a fit on several windows; None where none can be made."""
    lengths = {min(length, len(days.values)) for length in windows}
    found = [_of_window(days, series, length, fit) for length in sorted(lengths)]
    known = [forecast for forecast in found if forecast is not None]
    mean: Floats | None = np.mean(known, axis=0) if known else None
    return mean


def _of_window(days: Days, series: list[Floats], length: int, fit: Fit) -> Floats | None:
    """The forecast of a fit on the last ``length`` days."""
    since = max(len(days.values) - length - _LOOKED_BACK, 0)
    first = len(days.values) - length - since
    values = days.values[since:]
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    scale = Scale.of(known, spiky=True)
    prices = np.vstack([scale.to(values), np.full((1, days.slots), np.nan)])
    window = Window(prices, [each[since:] for each in series], days.kind[since:], first)
    scaled = fit(window, prices[first:-1])
    return None if scaled is None else scale.back(np.clip(scaled, -_MOST, _MOST))
