"""The sun stands where it stands, panels follow it, clouds are seeded."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pvlib import solarposition

from device_sim import solar

DAY_MS = 86_400_000


def ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def panels(
    azimuth_deg: float = 180.0,
    tilt_deg: float = 25.0,
    latitude: float = 36.7,
    longitude: float = -119.8,
) -> solar.SolarSpec:
    rated_w, lat, lon, tilt, azimuth = (
        np.array([v]) for v in (8000.0, latitude, longitude, tilt_deg, azimuth_deg)
    )
    return solar.SolarSpec(
        rated_w=rated_w,
        latitude=lat,
        longitude=lon,
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        region=np.array([0]),
    )


def day_of_power(spec: solar.SolarSpec, start_ms: int) -> np.ndarray:
    minutes = range(0, DAY_MS, 60_000)
    return np.array([solar.power_w(spec, start_ms + m, 1.0, np.array([20.0]))[0] for m in minutes])


@given(
    at_ms=st.integers(ms(2020, 1, 1), ms(2030, 1, 1)),
    latitude=st.floats(-60, 60),
    longitude=st.floats(-180, 180),
    clear=st.floats(0, 1),
    azimuth_deg=st.floats(0, 360),
)
def test_power_is_within_the_rating_and_zero_in_the_dark(
    at_ms: int, latitude: float, longitude: float, clear: float, azimuth_deg: float
) -> None:
    spec = panels(azimuth_deg, latitude=latitude, longitude=longitude)
    power = solar.power_w(spec, at_ms, clear, np.array([20.0]))[0]
    assert 0 <= power <= 8000
    exact = solarposition.get_solarposition(
        pd.DatetimeIndex([at_ms * 1_000_000], tz="UTC"), latitude, longitude
    )
    if exact["elevation"].iloc[0] < -1.5:  # the short formulas are within about a degree
        assert power == 0


def test_a_clear_summer_day_yields_what_panels_of_that_size_do() -> None:
    power = day_of_power(panels(), ms(2025, 6, 21))
    daily_kwh = power.sum() / 60_000
    assert 6.0 < daily_kwh / 8.0 < 8.5, "kWh per kW on the clearest day in California"
    winter = day_of_power(panels(), ms(2025, 12, 21))
    assert winter.sum() < 0.7 * power.sum()


def test_orientation_moves_the_peak() -> None:
    start = ms(2025, 3, 21, 8)  # midnight there
    peaks = [
        int(day_of_power(panels(azimuth), start).argmax()) / 60 for azimuth in (90.0, 180.0, 270.0)
    ]
    assert peaks[0] < 11.5 < peaks[1] < 12.8 < peaks[2]


def test_solar_hour_is_noon_where_the_sun_is_highest() -> None:
    hour = solar.solar_hour(np.array([0.0, -120.0, 150.0]), ms(2025, 1, 1, 12))
    assert hour.tolist() == [12.0, 4.0, 22.0]


def test_clouds_are_seeded_and_keep_their_spread() -> None:
    def walk(seed: int, dt_s: float) -> solar.CloudState:
        rng = np.random.default_rng(seed)
        clouds = solar.new_clouds(rng, 3, 2000)
        for _ in range(50):
            clouds = solar.step_clouds(clouds, dt_s, rng)
        return clouds

    a, b, other = walk(1, 30.0), walk(1, 30.0), walk(2, 30.0)
    np.testing.assert_array_equal(a.passing, b.passing)
    assert not np.array_equal(a.passing, other.passing)
    assert a.passing.std() == pytest.approx(1.0, abs=0.1)
    clear = solar.clearness(a, np.arange(2000) % 3)
    assert clear.min() >= 0.1
    assert clear.max() <= 1.0
    assert clear.std() > 0.05


def test_clouds_move_little_in_a_second() -> None:
    rng = np.random.default_rng(3)
    before = solar.new_clouds(rng, 1, 500)
    after = solar.step_clouds(before, 1.0, rng)
    region = np.zeros(500, int)
    moved = np.abs(solar.clearness(after, region) - solar.clearness(before, region))
    assert 0 < moved.max() < 0.15
