"""What a device decides by itself: a pure function from its state to a battery power request.

Self-consumption is the lowest rung of the autonomy ladder, what is left when nobody outside has
a say. Every rung ends in `above_reserve`: the owner's reserve is nobody's to sell.
"""

import numpy as np
from numpy.typing import NDArray

from device_sim import battery
from device_sim.battery import HOUR_S, BatterySpec, BatteryState

Floats = NDArray[np.float64]

_REFILL_PER_H = 0.05
"""A battery below its reserve refills from the grid by this share of its energy an hour."""


def self_consumption(
    spec: BatterySpec, state: BatteryState, reserve: Floats, net_load_w: Floats, dt_s: float
) -> Floats:
    """Serve the load that the sun does not; charge from what the sun leaves over.

    ``net_load_w`` is load less solar. Returns the request, W, + = discharge.
    """
    return above_reserve(spec, state, reserve, net_load_w, dt_s)


def time_shift(
    spec: BatterySpec, state: BatteryState, reserve: Floats, solar_hour: Floats, dt_s: float
) -> Floats:
    """For a battery with no load of its own: charge around noon, discharge in the evening.

    Power rises and falls over half an hour. Returns the request, W, + = discharge.
    """
    hours = (9.5, 10.0, 14.0, 14.5, 17.5, 18.0, 21.0, 21.5)
    share = np.interp(solar_hour, hours, (0.0, -0.5, -0.5, 0.0, 0.0, 0.6, 0.6, 0.0))
    wish = share * np.where(share < 0, spec.charge_w, spec.discharge_w)
    return above_reserve(spec, state, reserve, wish, dt_s)


def above_reserve(
    spec: BatterySpec, state: BatteryState, reserve: Floats, wish_w: Floats, dt_s: float
) -> Floats:
    """The wish, held so that after ``dt_s`` the battery is not below its reserve.

    One that is below it already (or would be, by standby) charges slowly from the grid.
    """
    spare_wh = (state.soc - reserve) * spec.energy_wh - battery.standby_wh(spec, dt_s)
    spare_w = spare_wh * HOUR_S / dt_s
    refill_w = np.minimum(-spare_w, _REFILL_PER_H * spec.energy_wh) / spec.charge_efficiency
    most = np.where(spare_w >= 0, spare_w * spec.discharge_efficiency, -refill_w)
    return np.minimum(wish_w, most)
