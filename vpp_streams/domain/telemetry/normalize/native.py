"""The native body: canonical signs and units already, checked like any other.

The definition of what becomes of a native reading. The canonicaliser takes a short cut for
plain readings, which must come out the same (a test compares the two).
"""

import math

import msgspec

from schemas.telemetry import JsonValue, NativeBody, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked


def recognizes(document: JsonValue) -> bool:
    """Whether this looks like a native body."""
    return isinstance(document, dict) and "t" in document and bool(document.keys() & _MEASURED)


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """A decoded document that should be a `NativeBody`."""
    try:
        body = msgspec.convert(document, NativeBody)
    except msgspec.ValidationError as error:
        return Rejection("bad_line", f"The body does not fit: {error}.")
    return of_body(body, times.received_at_ms)


def of_body(body: NativeBody, received_at_ms: int) -> Reading | Rejection:
    """A native body. Its own time and interval count."""
    measured = {field: _known(getattr(body, key)) for key, field in _FIELDS.items()}
    times = Times(body.t, body.iv, received_at_ms)
    return checked(times, None, measured, islanded=body.isl)


def _known(value: float | None) -> float:
    return math.nan if value is None else value


_FIELDS = {
    "p": "battery_w",
    "g": "grid_w",
    "pv": "solar_w",
    "l": "load_w",
    "soc": "soc",
    "hz": "frequency_hz",
    "v": "voltage_v",
    "tc": "temperature_c",
}
_MEASURED = frozenset(("p", "g", "pv", "l", "soc"))
