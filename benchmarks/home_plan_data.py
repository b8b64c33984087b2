"""Recorded homes and tariffs for `benchmarks.home_plan`, read from ../shared/data.

Homes, tariffs and years are combined freely: sun, prices and people are of different places. Each
home's steps start at a local midnight; a step that was not measured is NaN for who learns from it,
and has the powers of the day before for who pays for it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from edge.arrays import Floats
from edge.optimizer.home import Tariff, dynamic

DATA = Path(__file__).parents[2] / "shared" / "data"
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedHome:
    """A home's powers by step from a local midnight."""

    name: str
    step_s: float
    first_weekday: int
    """Monday = 0."""
    load_w: Floats
    """NaN = not measured."""
    solar_w: Floats

    @property
    def per_day(self) -> int:
        """Steps in a day."""
        return round(_DAY_S / self.step_s)

    def filled(self) -> tuple[Floats, Floats]:
        """Load and solar power without gaps: a missing step is as on the day before."""
        return _as_day_before(self.load_w, self.per_day), _as_day_before(self.solar_w, self.per_day)


def _as_day_before(power_w: Floats, per_day: int) -> Floats:
    days = pd.DataFrame(power_w.reshape(-1, per_day))
    return np.asarray(days.ffill().bfill()).reshape(-1)


def emhass_home() -> RecordedHome:
    """The French home of EMHASS, 30 min, in the summer time of its place all the time.

    Solar power is not recorded at night; where the load is, it was 0.
    """
    table = pd.read_csv(DATA / "emhass_home" / "home_30min_2024.csv", parse_dates=["time_utc"])
    table.index = pd.DatetimeIndex(table["time_utc"]) + pd.Timedelta(hours=2)
    table = _complete_days(table, 48)
    load = table["load_w"].to_numpy(float)
    solar = table["pv_w"].to_numpy(float)
    solar = np.where(np.isnan(solar) & np.isfinite(load), 0.0, solar)
    return RecordedHome(
        name="EMHASS, FR",
        step_s=1800.0,
        first_weekday=int(table.index[0].weekday()),
        load_w=load,
        solar_w=solar,
    )


def ausgrid_home() -> RecordedHome:
    """Customer 12 of Ausgrid in Sydney, 30 min, with 1 kW of solar power."""
    file = DATA / "ausgrid_home_30min" / "customer12_2011-07_to_11.csv"
    table = pd.read_csv(file, parse_dates=["time_local"]).set_index("time_local")
    table = _complete_days(table, 48)
    return RecordedHome(
        name="Ausgrid 12, AU",
        step_s=1800.0,
        first_weekday=int(table.index[0].weekday()),
        load_w=table["GC"].to_numpy(float) * 1e3,
        solar_w=table["GG"].to_numpy(float) * 1e3,
    )


_FONTANA_KW = {1: 4.0, 2: 4.0, 3: 4.0, 4: 5.0, 5: 4.0}
"""Installed solar power of the homes, from the data set's schema.json."""


def fontana_home(number: int) -> RecordedHome:
    """A home of CityLearn in Fontana, California, hourly."""
    table = pd.read_csv(DATA / "citylearn_fontana_homes_hourly" / f"Building_{number}.csv")
    rows = _fontana_rows(table)
    return RecordedHome(
        name=f"Fontana {number}, US",
        step_s=3600.0,
        first_weekday=int(table["day_type"].iloc[1]) - 1,
        load_w=table["non_shiftable_load"].to_numpy(float)[rows] * 1e3,
        solar_w=table["solar_generation"].to_numpy(float)[rows] * _FONTANA_KW[number],
    )


def _fontana_rows(table: pd.DataFrame) -> slice:
    """Complete days: the first row is the last hour of a day."""
    return slice(1, 1 + (len(table) - 1) // 24 * 24)


def _complete_days(table: pd.DataFrame, per_day: int) -> pd.DataFrame:
    start = int(np.flatnonzero((table.index.hour == 0) & (table.index.minute == 0))[0])  # type: ignore[attr-defined]  # an index of times
    return table.iloc[start : start + (len(table) - start) // per_day * per_day]


def hours_to_steps(hourly: Floats, steps: int, step_s: float) -> Floats:
    """An hourly series by step, from its start over; cut to ``steps``."""
    return np.repeat(hourly, round(3600.0 / step_s))[:steps]


def fontana_tariff(steps: int, step_s: float) -> Tariff:
    """The time-of-use tariff of the Fontana homes; sales at 0.05 (an assumption)."""
    folder = DATA / "citylearn_fontana_homes_hourly"
    rows = _fontana_rows(pd.read_csv(folder / "Building_1.csv"))
    hourly = pd.read_csv(folder / "pricing.csv")["electricity_pricing"].to_numpy(float)[rows]
    buy = hours_to_steps(hourly, steps, step_s)
    return Tariff(buy, np.full(steps, 0.05), step_s)


def french_tariff(steps: int, step_s: float) -> Tariff:
    """The peak and off-peak prices in the files of EMHASS, with its times, and sales at 0.065."""
    hour = np.arange(steps) * step_s / 3600.0 % 24.0
    off_peak = (hour < 5.0) | (hour >= 23.0) | ((hour >= 17.5) & (hour < 19.5))
    return Tariff(np.where(off_peak, 0.1419, 0.1907), np.full(steps, 0.065), step_s)


FEES_PER_KWH, TAX = 0.10, 0.19
"""Fees and tax on a dynamic tariff's spot price (an assumption)."""


def german_spot(steps: int, step_s: float, first_day: str) -> Tariff:
    """Day-ahead prices of Germany from a day on, 2016-17, with fees and tax; sales at spot."""
    table = pd.read_csv(DATA / "epf_day_ahead_hourly" / "DE.csv", parse_dates=["time"])
    hourly = table.loc[table["time"] >= first_day, "Real price"].to_numpy(float)
    spot = hours_to_steps(hourly, steps, step_s)
    return dynamic(spot, step_s=step_s, fees_per_kwh=FEES_PER_KWH, tax=TAX)


def caiso_spot(steps: int, step_s: float) -> Tariff:
    """Day-ahead prices of California, 2020 from August 1 to its end and on from its start."""
    table = pd.read_csv(DATA / "dervet_caiso_2020" / "timeseries_DA_regup_regdown.csv")
    hourly = table["DA Price ($/kWh)"].to_numpy(float) * 1e3
    august = 24 * 213
    spot = hours_to_steps(np.roll(hourly, -august), steps, step_s)
    return dynamic(spot, step_s=step_s, fees_per_kwh=FEES_PER_KWH, tax=TAX)
