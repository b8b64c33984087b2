"""Proof of frequency response from 1 s captures: what droop called for, and what was given.

The base is the schedule, as in prequalification of frequency containment reserve: what a device
gives beside the setpoint of the lease that arms it is its response.
"""

from dataclasses import dataclass

import numpy as np

from edge.droop import droop_w
from schemas.grid import Droop
from vpp_streams.domain.arrays import Floats, Ints, Mask

_TIME_BITS = 42
"""Bits of a time in ms since 1970, enough until the year 2109."""


@dataclass(frozen=True, slots=True)
class Armings:
    """The leases that devices took; columns of shape (leases,)."""

    device: Ints
    """Index of the device, as in the samples."""
    from_ms: Ints
    until_ms: Ints
    setpoint_w: Floats
    """NaN = a lease without droop: the device was not armed."""


@dataclass(frozen=True, slots=True)
class Response:
    """One device's answer to the frequency while it was armed; powers in W, + = discharge."""

    device: int
    """Index of the device, as in the samples."""
    samples: int
    """Number of samples whose frequency was outside the dead band."""
    setpoint_w: float
    """Mean of its leases' setpoints over those samples."""
    expected_w: float
    """Mean power that droop called for."""
    delivered_w: float
    """Mean of power less setpoint."""

    @property
    def share(self) -> float:
        """Delivered share of what was called for; 1 = in full."""
        return self.delivered_w / self.expected_w


def setpoints_at(armings: Armings, device: Ints, at_ms: Ints) -> Floats:
    """Setpoint of the lease that a device stood under at a time; NaN = it was not armed.

    ``device`` and ``at_ms`` have shape (samples,). Where leases overlap, the later one counts.
    """
    if not len(armings.device):
        return np.full(len(device), np.nan)
    key = (armings.device << _TIME_BITS) | armings.from_ms
    order = np.argsort(key, kind="stable")
    after = np.searchsorted(key[order], (device << _TIME_BITS) | at_ms, "right")
    found = order[np.maximum(after - 1, 0)]
    stands = (
        (armings.device[found] == device)
        & (armings.from_ms[found] <= at_ms)
        & (at_ms < armings.until_ms[found])
    )
    return np.where(stands, armings.setpoint_w[found], np.nan)


def responses(
    device: Ints,
    at_ms: Ints,
    frequency_hz: Floats,
    battery_w: Floats,
    *,
    armings: Armings,
    droop: Droop,
    rated_charge_w: Floats,
    rated_discharge_w: Floats,
) -> list[Response]:
    """Each armed device's response; those whose frequency stayed in the dead band are left out.

    The first four have shape (samples,), in any order, ``device`` an index into the ratings of
    shape (devices,). Samples whose frequency or power was not measured (NaN) count for nothing.
    """
    setpoint = setpoints_at(armings, device, at_ms)
    wanted = droop_w(frequency_hz, droop, rated_charge_w[device], rated_discharge_w[device])
    outside = np.isfinite(frequency_hz) & np.isfinite(battery_w) & np.isfinite(setpoint)
    outside &= wanted != 0
    return [
        _response_of(int(i), outside & (device == i), setpoint, wanted, battery_w)
        for i in np.unique(device[outside])
    ]


def _response_of(
    device: int, mine: Mask, setpoint_w: Floats, wanted_w: Floats, battery_w: Floats
) -> Response:
    """The means over a device's samples."""
    return Response(
        device=device,
        samples=int(mine.sum()),
        setpoint_w=float(setpoint_w[mine].mean()),
        expected_w=float(wanted_w[mine].mean()),
        delivered_w=float((battery_w[mine] - setpoint_w[mine]).mean()),
    )
