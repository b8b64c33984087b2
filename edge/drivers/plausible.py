"""Which values can be true of a home: what cannot is left out, and is never sent or obeyed."""

import math

from edge.driver import Quantity, Reading, Readings
from edge.vendor_fields.fields import Fields
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


def readings_from(fields: Fields) -> Readings:
    """The readings of a vendor's fields."""
    values = dict(fields.values)
    if fields.islanded is not None:
        values["islanded"] = float(fields.islanded)
    found = [reading_of(name, values.get(name), _quality(fields, name)) for name in _BOUNDS]
    return tuple(reading for reading in found if reading is not None)


def _quality(fields: Fields, name: str) -> Quality:
    return Quality.ESTIMATED if name in fields.estimated else Quality.OK
