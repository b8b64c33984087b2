"""A device's battery control: pure functions from its state to a power request.

A lease from outside has precedence while it holds; without one, the power that the device chooses
itself. Both end in `above_reserve`: the owner's reserve is never sold.
"""

from dataclasses import dataclass

import numpy as np

from edge import battery
from edge.arrays import Floats, Mask
from edge.battery import HOUR_S, BatterySpec, BatteryState
from edge.droop import Droops, droop_w

_REFILL_PER_H = 0.05
"""Share of its energy by which a battery below its reserve is charged from the grid per hour."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The leases' content for one step, one value per row."""

    leased: Mask
    """A lease holds. Except for the ramp, the other columns count only then."""
    setpoint_w: Floats
    soc_min: Floats
    ramp_w_s: Floats
    """Largest change of power per second; inf = no limit."""
    start_w: Floats
    """Start of the ramp: power before this step, without frequency response."""
    droops: Droops


@dataclass(frozen=True, slots=True)
class Decision:
    """The parts of a power request, W, + = discharge, one value per row."""

    ramped_w: Floats
    """The wanted power, as far as the ramp allows in this step."""
    droop_w: Floats
    """Power added by frequency response."""
    request_w: Floats
    """The sum of both, limited by the reserve."""

    @property
    def wanted_w(self) -> Floats:
        """The sum of both without that limit."""
        return self.ramped_w + self.droop_w


def self_consumption(
    spec: BatterySpec, state: BatteryState, reserve: Floats, net_load_w: Floats, dt_s: float
) -> Floats:
    """Supply the load that solar power does not cover; charge from the surplus.

    ``net_load_w`` is load minus solar. Returns the request, W, + = discharge.
    """
    return above_reserve(spec, state, reserve, net_load_w, dt_s)


def time_shift(
    spec: BatterySpec, state: BatteryState, reserve: Floats, solar_hour: Floats, dt_s: float
) -> Floats:
    """For a battery without a load of its own: charge around noon, discharge in the evening.

    Power rises and falls over half an hour. Returns the request, W, + = discharge.
    """
    hours = (9.5, 10.0, 14.0, 14.5, 17.5, 18.0, 21.0, 21.5)
    share = np.interp(solar_hour, hours, (0.0, -0.5, -0.5, 0.0, 0.0, 0.6, 0.6, 0.0))
    wish = share * np.where(share < 0, spec.charge_w, spec.discharge_w)
    return above_reserve(spec, state, reserve, wish, dt_s)


def follow(
    spec: BatterySpec,
    state: BatteryState,
    reserve: Floats,
    *,
    orders: Orders,
    alone_w: Floats,
    hz: Floats,
    dt_s: float,
) -> Decision:
    """Follow the leases, and for rows without one ``alone_w``, the power that each chooses itself.

    The reserve is the owner's, or the lease's if that is higher; it takes precedence over the ramp.
    """
    wish = np.where(orders.leased, orders.setpoint_w, alone_w)
    most = orders.ramp_w_s * dt_s
    ramped = np.clip(wish, orders.start_w - most, orders.start_w + most)
    added = np.where(
        orders.leased, droop_w(hz, orders.droops, spec.charge_w, spec.discharge_w), 0.0
    )
    request = above_reserve(spec, state, reserve, ramped + added, dt_s)
    # What a lease keeps beyond the owner's reserve is not sold, and not bought from the grid.
    kept_w = np.maximum(spare_w(spec, state, orders.soc_min, dt_s), 0.0)
    request = np.where(orders.leased, np.minimum(request, kept_w), request)
    return Decision(ramped, added, request)


def above_reserve(
    spec: BatterySpec, state: BatteryState, reserve: Floats, wish_w: Floats, dt_s: float
) -> Floats:
    """The wish, limited so that after ``dt_s`` the battery is not below its reserve.

    A battery that is already below it (or would be, by standby) charges slowly from the grid.
    """
    return np.minimum(wish_w, most_above_reserve(spec, state, reserve, dt_s))


def most_above_reserve(
    spec: BatterySpec, state: BatteryState, reserve: Floats, dt_s: float
) -> Floats:
    """Largest discharge that `above_reserve` allows, W; negative = the least charge."""
    spare = spare_w(spec, state, reserve, dt_s)
    refill_w = np.minimum(
        -spare / spec.discharge_efficiency, _REFILL_PER_H * spec.energy_wh
    ) / spec.charge_efficiency  # fmt: skip
    return np.where(spare >= 0, spare, -refill_w)


def spare_w(spec: BatterySpec, state: BatteryState, floor: Floats, dt_s: float) -> Floats:
    """Discharge over ``dt_s`` that ends at soc ``floor``, W; negative = already below it."""
    spare_wh = (state.soc - floor) * spec.energy_wh - battery.standby_wh(spec, dt_s)
    return spare_wh * spec.discharge_efficiency * HOUR_S / dt_s
