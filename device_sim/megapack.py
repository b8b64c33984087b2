"""A grid battery on its own: its only load is its cooling and electronics."""

import numpy as np

from edge.battery import BatterySpec, BatteryState
from vpp_streams.domain.arrays import Floats

_ELECTRONICS = 0.001
"""Power of the electronics, as a share of the discharge rating."""
_COOLING = 0.01
"""Power at full cooling, as a share of the discharge rating."""


def auxiliary_w(spec: BatterySpec, state: BatteryState) -> Floats:
    """Power of its own systems, W: increases as the pack warms from 25 to 40 degrees C."""
    cooling = np.interp(state.temperature_c, (25.0, 40.0), (0.0, 1.0))
    return np.asarray((_ELECTRONICS + _COOLING * cooling) * spec.discharge_w)
