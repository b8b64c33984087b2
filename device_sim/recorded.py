"""A recorded home (load and solar from a CSV), repeated on its own local time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats

DAY_S = 86_400
_COLUMNS = {"time_utc": ("load_w", "pv_w", 1.0), "time_local": ("GC", "GG", 1000.0)}
"""Time column -> load column, solar column, W per unit. The first time column found decides."""


@dataclass(frozen=True, slots=True)
class RecordedHome:
    """Load and solar power of complete days."""

    at_s: Floats
    """Seconds since the first midnight, rising."""
    load_w: Floats
    solar_w: Floats
    days: int

    def power_w(self, day: NDArray[np.int64], second_of_day: Floats) -> tuple[Floats, Floats]:
        """(load, solar) in W; after the last day the first follows again."""
        at = day % self.days * DAY_S + second_of_day
        return np.interp(at, self.at_s, self.load_w), np.interp(at, self.at_s, self.solar_w)


def read_recorded(path: Path) -> RecordedHome:
    """Read a CSV with columns ``time_utc,load_w,pv_w`` (W) or ``time_local,GC,GG`` (kW).

    Gaps in the load are interpolated; missing solar power counts as night: 0. Raises
    `ValueError` that names the file and the mistake in it.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as CSV ({reason})") from None
    form = next((time for time in _COLUMNS if time in table), None)
    if form is None or not set(_COLUMNS[form][:2]) <= set(table):
        forms = " or ".join(f"{time},{','.join(c[:2])}" for time, c in _COLUMNS.items())
        raise ValueError(f"{path}: needs columns {forms}, has {','.join(map(str, table))}")
    if table.empty or table[form].isna().any():
        raise ValueError(f"{path}: needs rows, each with a {form}")
    load, solar, unit_w = _COLUMNS[form]
    try:
        time = pd.to_datetime(table[form]).dt.tz_localize(None)
        values = table[[load, solar]].astype(float) * unit_w
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    at_s = np.asarray((time - time.min().normalize()).dt.total_seconds(), np.float64)
    load_w = np.asarray(values[load].interpolate().bfill().clip(lower=0), np.float64)
    if np.isnan(load_w).any() or (np.diff(at_s) <= 0).any():
        raise ValueError(f"{path}: needs rows in rising order of time, with some load")
    solar_w = np.asarray(values[solar].fillna(0.0).clip(lower=0), np.float64)
    return RecordedHome(at_s, load_w, solar_w, max(1, int(at_s[-1] // DAY_S)))
