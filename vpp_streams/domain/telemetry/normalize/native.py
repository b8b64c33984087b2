"""The native body: already in canonical signs and units, checked like any other.

It defines the result of a native reading. The canonicaliser takes a short cut for plain readings,
which must give the same result (a test compares the two).
"""

import math

import msgspec

from schemas.telemetry import JsonValue, NativeBody, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked


def recognizes(document: JsonValue) -> bool:
    """Whether this resembles a native body."""
    return isinstance(document, dict) and "t" in document and bool(document.keys() & _MEASURED)


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of a decoded document that should be a `NativeBody`."""
    try:
        body = msgspec.convert(document, NativeBody)
    except msgspec.ValidationError as error:
        return Rejection("bad_line", f"The body does not fit: {error}.")
    return of_body(body, times.received_at_ms)


def of_body(body: NativeBody, received_at_ms: int) -> Reading | Rejection:
    """The reading of a native body, with its own time and interval."""
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
