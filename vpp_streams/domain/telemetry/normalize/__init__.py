"""Documents of devices as canonical readings: one file per vendor, one unit, one sign.

A normaliser is a pure function of a decoded document. It returns a `Reading` (with the identity
load = grid + battery + solar checked if all four are measured), or a `Rejection` with a sentence
for people. It never raises, whatever the document.
"""

from collections.abc import Callable, Mapping

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.telemetry.normalize import (
    enphase,
    fronius,
    native,
    openems,
    solaredge,
    tesla_fleet,
    tesla_gateway,
)
from vpp_streams.domain.telemetry.normalize.checked import Times
from vpp_streams.domain.telemetry.normalize.document import parse

Normalizer = Callable[[JsonValue, Times], Reading | Rejection]

_MODULES = {
    "native": native,
    "tesla_fleet": tesla_fleet,
    "tesla_gateway": tesla_gateway,
    "enphase": enphase,
    "fronius": fronius,
    "solaredge": solaredge,
    "openems": openems,
}
VENDORS: Mapping[str, Normalizer] = {name: module.normalize for name, module in _MODULES.items()}
_NAME_HINTS = {
    "enphase": ("enphase", "envoy", "ivp_", "admin_lib_", "api_v1_production"),
    "fronius": ("fronius", "solar_api"),
    "tesla_fleet": ("teslemetry", "tesla_fleet", "live_status"),
    "tesla_gateway": ("tesla_gateway", "powerwall", "api.", "system_status", "meters."),
    "solaredge": ("solaredge",),
    "openems": ("openems",),
}


def normalize(
    vendor: str, body: bytes, t_ms: int | None, interval_ms: int, received_at_ms: int
) -> Reading | Rejection:
    """The canonical reading of a vendor's document, or why there is none.

    ``t_ms`` is when the device obtained the document (None = not known); a document's own time
    takes precedence. Interval and times are in ms, UTC.
    """
    normalizer = VENDORS.get(vendor)
    if normalizer is None:
        detail = f"There is no normaliser for {vendor[:64]!r}; known: {', '.join(VENDORS)}."
        return Rejection("unknown_vendor", detail)
    document = parse(body)
    if isinstance(document, Rejection):
        return document
    return normalizer(document, Times(t_ms, interval_ms, received_at_ms))


def guess_vendor(body: bytes, filename: str = "") -> str | None:
    """The vendor whose document this resembles, else the one that its file's path hints at.

    None = neither is known.
    """
    document = parse(body)
    for name, module in _MODULES.items():
        if not isinstance(document, Rejection) and module.recognizes(document):
            return name
    path = filename.lower()
    hinted = (v for v, hints in _NAME_HINTS.items() if any(hint in path for hint in hints))
    return next(hinted, None)
