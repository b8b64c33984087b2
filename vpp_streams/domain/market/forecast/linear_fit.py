"""Ridge regression for forecasts: one day to forecast, and a penalty for each output."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats

LEAST_DAYS = 14
"""With fewer complete days nothing is fitted."""
PENALTIES = np.geomspace(1, 20_000, 8)
CONSTANT = 1e-9
"""A feature that varies by less than this share of its size is taken as constant."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a regression sees: a column for each day, and last the one that is to be forecast.

    A feature's values lie side by side in memory, which makes a fit twice as fast.
    """

    x: Floats
    """Shape (features, days + 1); NaN = not known. They are standardised for the fit."""
    most: Floats
    """Shape (features,): standardised values beyond plus or minus this are cut to it."""
    kinds: Floats
    """Shape (kinds, days + 1): indicators, used as they are but for their mean."""


def fit_and_forecast(features: Features, y: Floats) -> Floats | None:
    """The outputs of the day to be forecast, shape (outputs,); ``y`` has shape (outputs, days).

    Features that are not known of that day are left out, and then each day that is not complete.
    None where fewer than `LEAST_DAYS` of them are left.
    """
    x, most, kinds = features.x, features.most, features.kinds
    seen = np.isfinite(x[:, -1])
    if not seen.all():
        x, most = x[seen], most[seen]
    days = np.isfinite(x[:, :-1].sum(axis=0)) & np.isfinite(y.sum(axis=0))
    if days.sum() < LEAST_DAYS:
        return None
    if not days.all():
        kept = np.append(days, True)
        x, kinds, y = x[:, kept], kinds[:, kept], y[:, days]
    x = _prepared(x, most, kinds)
    usual = y.mean(axis=1)
    forecast: Floats = x[:, -1] @ ridge_each(x[:, :-1], y - usual[:, None]) + usual
    return forecast


def ridge_each(x: Floats, y: Floats) -> Floats:
    """Coefficients (features, outputs), each output's with its least leave-one-out error.

    ``x`` (features, days) and ``y`` (outputs, days) have mean 0.
    """
    power, directions = np.linalg.eigh(x @ x.T)
    z = directions.T @ x
    shrink = 1 / (np.maximum(power, 0.0)[:, None] + PENALTIES)
    weights = shrink[:, :, None] * (z @ y.T)[:, None, :]
    fitted = (weights.reshape(len(z), -1).T @ z).reshape(len(PENALTIES), *y.shape)
    kept = 1 - 1 / x.shape[1] - shrink.T @ z**2
    left_out = (y - fitted) / kept[:, None, :]
    best = np.einsum("pod,pod->po", left_out, left_out).argmin(axis=0)
    coefficients: Floats = directions @ weights[:, best, np.arange(len(y))]
    return coefficients


def _prepared(x: Floats, most: Floats, kinds: Floats) -> Floats:
    """Standardised features, cut to ``most``, and kinds; the mean without the last day is 0."""
    found = np.vstack([x, kinds])
    scaled = found[: len(x)]
    middle = scaled[:, :-1].mean(axis=1)
    scaled -= middle[:, None]
    learned = scaled[:, :-1]
    spread = np.sqrt(np.einsum("ij,ij->i", learned, learned) / learned.shape[1])
    spread[spread <= CONSTANT * np.abs(middle)] = np.inf
    scaled /= spread[:, None]
    np.clip(scaled, -most[:, None], most[:, None], out=scaled)
    found -= found[:, :-1].mean(axis=1)[:, None]
    return found
