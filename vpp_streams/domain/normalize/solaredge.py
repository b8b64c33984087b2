"""SolarEdge monitoring API ``currentPowerFlow``: kW (or as ``unit`` says), all numbers >= 0.

The direction is told by ``connections``: ``{"from": "GRID", "to": "Load"}``. Written from the
public API document; no recorded answer was at hand, unlike for the other vendors.
"""

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.normalize.document import Times, at, not_telemetry, number, reading

_SCALE = {"W": 1.0, "kW": 1e3, "MW": 1e6}


def recognizes(document: JsonValue) -> bool:
    """Whether this is a ``currentPowerFlow`` answer."""
    return isinstance(at(document, "siteCurrentPowerFlow"), dict)


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """A ``currentPowerFlow`` answer."""
    if not recognizes(document):
        return not_telemetry("SolarEdge", document)
    flow = document["siteCurrentPowerFlow"]
    unit = at(flow, "unit")
    if not isinstance(unit, str) or unit not in _SCALE:
        return Rejection("bad_unit", f"The unit is {str(unit)[:20]!r}; known: W, kW, MW.")
    scale = _SCALE[unit]
    exporting = _goes(flow, to="grid")
    charging = _goes(flow, to="storage")
    grid_w = number(at(flow, "GRID", "currentPower")) * scale
    battery_w = number(at(flow, "STORAGE", "currentPower")) * scale
    return reading(
        times,
        None,
        {
            "grid_w": -grid_w if exporting else grid_w,
            "battery_w": -battery_w if charging else battery_w,
            "solar_w": number(at(flow, "PV", "currentPower")) * scale,
            "load_w": number(at(flow, "LOAD", "currentPower")) * scale,
            "soc": number(at(flow, "STORAGE", "chargeLevel")) / 100,
        },
    )


def _goes(flow: JsonValue, *, to: str) -> bool:
    connections = at(flow, "connections")
    entries = connections if isinstance(connections, list) else []
    return any(str(at(entry, "to")).lower() == to for entry in entries)
