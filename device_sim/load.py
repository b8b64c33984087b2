"""Household load as columns: base load, people and their appliances; seeded."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats

_HOURS = (0, 5, 7, 9, 12, 16, 19, 21, 23, 24)
_SHAPE = (0.25, 0.2, 0.8, 0.6, 0.5, 0.6, 1.0, 0.9, 0.4, 0.25)
"""Presence of people over the day, as a share of its peak."""


@dataclass(frozen=True, slots=True)
class Appliance:
    """A device that runs now and then, at full power for a while."""

    power_w: float
    runs_s: float
    starts_per_day: float


APPLIANCES = (
    Appliance(2000, 150, 5.0),  # kettle
    Appliance(120, 900, 32.0),  # fridge
    Appliance(2400, 2400, 0.8),  # oven
    Appliance(1800, 3600, 0.6),  # washing machine, dryer
    Appliance(3500, 1800, 0.8),  # hot water, heat pump
    Appliance(7000, 9000, 0.15),  # electric car
)
_POWER_W = np.array([a.power_w for a in APPLIANCES])
_RUNS_S = np.array([a.runs_s for a in APPLIANCES])
_STARTS_PER_S = np.array([a.starts_per_day for a in APPLIANCES]) / 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """Households, one value per row."""

    base_w: Floats
    """Load that is always on, W."""
    people_w: Floats
    """Additional load when everybody is at home, W."""
    appliances: Floats
    """Use of appliances; 1 = typical, 0 = none."""


@dataclass(frozen=True, slots=True)
class LoadState:
    """Running appliances, shape (appliances, rows)."""

    left_s: Floats
    """Remaining time of each, s; 0 = off."""


def new_load(rows: int) -> LoadState:
    """All appliances off."""
    return LoadState(np.zeros((len(APPLIANCES), rows)))


def step(
    spec: LoadSpec, state: LoadState, solar_hour: Floats, dt_s: float, rng: np.random.Generator
) -> tuple[LoadState, Floats]:
    """Advance by ``dt_s``; returns the new state and the load, W >= 0."""
    presence = np.interp(solar_hour, _HOURS, _SHAPE)
    left = np.maximum(state.left_s - dt_s, 0.0)
    rate = _STARTS_PER_S[:, None] * (2.0 * presence * spec.appliances)
    starts = (left <= 0) & (rng.random(left.shape) < rate * dt_s)
    left = np.where(starts, _RUNS_S[:, None] * rng.uniform(0.5, 1.5, left.shape), left)
    running = (_POWER_W[:, None] * (left > 0)).sum(axis=0)
    return LoadState(left), spec.base_w + spec.people_w * presence + running
