"""Which values can be true of a home: what cannot is left out, and is never sent or obeyed."""

import math

from edge.driver import Quantity, Reading
from schemas.bodies import Quality

_MOST_W = 1e7
_BOUNDS: dict[Quantity, tuple[float, float]] = {
    "battery_w": (-_MOST_W, _MOST_W),
    "grid_w": (-_MOST_W, _MOST_W),
    "solar_w": (0.0, _MOST_W),
    "load_w": (0.0, _MOST_W),
    "soc": (0.0, 1.0),
    "frequency_hz": (40.0, 70.0),
    "voltage_v": (50.0, 1000.0),
    "temperature_c": (-60.0, 150.0),
    "islanded": (0.0, 1.0),
}
_STANDBY_W = 50.0
"""What panels and meters show below 0 at night, and means 0."""


def reading_of(
    quantity: Quantity, value: float | None, quality: Quality = Quality.OK
) -> Reading | None:
    """A reading, or None for a value that is missing or cannot be true."""
    if value is None or not math.isfinite(value):
        return None
    if quantity in ("solar_w", "load_w") and -_STANDBY_W <= value < 0.0:
        value = 0.0
    least, most = _BOUNDS[quantity]
    return Reading(quantity, value, quality) if least <= value <= most else None
