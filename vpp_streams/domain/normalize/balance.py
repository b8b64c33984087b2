"""The identity that ties a site's powers: load = grid + battery + solar, and its stated error."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

POWERS = ("battery_w", "grid_w", "solar_w", "load_w")
MIN_TOLERANCE_W = 50.0
"""Below this, meters of one site differ by resolution, standby and what no meter sees."""
TOLERANCE_SHARE = 0.05
"""Of the largest power: two to four 1-2 % meters, read up to a second apart."""

Watts = TypeVar("Watts", float, npt.NDArray[np.float64])
"""One power or a column of them, W; NaN = not measured."""


def balance_error_w(battery_w: Watts, grid_w: Watts, solar_w: Watts, load_w: Watts) -> Watts:
    """load - (grid + battery + solar), W; NaN where one of them is not measured."""
    return load_w - (grid_w + battery_w + solar_w)


def balance_tolerance_w(*powers_w: Watts) -> Watts:
    """How far the identity may be off, W: the larger of 50 W and 5 % of the largest power known."""
    largest_w = np.fmax.reduce(np.abs(np.stack(powers_w)))
    return np.fmax(MIN_TOLERANCE_W, TOLERANCE_SHARE * largest_w)  # type: ignore[no-any-return]  # ufuncs are Any
