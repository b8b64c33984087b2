"""From measured values to a `Reading`: the rules for all vendors' and native readings.

- Nothing measured, a power beyond 1 GW, a state of charge outside 0..1, or an impossible time:
  a `Rejection`.
- Solar and load are never negative. Within the balance tolerance, a negative value is an inverter's
  standby or meters read a moment apart, and becomes 0; beyond, it becomes NaN with quality bad.
- If only the load is not measured, it is computed; quality estimated.
- If the identity is off by more than its tolerance, quality is bad and the values are kept.
- A frequency, voltage or temperature outside the range of such a meter becomes NaN (not measured).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.vendor_fields.document import EARLIEST_MS
from schemas.telemetry import Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.balance import (
    POWERS,
    balance_error_w,
    balance_tolerance_w,
)

NAN = math.nan
MAX_POWER_W = 1e9
"""Largest possible power of a site, W: more is a wrong unit or a broken meter."""
SOC_SLACK = 0.02
"""A state of charge this far outside 0..1 is rounding and is clamped; more is rejected."""
MAX_AHEAD_MS = 600_000
"""How far a device's clock may be ahead of the gateway's, ms."""

PLAIN_RANGE: Mapping[str, tuple[float, float]] = {
    "battery_w": (-MAX_POWER_W, MAX_POWER_W),
    "grid_w": (-MAX_POWER_W, MAX_POWER_W),
    "solar_w": (0.0, MAX_POWER_W),
    "load_w": (0.0, MAX_POWER_W),
    "soc": (0.0, 1.0),
    "frequency_hz": (30.0, 80.0),
    "voltage_v": (20.0, 50_000.0),
    "temperature_c": (-60.0, 150.0),
}
"""Measured fields of a reading, each with the range in which a value is kept as it is."""
_SECONDARY = ("frequency_hz", "voltage_v", "temperature_c")


@dataclass(frozen=True, slots=True)
class Times:
    """The known times of a document besides its own; ms, UTC."""

    t_ms: int | None
    """When the device obtained the document; None = not known."""
    interval_ms: int
    received_at_ms: int


def checked(
    times: Times,
    own_time_ms: int | None,
    measured: Mapping[str, float],
    *,
    islanded: bool | None = None,
    quality: Quality = Quality.OK,
) -> Reading | Rejection:
    """The reading of the measured values, or why there is none.

    ``own_time_ms`` is the document's own time (None = it has none) and takes precedence over
    ``times.t_ms``; if both are missing, the received time is used, with quality estimated.
    ``measured`` has fields of `PLAIN_RANGE` in their units; those left out are not measured.
    ``quality`` is the best that the reading can have.
    """
    values = {name: measured.get(name, NAN) for name in PLAIN_RANGE}
    measured_at_ms = own_time_ms if own_time_ms is not None else times.t_ms
    if measured_at_ms is None:
        measured_at_ms, quality = times.received_at_ms, max(quality, Quality.ESTIMATED)
    refused = _bad_time(measured_at_ms, times.received_at_ms) or _refused(values)
    if refused:
        return refused
    quality = max(quality, _correct(values))
    error_w = balance_error_w(*(values[name] for name in POWERS))
    if abs(error_w) > _tolerance_w(values):
        quality = Quality.BAD
    return Reading(
        measured_at_ms=measured_at_ms,
        interval_ms=times.interval_ms,
        islanded=-1 if islanded is None else int(islanded),
        quality=quality,
        balance_error_w=error_w,
        **values,
    )


def _bad_time(measured_at_ms: int, received_at_ms: int) -> Rejection | None:
    if measured_at_ms < EARLIEST_MS:
        detail = f"It was measured at {_utc(measured_at_ms)}: the device's clock was never set."
        return Rejection("bad_time", detail)
    ahead_ms = measured_at_ms - received_at_ms
    if ahead_ms > MAX_AHEAD_MS:
        detail = (
            f"It was measured at {_utc(measured_at_ms)}, {ahead_ms / 1000:.0f} s after it was "
            f"received; a device's clock may run ahead by {MAX_AHEAD_MS // 1000} s."
        )
        return Rejection("bad_time", detail)
    return None


def _utc(at_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms since 1970"


def _refused(values: Mapping[str, float]) -> Rejection | None:
    if all(math.isnan(values[name]) for name in (*POWERS, "soc")):
        return Rejection("no_measurement", "No power and no state of charge is measured.")
    for name in POWERS:
        if abs(values[name]) > MAX_POWER_W:
            detail = f"The {name.removesuffix('_w')} power is {values[name]:g} W, beyond 1 GW."
            return Rejection("absurd_value", detail)
    if not is_soc(values["soc"]):
        detail = f"The state of charge is {values['soc']:.4g}, outside 0..1."
        return Rejection("absurd_value", detail)
    return None


def _correct(values: dict[str, float]) -> Quality:
    """Correct what is a little outside its range; what is further outside is not measured."""
    values["soc"] = clamped_soc(values["soc"])
    for name in _SECONDARY:
        low, high = PLAIN_RANGE[name]
        values[name] = values[name] if low <= values[name] <= high else NAN
    return _complete(values)


def _complete(values: dict[str, float]) -> Quality:
    """Correct powers that cannot be negative, and compute the load if only it is missing."""
    quality = not_negative(values, "solar_w")
    if math.isnan(values["load_w"]):
        values["load_w"] = values["grid_w"] + values["battery_w"] + values["solar_w"]
        if not math.isnan(values["load_w"]):
            quality = max(quality, Quality.ESTIMATED)
    return max(quality, not_negative(values, "load_w"))


def not_negative(values: dict[str, float], name: str) -> Quality:
    """Correct a power that cannot be negative: standby becomes 0, more becomes NaN and bad."""
    if not values[name] < 0:
        return Quality.OK
    if values[name] >= -_tolerance_w(values):
        values[name] = 0.0
        return Quality.OK
    values[name] = NAN
    return Quality.BAD


def is_soc(soc: float) -> bool:
    """Whether it is a state of charge, rounding included, or not measured."""
    return math.isnan(soc) or -SOC_SLACK <= soc <= 1 + SOC_SLACK


def clamped_soc(soc: float) -> float:
    """A state of charge limited to 0..1."""
    return soc if math.isnan(soc) else min(max(soc, 0.0), 1.0)


def _tolerance_w(values: Mapping[str, float]) -> float:
    return balance_tolerance_w(*(values.get(name, NAN) for name in POWERS))
