"""Proof of frequency response from 1 s captures: what droop called for, and what was given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.grid import Droop
from vpp_streams.domain.droop import droop_w

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BASELINE_MS = 10_000
"""A device's power before an excursion is its mean over this long inside the dead band."""


@dataclass(frozen=True, slots=True)
class Response:
    """One device's answer to the frequency; powers in W, + = discharge."""

    device: int
    """Index as given."""
    seconds: float
    """Measured time outside the dead band."""
    baseline_w: float
    expected_w: float
    """Mean of what droop called for while outside."""
    delivered_w: float
    """Mean of power less baseline over the same samples."""

    @property
    def share(self) -> float:
        """Delivered of what was called for; 1 = in full."""
        return self.delivered_w / self.expected_w


def responses(
    device: Ints,
    measured_at_ms: Ints,
    frequency_hz: Floats,
    battery_w: Floats,
    droop: Droop,
    rated_charge_w: Floats,
    rated_discharge_w: Floats,
) -> list[Response]:
    """Each device's response; those without an excursion, or without a baseline, are left out.

    The first four have shape (samples,), in any order, ``device`` an index into the ratings of
    shape (devices,). Samples whose frequency or power was not measured (NaN) count for nothing.
    """
    known = np.isfinite(frequency_hz) & np.isfinite(battery_w)
    order = np.flatnonzero(known)[np.lexsort((measured_at_ms[known], device[known]))]
    of, at_ms, power = device[order], measured_at_ms[order], battery_w[order]
    wanted = droop_w(frequency_hz[order], droop, rated_charge_w[of], rated_discharge_w[of])
    found = (_one(int(i), at_ms[of == i], wanted[of == i], power[of == i]) for i in np.unique(of))
    return [response for response in found if response is not None]


def _one(device: int, at_ms: Ints, wanted_w: Floats, power_w: Floats) -> Response | None:
    outside = wanted_w != 0
    if not outside.any():
        return None
    starts_ms = at_ms[outside][0]
    before = (at_ms < starts_ms) & (at_ms >= starts_ms - BASELINE_MS) & ~outside
    if not before.any():
        return None
    baseline = float(power_w[before].mean())
    lasts_ms = np.diff(at_ms, append=at_ms[-1] + 1000).clip(0, 5000)
    return Response(
        device=device,
        seconds=float(lasts_ms[outside].sum()) / 1000,
        baseline_w=baseline,
        expected_w=float(wanted_w[outside].mean()),
        delivered_w=float((power_w[outside] - baseline).mean()),
    )
