"""Checks true powers against every limit after each step. A breach is a bug and is counted.

It works from the state before the step and its result, not from the ladder's reasoning, so that
it can detect an error of the ladder.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_sim.home import Flows, Surroundings
from edge import battery, ladder
from edge.battery import BatterySpec, BatteryState
from edge.connection import Connection
from edge.ladder import Orders
from edge.leases import FALL_BACK_MS
from vpp_streams.domain.arrays import Floats, Mask

NAMES = ("reserve", "rating", "export", "import", "ramp", "expired")

_TOLERANCE_W = 0.01
_TOLERANCE_SOC = 1e-9


@dataclass(frozen=True, slots=True)
class Before:
    """The state before the step, one value per row."""

    battery: BatteryState
    power_w: Floats
    orders: Orders
    alone_w: Floats
    """Power of each device without a lease, W."""
    since_end_ms: NDArray[np.int64]
    """Time since the newest lease ended, ms; < 0 = it has not ended."""


def breaches(
    spec: BatterySpec,
    *,
    reserve: Floats,
    connection: Connection,
    around: Surroundings,
    before: Before,
    after: BatteryState,
    flows: Flows,
    dt_s: float,
) -> dict[str, Mask]:
    """The rows that broke each limit of `NAMES`.

    - reserve: discharged, and is below the owner's reserve, or below its lease's ``soc_min``;
    - rating: more than its charge or discharge rating;
    - export, import: beyond the connection's limit (import: only while the battery charges, because
      the battery does not control the household's use);
    - ramp: power changed faster than the lease allows, and no limit required it;
    - expired: power that remains from an ended lease, beyond what its ramp explains.

    Reserve, ramp and connection are no limits for an island, which supplies its own load.
    """
    power, on_grid, orders = flows.battery_w, ~around.islanded, before.orders
    floor = np.where(orders.leased, np.maximum(reserve, orders.soc_min), reserve)
    least, most = _limits_w(
        spec,
        reserve=reserve,
        floor=floor,
        connection=connection,
        around=around,
        state=before.battery,
        dt_s=dt_s,
    )
    ramp_w = orders.ramp_w_s * dt_s
    # Frequency response starts and ends at once; it can add no more than the rating.
    armed = orders.leased & ~np.isnan(orders.droops.nominal_hz)
    step_w = np.where(armed, np.inf, ramp_w) + _TOLERANCE_W
    rises = (power > before.power_w + step_w) & (power > least + _TOLERANCE_W)
    falls = (power < before.power_w - step_w) & (power < most - _TOLERANCE_W)
    could = np.maximum(np.minimum(before.alone_w, most), least)
    left_w = np.maximum(np.abs(before.power_w - before.alone_w) - ramp_w, 0.0)
    left_w = np.where(before.since_end_ms < FALL_BACK_MS, left_w, 0.0) + _TOLERANCE_W
    ended = (before.since_end_ms >= 0) & on_grid
    below = after.soc < floor - _TOLERANCE_SOC
    return {
        "reserve": (power > _TOLERANCE_W) & below & on_grid,
        "rating": (power > spec.discharge_w + _TOLERANCE_W)
        | (power < -spec.charge_w - _TOLERANCE_W),
        "export": on_grid & (flows.grid_w < -connection.export_limit_w - _TOLERANCE_W),
        "import": on_grid
        & (power < -_TOLERANCE_W)
        & (flows.grid_w > connection.import_limit_w + _TOLERANCE_W),
        "ramp": on_grid & np.isfinite(ramp_w) & (rises | falls),
        "expired": ended & (np.abs(power - could) > left_w),
    }


def _limits_w(
    spec: BatterySpec,
    *,
    reserve: Floats,
    floor: Floats,
    connection: Connection,
    around: Surroundings,
    state: BatteryState,
    dt_s: float,
) -> tuple[Floats, Floats]:
    """(least, most) power that the limits allow, W; most < 0 means that it has to charge."""
    charge, discharge = battery.limits_w(spec, state, dt_s)
    net = around.demand_w - around.sun_w
    least = np.maximum(np.minimum(net - connection.import_limit_w, 0.0), -charge)
    most = np.minimum(np.maximum(net + connection.export_limit_w, 0.0), discharge)
    kept = np.maximum(ladder.spare_w(spec, state, floor, dt_s), 0.0)
    refill = ladder.most_above_reserve(spec, state, reserve, dt_s)
    return least, np.maximum(np.minimum(most, np.minimum(kept, refill)), least)
