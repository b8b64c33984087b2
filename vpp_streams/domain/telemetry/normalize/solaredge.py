"""SolarEdge monitoring API ``currentPowerFlow`` and ``overview``.

``currentPowerFlow`` has powers without signs in the unit that it names; ``connections`` has their
direction: ``{"from": "GRID", "to": "Load"}``. The battery's status reports its direction too. A
power whose direction is not reported is empty, and so is what is disabled. Written from the public
API document: no recorded answer was available, unlike for the other vendors.
"""

from edge.vendor_fields.document import NAN, at, items, number
from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_WATTS = {"W": 1.0, "kW": 1e3, "MW": 1e6}
_STORAGE_SIGNS = {"charging": -1.0, "discharging": 1.0}
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
        return _value(flow, name, "currentPower") * _WATTS[unit]

    return checked(
        times,
        None,
        {
            "grid_w": _signed_w(power_w("GRID"), _signs(flow, "grid")),
            "battery_w": _signed_w(
                power_w("STORAGE"), _signs(flow, "storage") | _storage_signs(flow)
            ),
            "solar_w": power_w("PV"),
            "load_w": power_w("LOAD"),
            "soc": _value(flow, "STORAGE", "chargeLevel") / 100,
        },
    )


def _value(flow: JsonValue, name: str, key: str) -> float:
    """A value of a component; NaN if there is none, or if it is disabled.

    A disabled component shows 0, so that a 0 without a status is not measured either.
    """
    status = str(at(flow, name, "status") or "").lower()
    value = number(at(flow, name, key))
    is_open = status in ("", "n/a") and value == 0
    return NAN if is_open or status == "disabled" else value


def _signed_w(power_w: float, signs: set[float]) -> float:
    """A power with its direction, W; NaN if that is not reported, or both directions are."""
    if power_w == 0:
        return 0.0
    return power_w * next(iter(signs)) if len(signs) == 1 else NAN


def _signs(flow: JsonValue, end: str) -> set[float]:
    """The directions of the connections at one end: 1 = from it, -1 = to it."""
    connections = items(flow, "connections")
    directions = (("from", 1.0), ("to", -1.0))
    return {sign for key, sign in directions for c in connections if str(at(c, key)).lower() == end}


def _storage_signs(flow: JsonValue) -> set[float]:
    sign = _STORAGE_SIGNS.get(str(at(flow, "STORAGE", "status")).lower())
    return set() if sign is None else {sign}
