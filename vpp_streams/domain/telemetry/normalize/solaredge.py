"""SolarEdge monitoring API ``currentPowerFlow`` and ``overview``.

``currentPowerFlow`` has powers without signs in the unit that it names; ``connections`` has their
direction: ``{"from": "GRID", "to": "Load"}``. Written from the public API document: no recorded
answer was available, unlike for the other vendors.
"""

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import at, items, not_telemetry, number

_WATTS = {"W": 1.0, "kW": 1e3, "MW": 1e6}
_KINDS = {
    "sites": "a list of sites",
    "energy": "an energy history (Wh by interval)",
    "powerDetails": "a power history by meter",
    "Inventory": "the site's inventory",
    "details": "the site's details",
}


def recognizes(document: JsonValue) -> bool:
    """Whether this is one of the two answers that are read here."""
    flow, now = at(document, "siteCurrentPowerFlow"), at(document, "overview", "currentPower")
    return isinstance(flow, dict) or isinstance(now, dict)


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of whichever of the two answers this is."""
    if not recognizes(document):
        return not_telemetry("SolarEdge", document, _KINDS)
    flow = at(document, "siteCurrentPowerFlow")
    return _overview(document, times) if flow is None else _power_flow(flow, times)


def _overview(document: JsonValue, times: Times) -> Reading | Rejection:
    """Solar power in W, up to 15 min old. Its time is the site's local one, without a zone, so the
    time at which the device obtained the document is used.
    """
    solar_w = number(at(document, "overview", "currentPower", "power"))
    return checked(times, None, {"solar_w": solar_w}, quality=Quality.ESTIMATED)


def _power_flow(flow: JsonValue, times: Times) -> Reading | Rejection:
    unit = at(flow, "unit")
    if not isinstance(unit, str) or unit not in _WATTS:
        return Rejection("bad_unit", f"The unit is {str(unit)[:20]!r}; known: {', '.join(_WATTS)}.")

    def power_w(name: str) -> float:
        return number(at(flow, name, "currentPower")) * _WATTS[unit]

    return checked(
        times,
        None,
        {
            "grid_w": power_w("GRID") * (-1 if _flows_to(flow, "grid") else 1),
            "battery_w": power_w("STORAGE") * (-1 if _flows_to(flow, "storage") else 1),
            "solar_w": power_w("PV"),
            "load_w": power_w("LOAD"),
            "soc": number(at(flow, "STORAGE", "chargeLevel")) / 100,
        },
    )


def _flows_to(flow: JsonValue, end: str) -> bool:
    return any(str(at(c, "to")).lower() == end for c in items(flow, "connections"))
