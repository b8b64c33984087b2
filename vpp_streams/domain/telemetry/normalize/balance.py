"""The identity of a site's powers: load = grid + battery + solar, and the error allowed in it."""

from math import isnan

import numpy as np
import numpy.typing as npt

POWERS = ("battery_w", "grid_w", "solar_w", "load_w")
MIN_TOLERANCE_W = 50.0
"""Meters of one site differ by this much through resolution, standby and unmetered loads, W."""
TOLERANCE_SHARE = 0.05
"""Share of the largest power: two to four 1-2 % meters, read up to a second apart."""


def balance_error_w(battery_w: float, grid_w: float, solar_w: float, load_w: float) -> float:
    """load - (grid + battery + solar), W (or columns of W); NaN if one is not measured."""
    return load_w - (grid_w + battery_w + solar_w)


def balance_tolerance_w(*powers_w: float) -> float:
    """Allowed error of the identity, W: the larger of 50 W and 5 % of the largest known power."""
    return max([MIN_TOLERANCE_W, *(TOLERANCE_SHARE * abs(p) for p in powers_w if not isnan(p))])


def balance_tolerance_column_w(*powers_w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`balance_tolerance_w` of columns."""
    largest_w = np.fmax.reduce(np.abs(np.stack(powers_w)))
    return np.fmax(MIN_TOLERANCE_W, TOLERANCE_SHARE * largest_w)  # type: ignore[no-any-return]  # ufuncs are Any
