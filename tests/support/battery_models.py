"""Batteries of one row: a Powerwall, and random specifications, states and requests."""

import numpy as np
from hypothesis import strategies as st

from edge import battery
from edge.battery import BatterySpec, BatteryState


def column(value: float) -> np.ndarray:
    """Return a column of one row."""
    return np.array([value])


def spec_of(energy_wh: float, charge_w: float, discharge_w: float) -> BatterySpec:
    """Return the specification of one battery with typical losses."""
    return battery.typical(column(energy_wh), column(charge_w), column(discharge_w))


POWERWALL = spec_of(13_500, 5_000, 11_500)
SPECS = st.builds(spec_of, st.floats(1e3, 4e6), st.floats(0, 2e6), st.floats(0, 2e6))
STATES = st.builds(
    lambda soc, c: BatteryState(column(soc), column(c)), st.floats(0, 1), st.floats(-20, 60)
)
STEPS_S = st.floats(0.1, 3600)
REQUESTS_W = st.floats(-3e6, 3e6)
AMBIENT_C = st.floats(-30, 50)
