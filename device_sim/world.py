"""The physical world of a complete fleet: one numpy step moves every device.

Seeded and without a clock: the same devices, seed and times give the same readings.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_sim import home, load, megapack, solar
from device_sim.fleet import UNMETERED_MODEL
from device_sim.plant import Plant
from device_sim.recorded import DAY_S, RecordedHome
from edge import battery, ladder
from edge.connection import Connection
from edge.leases import Leases
from schemas.assets import Device, Site
from vpp_streams.domain.arrays import Floats

_ALL = slice(None)
_NOMINAL_HZ = 60.0
_NOMINAL_V = 120.0
_GRID_OUT_S = 600.0
"""Mean duration of a grid outage, s."""
_METER_ERROR = 0.002
"""Spread of a power meter's error, as a share of the reading."""
_FREQUENCY_SPREAD_HZ = 0.015
_FREQUENCY_MEMORY_S = 20.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading of every device, by columns, in canonical signs; NaN = not measured.

    Load is computed as a gateway does from its meters: grid + battery + solar.
    """

    battery_w: Floats
    grid_w: Floats
    solar_w: Floats
    load_w: Floats
    soc: Floats
    frequency_hz: Floats
    voltage_v: Floats
    temperature_c: Floats
    islanded: Floats

    def values(self, rows: NDArray[np.intp] | slice = _ALL) -> list[tuple[Any, ...]]:
        """Devices' values in the order of `NativeBody`'s keys from ``p`` to ``isl``."""
        numbers = (
            self.battery_w,
            self.grid_w,
            self.solar_w,
            self.load_w,
            self.soc,
            self.frequency_hz,
            self.voltage_v,
            self.temperature_c,
        )
        columns = [[None if isnan(x) else x for x in column[rows].tolist()] for column in numbers]
        off_grid = [None if isnan(x) else bool(x) for x in self.islanded[rows].tolist()]
        return list(zip(*columns, off_grid, strict=True))


class World:
    """Batteries, panels, households and grid of these devices; `step` advances time.

    Each device is the gateway of its own grid connection.
    """

    def __init__(
        self,
        devices: Sequence[tuple[Site, Device]],
        seed: int,
        start_ms: int,
        *,
        recorded: RecordedHome | None = None,
        grid_outages_per_day: float = 0.0,
        counters: Counter[str] | None = None,
    ) -> None:
        self._rng = rng = np.random.default_rng([seed, 0x5EED])
        self._at_ms = start_ms
        self._recorded = recorded
        self._grid_outages_per_s = grid_outages_per_day / 86_400
        rows = len(devices)
        spec = battery.typical(
            _column(d.rated_energy_wh for _, d in devices),
            _column(d.rated_charge_w for _, d in devices),
            _column(d.rated_discharge_w for _, d in devices),
        )
        self._solar_spec = _solar_spec(devices, rng)
        self._kind = np.array([d.kind for _, d in devices])
        self._regions = np.array([s.region for s, _ in devices])
        self._no_meter = np.array([d.model == UNMETERED_MODEL for _, d in devices])
        lives_there = np.where(self._kind == "megapack", 0.0, 1.0)
        self._load_spec = load.LoadSpec(
            base_w=lives_there * rng.uniform(80, 350, rows),
            people_w=lives_there * rng.uniform(150, 1000, rows),
            appliances=lives_there * rng.uniform(0.4, 1.5, rows),
        )
        connection = Connection(
            _column(_limit(s.export_limit_w) for s, _ in devices),
            _column(_limit(s.import_limit_w) for s, _ in devices),
        )
        reserve = _column(s.backup_reserve for s, _ in devices)
        self._shift_days = rng.integers(0, 365, rows)
        self._clouds = solar.new_clouds(rng, int(self._solar_spec.region.max(initial=0)) + 1, rows)
        self._load = load.new_load(rows)
        self._grid_out_s = np.zeros(rows)
        self._frequency_error = 0.0
        self._set_hz: dict[str, tuple[float, int]] = {}
        soc = reserve + rng.uniform(0.1, 0.9, rows) * (1.0 - reserve)
        state = battery.BatteryState(soc, self._ambient_c(start_ms))
        self._plant = Plant(spec, state, connection, reserve, counters)

    @property
    def leases(self) -> Leases:
        """The devices' leases."""
        return self._plant.leases

    @property
    def battery_spec(self) -> battery.BatterySpec:
        """The batteries' ratings."""
        return self._plant.spec

    @property
    def battery(self) -> battery.BatteryState:
        """The batteries after the last step."""
        return self._plant.battery

    @property
    def reserve(self) -> Floats:
        """The owners' reserves, 0..1."""
        return self._plant.reserve

    @property
    def connection(self) -> Connection:
        """Limits of the grid connections."""
        return self._plant.connection

    @property
    def flows(self) -> home.Flows:
        """True powers of the last step."""
        return self._plant.flows

    @property
    def counters(self) -> Counter[str]:
        """Counters ``breach_<limit>``: see `audit`."""
        return self._plant.counters

    def set_frequency(self, region: str, hz: float, until_ms: int) -> None:
        """Set a region's frequency until a time, and for at least one step."""
        self._set_hz[region] = (hz, until_ms)

    def black_out(self, rows: NDArray[np.intp], seconds: float) -> None:
        """Take the grid of these devices' sites out for this time."""
        self._grid_out_s[rows] = seconds

    def step(self, at_ms: int, gateway_ms: NDArray[np.int64] | None = None) -> Measured:
        """Advance to ``at_ms`` (UTC) and measure. Raises `ValueError` if that is not later.

        ``gateway_ms`` is that time as each device estimates its gateway's clock; None = exact.
        """
        if at_ms <= self._at_ms:
            raise ValueError(f"time does not go back: {at_ms} <= {self._at_ms}")
        dt_s = (at_ms - self._at_ms) / 1000
        self._at_ms = at_ms
        around = self._surroundings(at_ms, dt_s)
        hz = self._frequency_hz(at_ms, dt_s)
        now_ms = np.full(len(hz), at_ms) if gateway_ms is None else gateway_ms
        self._plant.step(now_ms, around, self._own_w(at_ms, around, dt_s), hz, dt_s)
        return self._measure(around.islanded, hz)

    def _surroundings(self, at_ms: int, dt_s: float) -> home.Surroundings:
        rng, hour = self._rng, solar.solar_hour(self._solar_spec.longitude, at_ms)
        ambient_c = self._ambient_c(at_ms)
        self._clouds = solar.step_clouds(self._clouds, dt_s, rng)
        clear = solar.clearness(self._clouds, self._solar_spec.region)
        sun_w = solar.power_w(self._solar_spec, at_ms, clear, ambient_c)
        self._load, demand_w = load.step(self._load_spec, self._load, hour, dt_s, rng)
        if self._recorded is not None:
            sun_w, demand_w = self._play(self._recorded, at_ms, sun_w, demand_w)
        cooling_w = megapack.auxiliary_w(self.battery_spec, self.battery)
        demand_w = np.where(self._kind == "megapack", cooling_w, demand_w)
        return home.Surroundings(sun_w, demand_w, ambient_c, self._islanded(dt_s))

    def _own_w(self, at_ms: int, around: home.Surroundings, dt_s: float) -> Floats:
        spec, state = self.battery_spec, self.battery
        hour = solar.solar_hour(self._solar_spec.longitude, at_ms)
        net_w = around.demand_w - around.sun_w
        return np.where(
            self._kind == "megapack",
            ladder.time_shift(spec, state, self.reserve, hour, dt_s),
            ladder.self_consumption(spec, state, self.reserve, net_w, dt_s),
        )

    def _play(
        self, recorded: RecordedHome, at_ms: int, sun_w: Floats, demand_w: Floats
    ) -> tuple[Floats, Floats]:
        """Homes follow the recording, each shifted by some days, on its own solar time."""
        local_s = at_ms / 1000 + self._solar_spec.longitude / 15 * 3600
        day = (local_s // DAY_S).astype(np.int64) + self._shift_days
        load_w, solar_w = recorded.power_w(day, local_s % DAY_S)
        at_home = self._kind == "powerwall"
        return np.where(at_home, solar_w, sun_w), np.where(at_home, load_w, demand_w)

    def _islanded(self, dt_s: float) -> NDArray[np.bool_]:
        left = np.maximum(self._grid_out_s - dt_s, 0.0)
        if self._grid_outages_per_s:
            starts = self._rng.random(len(left)) < self._grid_outages_per_s * dt_s
            lasts = self._rng.exponential(_GRID_OUT_S, len(left))
            left = np.where((left <= 0) & starts, lasts, left)
        self._grid_out_s = left
        return left > 0

    def _ambient_c(self, at_ms: int) -> Floats:
        hour = solar.solar_hour(self._solar_spec.longitude, at_ms)
        warmest = 15.0
        swing = np.cos((hour - warmest) * np.pi / 12)
        return np.asarray(26.0 - 0.25 * self._solar_spec.latitude + 7 * swing)

    def _frequency_hz(self, at_ms: int, dt_s: float) -> Floats:
        """The frequency that each device measures: its region's, with the error of its meter."""
        keep = np.exp(-dt_s / _FREQUENCY_MEMORY_S)
        push = np.sqrt(1 - keep**2) * _FREQUENCY_SPREAD_HZ * self._rng.standard_normal()
        self._frequency_error = float(keep * self._frequency_error + push)
        hz = np.full(len(self._regions), _NOMINAL_HZ + self._frequency_error)
        for region, (set_hz, until_ms) in list(self._set_hz.items()):
            hz[self._regions == region] = set_hz
            if until_ms <= at_ms:
                del self._set_hz[region]
        return hz + 0.001 * self._rng.standard_normal(len(hz))

    def _measure(self, islanded: NDArray[np.bool_], hz: Floats) -> Measured:
        rng, rows, flows = self._rng, len(islanded), self.flows
        nothing = np.full(rows, np.nan)
        no_battery = self.battery_spec.energy_wh <= 0

        def meter(true_w: Floats, absent: NDArray[np.bool_]) -> Floats:
            read = true_w * (1 + _METER_ERROR * rng.standard_normal(rows))
            return np.where(absent, nothing, np.round(read, 1))

        battery_w = meter(flows.battery_w, no_battery)
        grid_w = meter(flows.grid_w, self._no_meter)
        solar_w = meter(flows.solar_w, self._kind == "megapack")
        load_w = np.nan_to_num(battery_w) + grid_w + np.nan_to_num(solar_w)
        volt = _NOMINAL_V - 0.0003 * flows.grid_w.clip(-1e4, 1e4) + 0.2 * rng.standard_normal(rows)
        return Measured(
            battery_w,
            grid_w,
            solar_w,
            np.maximum(np.round(load_w, 1), 0.0),
            np.where(no_battery, nothing, np.round(self.battery.soc, 5)),
            np.round(hz, 3),
            np.round(volt, 1),
            np.where(no_battery, nothing, np.round(self.battery.temperature_c, 1)),
            np.where(self._no_meter, nothing, islanded),
        )


def _column(values: Iterable[float]) -> Floats:
    return np.fromiter(values, np.float64)


def _limit(limit_w: float | None) -> float:
    return np.inf if limit_w is None else limit_w


def _solar_spec(
    devices: Sequence[tuple[Site, Device]], rng: np.random.Generator
) -> solar.SolarSpec:
    rows = len(devices)
    regions = sorted({site.region for site, _ in devices})
    return solar.SolarSpec(
        rated_w=_column(device.rated_solar_w for _, device in devices),
        latitude=_column(site.latitude or 0.0 for site, _ in devices),
        longitude=_column(site.longitude or 0.0 for site, _ in devices),
        tilt_deg=rng.uniform(10, 35, rows),
        azimuth_deg=rng.choice((110.0, 160.0, 180.0, 200.0, 250.0), rows),
        region=np.array([regions.index(site.region) for site, _ in devices], np.int64),
    )
