"""Solar power as columns: sun geometry and a clear sky from pvlib, and seeded clouds.

Sun and panels are a pure function of place and time. Clouds are random walks driven by the caller's
generator: one per region (weather) and one per site (passing clouds).
"""

from dataclasses import dataclass

import numpy as np
from pvlib import clearsky, irradiance, solarposition

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.moments import DAY_MS, HOUR_MS

_STANDARD_W_M2 = 1000.0
_GROUND_ALBEDO = 0.2
_SYSTEM_EFFICIENCY = 0.9
"""Losses of inverter, wiring and dirt."""
_WEATHER_S = 2 * 3600.0
_PASSING_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarSpec:
    """Panels, one value per row; ``rated_w`` 0 = none."""

    rated_w: Floats
    """Largest power of the inverter, W; also the panels' power under standard light."""
    latitude: Floats
    longitude: Floats
    tilt_deg: Floats
    """0 = flat, 90 = upright."""
    azimuth_deg: Floats
    """Direction of the panels: 180 = south, 90 = east."""
    region: Ints
    """Index of the region whose weather applies."""


@dataclass(frozen=True, slots=True)
class CloudState:
    """Standard-normal walks; > 0 is brighter than usual."""

    weather: Floats
    """One value per region."""
    passing: Floats
    """One value per row."""


def new_clouds(rng: np.random.Generator, regions: int, rows: int) -> CloudState:
    """Clouds at the start, drawn from their stationary distribution."""
    return CloudState(rng.standard_normal(regions), rng.standard_normal(rows))


def step_clouds(state: CloudState, dt_s: float, rng: np.random.Generator) -> CloudState:
    """Clouds ``dt_s`` later (an autoregressive walk with a constant spread)."""
    return CloudState(
        _walk(state.weather, dt_s / _WEATHER_S, rng), _walk(state.passing, dt_s / _PASSING_S, rng)
    )


def _walk(z: Floats, x: float, rng: np.random.Generator) -> Floats:
    keep = np.exp(-x)
    return np.asarray(keep * z + np.sqrt(1 - keep**2) * rng.standard_normal(len(z)))


def clearness(state: CloudState, region: Ints) -> Floats:
    """Share of a clear sky's light that passes the clouds, 0.1..1, one value per row."""
    brightness = 1.0 + 1.3 * state.weather[region] + 0.5 * state.passing
    return np.asarray(0.1 + 0.9 / (1.0 + np.exp(-1.5 * brightness)))


def solar_hour(longitude: Floats, at_ms: int) -> Floats:
    """Hour of the day by the sun's mean time, 0..24: 12 when the sun is highest."""
    return np.asarray((at_ms % DAY_MS / HOUR_MS + longitude / 15) % 24)


def power_w(spec: SolarSpec, at_ms: int, clear: Floats | float, ambient_c: Floats) -> Floats:
    """AC power of the panels, W >= 0, under ``clear`` (0..1) of a clear sky's light."""
    light = clear * _clear_light(spec, at_ms)
    cell_c = ambient_c + 0.03 * light
    heat = 1.0 - 0.004 * (cell_c - 25.0)
    return np.clip(
        spec.rated_w * light / _STANDARD_W_M2 * heat * _SYSTEM_EFFICIENCY, 0, spec.rated_w
    )


def _clear_light(spec: SolarSpec, at_ms: int) -> Floats:
    """Clear-sky light on the panels, W/m2."""
    day = np.datetime64(at_ms, "ms")
    day_of_year = int((day.astype("M8[D]") - day.astype("M8[Y]")).astype(int)) + 1
    declination = solarposition.declination_spencer71(day_of_year)
    minutes = solarposition.equation_of_time_spencer71(day_of_year)
    utc_h = at_ms % DAY_MS / HOUR_MS
    hour_angle = np.radians(15 * (utc_h - 12) + spec.longitude + minutes / 4)
    latitude = np.radians(spec.latitude)
    zenith = solarposition.solar_zenith_analytical(latitude, hour_angle, declination)
    azimuth = solarposition.solar_azimuth_analytical(latitude, hour_angle, declination, zenith)
    zenith_deg, azimuth_deg = np.degrees(zenith), np.degrees(azimuth)
    sky = clearsky.simplified_solis(90.0 - zenith_deg)
    facing = irradiance.aoi_projection(spec.tilt_deg, spec.azimuth_deg, zenith_deg, azimuth_deg)
    cos_tilt = np.cos(np.radians(spec.tilt_deg))
    beam = sky["dni"] * np.maximum(facing, 0.0)
    diffuse = sky["dhi"] * (1 + cos_tilt) / 2 + _GROUND_ALBEDO * sky["ghi"] * (1 - cos_tilt) / 2
    return np.where(zenith_deg < 90.0, beam + diffuse, 0.0)
