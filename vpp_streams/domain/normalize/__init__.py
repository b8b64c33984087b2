"""Vendor documents to canonical readings: one file a vendor, one unit, one sign.

A normaliser is a pure function of a decoded document. It answers with a `Reading` (the
identity load = grid + battery + solar checked where all four are measured), or with a
`Rejection` that a person understands. It never raises on any document.
"""

import math
from collections.abc import Callable, Mapping

import msgspec

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.normalize import enphase, fronius, solaredge, tesla_fleet, tesla_gateway
from vpp_streams.domain.normalize.document import Times

Normalizer = Callable[[JsonValue, Times], Reading | Rejection]

VENDORS: Mapping[str, Normalizer] = {
    "tesla_gateway": tesla_gateway.normalize,
    "tesla_fleet": tesla_fleet.normalize,
    "enphase": enphase.normalize,
    "fronius": fronius.normalize,
    "solaredge": solaredge.normalize,
}
_RECOGNIZERS: Mapping[str, Callable[[JsonValue], bool]] = {
    "tesla_fleet": tesla_fleet.recognizes,
    "tesla_gateway": tesla_gateway.recognizes,
    "enphase": enphase.recognizes,
    "fronius": fronius.recognizes,
    "solaredge": solaredge.recognizes,
}


def normalize(
    vendor: str, body: bytes, t_ms: int | None, interval_ms: int, received_at_ms: int
) -> Reading | Rejection:
    """What a vendor's document says, canonically.

    ``t_ms`` is when the device took the document (None = not said); a document's own time
    comes first. Interval and times in ms, UTC.
    """
    normalizer = VENDORS.get(vendor)
    if normalizer is None:
        known = ", ".join(VENDORS)
        return Rejection(
            "unknown_vendor", f"There is no normaliser for {vendor!r}; known: {known}."
        )
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return Rejection("bad_json", f"The document is not JSON: {error}.")
    if isinstance(document, float) and not math.isfinite(document):
        return Rejection("bad_json", "The document is a number without a value.")
    return normalizer(document, Times(t_ms, interval_ms, received_at_ms))


def guess_vendor(body: bytes) -> str | None:
    """The vendor whose document this looks like; None = none that we know."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return next((name for name, knows in _RECOGNIZERS.items() if knows(document)), None)
