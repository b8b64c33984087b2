"""A grid battery that stands alone: its only load is its own cooling and electronics."""

import numpy as np

from device_sim.battery import BatterySpec, BatteryState
from vpp_streams.domain.arrays import Floats

_ELECTRONICS = 0.001
"""Share of the discharge rating."""
_COOLING = 0.01
"""As above, at full cooling."""


def auxiliary_w(spec: BatterySpec, state: BatteryState) -> Floats:
    """Power that keeps it running, W: more of it as the pack warms from 25 to 40 degrees C."""
    cooling = np.interp(state.temperature_c, (25.0, 40.0), (0.0, 1.0))
    return np.asarray((_ELECTRONICS + _COOLING * cooling) * spec.discharge_w)
