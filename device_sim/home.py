"""Premises with one grid connection: load = grid + battery + solar, at every step.

On the grid, the battery follows its ladder within the connection's limits, and solar is
curtailed to the export limit. Off the grid (islanded), the battery supplies the load, even from
its reserve, which is kept for that. Load beyond its power is not served.
"""

from dataclasses import dataclass

import numpy as np

from edge import battery
from edge.battery import BatterySpec, BatteryState
from edge.connection import Connection, within
from vpp_streams.domain.arrays import Floats, Mask


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The external conditions of a step, one value per row."""

    sun_w: Floats
    """Available solar power, W >= 0."""
    demand_w: Floats
    """The household's demand, W >= 0."""
    ambient_c: Floats
    islanded: Mask
    """Whether the grid is out."""


@dataclass(frozen=True, slots=True)
class Flows:
    """True powers, W, in canonical signs; load = grid + battery + solar."""

    battery_w: Floats
    grid_w: Floats
    solar_w: Floats
    load_w: Floats


def step(
    spec: BatterySpec,
    state: BatteryState,
    *,
    connection: Connection,
    around: Surroundings,
    request_w: Floats,
    dt_s: float,
) -> tuple[BatteryState, Flows]:
    """Advance by ``dt_s`` with the ladder requesting ``request_w`` (+ = discharge)."""
    off = around.islanded
    # Without a battery, panels have no grid to follow during an outage: they switch off.
    sun = np.where(off & (spec.energy_wh <= 0), 0.0, around.sun_w)
    net = around.demand_w - sun
    request = np.where(off, net, within(connection, net, request_w))
    done = battery.step(spec, state, request, dt_s, around.ambient_c)
    room = around.demand_w - done.power_w + np.where(off, 0.0, connection.export_limit_w)
    solar = np.clip(sun, 0.0, np.maximum(room, 0.0))
    load = np.where(off, np.minimum(around.demand_w, solar + done.power_w), around.demand_w)
    grid = np.where(off, 0.0, load - done.power_w - solar)
    return done.state, Flows(done.power_w, grid, solar, load)
