"""`normalize.checked` for columns: the rules that hold for nearly all measured values.

Where another would apply (an impossible value, a power that cannot be negative), the row is not
usual, and is left to `checked`.
"""

from typing import NamedTuple

import numpy as np

from edge.vendor_fields.document import EARLIEST_MS
from schemas.telemetry import Quality
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.telemetry.normalize.balance import (
    POWERS,
    balance_error_w,
    balance_tolerance_column_w,
)
from vpp_streams.domain.telemetry.normalize.checked import MAX_AHEAD_MS, PLAIN_RANGE
from vpp_streams.domain.telemetry.plain_rows import PlainColumns

_SECONDARY = ("frequency_hz", "voltage_v", "temperature_c")


class Measured(NamedTuple):
    """What documents of one form say; arrays of shape (n,)."""

    values: dict[str, Floats]
    """Fields of `PLAIN_RANGE` in their units, NaN = not measured; those left out are not."""
    time_ms: Ints
    """The document's own time; -1 = it has none."""
    estimated: Mask
    usual: Mask
    """False: the values mean nothing, as the document's rules for exceptions apply."""
    islanded: Ints | None = None
    """1 = off the grid, 0 = not, -1 = not known; None = not known of any."""


def checked_columns(
    measured: Measured, obtained_ms: Ints, received_at_ms: Ints
) -> tuple[PlainColumns, Mask]:
    """Columns of the readings, and which of them are usual.

    ``obtained_ms``: when the device obtained the document, -1 = not known.
    """
    n = len(received_at_ms)
    nothing = np.full(n, np.nan)
    values = {name: measured.values.get(name, nothing) for name in PLAIN_RANGE}
    time_ms = np.where(measured.time_ms >= 0, measured.time_ms, obtained_ms)
    estimated = measured.estimated | (time_ms < 0)
    time_ms = np.where(time_ms >= 0, time_ms, received_at_ms)
    usual = measured.usual & (time_ms >= EARLIEST_MS)
    usual &= time_ms - received_at_ms <= MAX_AHEAD_MS
    battery_w, grid_w, solar_w, load_w = (values[name] for name in POWERS)
    is_missing = np.isnan(load_w)
    if is_missing.any():
        sum_w = grid_w + battery_w + solar_w
        estimated = estimated | (is_missing & ~np.isnan(sum_w))
        values["load_w"] = np.where(is_missing, sum_w, load_w)
    some = ~np.isnan(values["soc"])
    for name in POWERS:
        some |= ~np.isnan(values[name])
    usual &= some
    for name in (*POWERS, "soc"):
        low, high = PLAIN_RANGE[name]
        usual &= ~((values[name] < low) | (values[name] > high))
    for name in _SECONDARY:
        low, high = PLAIN_RANGE[name]
        kept = (values[name] >= low) & (values[name] <= high)
        values[name] = np.where(kept, values[name], np.nan)
    powers = [values[name] for name in POWERS]
    error_w = balance_error_w(*powers)  # type: ignore[arg-type]  # of columns as of one
    bad = np.abs(error_w) > balance_tolerance_column_w(*powers)
    quality = np.where(bad, Quality.BAD, np.where(estimated, Quality.ESTIMATED, Quality.OK))
    columns: PlainColumns = {
        **values,
        "measured_at_ms": time_ms,
        "quality": quality.astype(np.int8),
        "balance_error_w": error_w,
        "islanded": np.full(n, -1, np.int8)
        if measured.islanded is None
        else measured.islanded.astype(np.int8),
    }
    return columns, usual
