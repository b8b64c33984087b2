"""Reading vendor documents without trusting them: numbers, paths, times, and the final checks."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas.telemetry import JsonValue, Quality, Reading, Rejection

NAN = math.nan
MAX_POWER_W = 1e9
"""Above, no site can be meant: a unit error or a broken meter."""
SOC_SLACK = 0.02
"""A state of charge this far outside 0..1 is rounding and is clamped; more is rejected."""
MIN_BALANCE_W = 50.0
BALANCE_SHARE = 0.05
"""load = grid + battery + solar must hold within the larger of 50 W and 5 % of the largest power:
meters of one site are read up to a second apart and are each 1-2 % instruments."""
MEASURED_EARLIEST_MS = 946_684_800_000
"""2000-01-01: an older time is a clock that was never set."""
MEASURED_AHEAD_MS = 600_000
"""A device clock may run ahead of the gateway's by this much."""


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of a document's time besides what it says itself; ms, UTC."""

    t_ms: int | None
    interval_ms: int
    received_at_ms: int


def at(document: JsonValue, *path: str | int) -> Any:
    """The value at a path of keys and indexes; None where there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def number(value: JsonValue) -> float:
    """A finite number, else NaN (null, text, bool, out of range)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NAN
    try:
        result = float(value)
    except OverflowError:
        return NAN
    return result if math.isfinite(result) else NAN


def frequency_hz(value: JsonValue) -> float:
    """A grid frequency; vendors send 0 for not measured."""
    hz = number(value)
    return hz if hz > 0 else NAN


def time_ms(value: JsonValue) -> int | None:
    """An ISO 8601 text or Unix seconds as ms; None where it is neither or was never set."""
    if isinstance(value, str):
        try:
            stamp = datetime.fromisoformat(_six_digits(value))
        except ValueError:
            return None
        if stamp.year < 2000:
            return None
        return int((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp() * 1000)
    seconds = number(value)
    ms = seconds * 1000
    return int(ms) if MEASURED_EARLIEST_MS <= ms <= 253_402_300_799_000 else None


def _six_digits(text: str) -> str:
    """Cut nanoseconds to the microseconds that Python reads."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"


def reading(
    times: Times,
    own_time_ms: int | None,
    measured: dict[str, float],
    *,
    islanded: bool | None = None,
    quality: Quality = Quality.OK,
) -> Reading | Rejection:
    """A checked reading: its time chosen, absurd values refused, the identity looked at.

    ``measured`` holds fields of `Reading` in their units; those left out are not measured.
    """
    measured = dict.fromkeys((*POWERS, "soc"), NAN) | measured
    measured_at_ms = own_time_ms if own_time_ms is not None else times.t_ms
    if measured_at_ms is None:
        measured_at_ms, quality = times.received_at_ms, max(quality, Quality.ESTIMATED)
    if all(math.isnan(measured[n]) for n in (*POWERS, "soc")):
        return Rejection("no_measurement", "Every power and the state of charge is empty.")
    for name in POWERS:
        if abs(measured[name]) > MAX_POWER_W:
            return Rejection("absurd_value", f"{name} is {measured[name]:g} W: no site does that.")
    soc = measured["soc"]
    if soc < -SOC_SLACK or soc > 1 + SOC_SLACK:
        return Rejection("absurd_value", f"The state of charge is {soc:.3g}, outside 0..1.")
    if not math.isnan(soc):
        measured["soc"] = min(max(soc, 0.0), 1.0)
    for name in ("solar_w", "load_w"):
        if measured[name] < 0:
            # A few watts are an inverter's standby; more is a meter that is wired the wrong way.
            if measured[name] < -MIN_BALANCE_W:
                quality = Quality.BAD
            measured[name] = 0.0
    error_w = balance_error_w(*(measured[name] for name in POWERS))
    if abs(error_w) > balance_tolerance_w(*(measured[name] for name in POWERS)):
        quality = Quality.BAD
    return Reading(
        measured_at_ms=measured_at_ms,
        interval_ms=times.interval_ms,
        islanded=-1 if islanded is None else int(islanded),
        quality=quality,
        balance_error_w=error_w,
        **measured,
    )


POWERS = ("battery_w", "grid_w", "solar_w", "load_w")


def balance_error_w(battery_w: float, grid_w: float, solar_w: float, load_w: float) -> float:
    """load - (grid + battery + solar), W; NaN where one of them is not measured."""
    return load_w - (grid_w + battery_w + solar_w)


def balance_tolerance_w(*powers_w: float) -> float:
    """How far the identity may be off before the reading is called bad."""
    return max(MIN_BALANCE_W, BALANCE_SHARE * max(abs(p) for p in powers_w))


def not_telemetry(vendor: str, document: JsonValue) -> Rejection:
    """The answer to a document that holds no power: say what it looks like."""
    if isinstance(document, dict) and document:
        keys = ", ".join(str(key)[:40] for key in list(document)[:6])
        what = f"it has {keys}{', …' if len(document) > 6 else ''}"
    elif isinstance(document, list) and document and isinstance(document[0], dict):
        keys = ", ".join(str(key)[:40] for key in list(document[0])[:6])
        what = f"it is a list whose first entry has {keys or 'nothing'}"
    elif isinstance(document, list) and document:
        what = "it is a list of values"
    elif isinstance(document, dict | list):
        what = "it is empty"
    else:
        what = f"it is {str(document)[:60]!r}"
    return Rejection("not_telemetry", f"This {vendor} document has no telemetry: {what}.")
