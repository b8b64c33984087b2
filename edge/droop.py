"""Frequency response of a battery: more discharge as the frequency falls, more charge as it rises.

Below ``nominal - dead_band`` and above ``nominal + dead_band`` power changes along a straight
line, until at a deviation of ``droop x nominal`` beyond the dead band the complete rating is called
for. See `schemas.grid.Droop` for the parameters.
"""

from dataclasses import dataclass

import numpy as np

from edge.arrays import Floats
from schemas.grid import Droop


@dataclass(frozen=True, slots=True)
class Droops:
    """`schemas.grid.Droop` by columns, shape (devices,); ``nominal_hz`` NaN = not armed."""

    nominal_hz: Floats
    dead_band_hz: Floats
    droop: Floats


def droop_w(
    hz: float | Floats,
    droop: Droop | Droops,
    rated_charge_w: float | Floats,
    rated_discharge_w: float | Floats,
) -> Floats:
    """Power to add to the setpoint, W, + = discharge; at most the rating in either direction.

    An unknown frequency (NaN) and a droop that is not armed add nothing.
    """
    off_hz = np.asarray(hz - np.asarray(droop.nominal_hz))
    beyond_hz = np.sign(off_hz) * np.maximum(np.abs(off_hz) - droop.dead_band_hz, 0.0)
    share = np.clip(-beyond_hz / (np.asarray(droop.nominal_hz) * droop.droop), -1.0, 1.0)
    added = share * np.where(share > 0, rated_discharge_w, rated_charge_w)
    return np.where(np.isnan(added), 0.0, added)
