"""Batteries as columns: one row per device, one numpy step for a complete fleet.

Power is measured at the terminals: W, + = discharge. Stored energy is in the cells. A row without
a battery has ``energy_wh`` 0 and power 0.
"""

from dataclasses import dataclass

import numpy as np

from edge.arrays import Floats

HOUR_S = 3600.0

# Cells have full power between 5 and 40 degrees C. Outside, their power is reduced to protect
# them, but not to zero, because a cold pack heats itself.
_DERATING_C = (-15.0, 5.0, 40.0, 55.0)
_DERATING = (0.1, 1.0, 1.0, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySpec:
    """Ratings, one value per row."""

    energy_wh: Floats
    """Usable energy between soc 0 and 1."""
    charge_w: Floats
    discharge_w: Floats
    soc_min: Floats
    """Physical limit: cells are never emptied further. It is not the owner's reserve."""
    soc_max: Floats
    charge_efficiency: Floats
    """Cell energy per terminal energy, 0..1."""
    discharge_efficiency: Floats
    """Terminal energy per cell energy, 0..1."""
    standby_w: Floats
    """Power of the electronics, taken from the cells at all times."""
    heat_capacity_wh_c: Floats
    """Energy that warms the pack by one degree C."""
    heat_loss_w_c: Floats
    """Heat lost per degree C above ambient."""


@dataclass(frozen=True, slots=True)
class BatteryState:
    """The state of the batteries, one value per row."""

    soc: Floats
    """Fraction 0..1 of ``energy_wh``."""
    temperature_c: Floats


@dataclass(frozen=True, slots=True)
class BatteryStep:
    """The result of a step, one value per row."""

    state: BatteryState
    power_w: Floats
    """The actual power, W, + = discharge; the request if the battery could."""
    loss_w: Floats
    """Heat: conversion losses and standby. -power_w x dt = change of stored energy + loss x dt."""


def typical(energy_wh: Floats, charge_w: Floats, discharge_w: Floats) -> BatterySpec:
    """A lithium battery of these ratings: 90 % round trip; standby and heat scale with energy."""

    def each(value: float) -> Floats:
        return np.full(energy_wh.shape, value)

    efficiency = each(0.95)
    return BatterySpec(
        energy_wh=energy_wh,
        charge_w=charge_w,
        discharge_w=discharge_w,
        soc_min=each(0.0),
        soc_max=each(1.0),
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
        standby_w=0.0008 * energy_wh,
        heat_capacity_wh_c=np.maximum(0.0025 * energy_wh, 1.0),
        heat_loss_w_c=np.maximum(0.0015 * energy_wh, 1.0),
    )


def derating(temperature_c: Floats) -> Floats:
    """Share of the rated power that the cells allow at this temperature, 0.1..1."""
    return np.interp(temperature_c, _DERATING_C, _DERATING)


def standby_wh(spec: BatterySpec, dt_s: float) -> Floats:
    """Energy that the electronics take from the cells in ``dt_s``, Wh."""
    return spec.standby_w * dt_s / HOUR_S


def limits_w(spec: BatterySpec, state: BatteryState, dt_s: float) -> tuple[Floats, Floats]:
    """The largest (charge, discharge) power over ``dt_s``, both W >= 0."""
    factor = derating(state.temperature_c)
    room_wh = np.maximum(spec.soc_max - state.soc, 0.0) * spec.energy_wh
    stored_wh = np.maximum(state.soc - spec.soc_min, 0.0) * spec.energy_wh
    charge = room_wh / spec.charge_efficiency * HOUR_S / dt_s
    discharge = stored_wh * spec.discharge_efficiency * HOUR_S / dt_s
    return (
        np.minimum(charge, spec.charge_w * factor),
        np.minimum(discharge, spec.discharge_w * factor),
    )


def step(
    spec: BatterySpec, state: BatteryState, request_w: Floats, dt_s: float, ambient_c: Floats
) -> BatteryStep:
    """Hold ``request_w`` (+ = discharge) for ``dt_s``, within the battery's limits."""
    most_charge, most_discharge = limits_w(spec, state, dt_s)
    power = np.clip(request_w, -most_charge, most_discharge)
    into_cells_w = np.where(
        power < 0, -power * spec.charge_efficiency, -power / spec.discharge_efficiency
    )
    above_min_wh = (state.soc - spec.soc_min) * spec.energy_wh + into_cells_w * dt_s / HOUR_S
    standby = np.minimum(standby_wh(spec, dt_s), np.maximum(above_min_wh, 0.0))
    change_wh = into_cells_w * dt_s / HOUR_S - standby
    loss_w = -power - change_wh * HOUR_S / dt_s
    has_battery = spec.energy_wh > 0
    soc = state.soc + np.divide(
        change_wh, spec.energy_wh, out=np.zeros_like(power), where=has_battery
    )
    # Rounding may leave soc slightly outside its limits.
    soc = np.clip(soc, np.minimum(spec.soc_min, state.soc), np.maximum(spec.soc_max, state.soc))
    temperature = _warmed(spec, state.temperature_c, loss_w, dt_s, ambient_c)
    return BatteryStep(BatteryState(soc, temperature), power, loss_w)


def _warmed(
    spec: BatterySpec, temperature_c: Floats, loss_w: Floats, dt_s: float, ambient_c: Floats
) -> Floats:
    """Temperature after ``dt_s``: one heat capacity and one path to ambient, solved exactly."""
    settles_at = ambient_c + loss_w / spec.heat_loss_w_c
    kept = np.exp(-spec.heat_loss_w_c / spec.heat_capacity_wh_c * dt_s / HOUR_S)
    return settles_at + (temperature_c - settles_at) * kept
