"""Tesla's local gateway API: ``meters/*``, ``system_status``, ``system_status/soe``.

`edge.vendor_fields.tesla_gateway` has the fields' meanings. A device may send several documents
merged into one object, ``percentage`` beside the meters.
"""

from edge.vendor_fields.ages import current
from edge.vendor_fields.document import at, items, number, total
from edge.vendor_fields.tesla_gateway import aged_meter, blocks_of, fields_of
from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_LOCATIONS = {"site": "grid_w", "solar": "solar_w"}
_KINDS = {
    "grid_status": "the gateway's grid status",
    "real_mode": "the gateway's operation mode",
    "powerwalls": "the gateway's list of Powerwalls",
    "is_on_grid": "the state of the gateway's Powerwalls",
    "phase_detection_last_error": "the state of the gateway's Powerwalls",
    "grid_code": "the site's settings",
    "site_name": "the site's name",
    "up_time_seconds": "the gateway's version and uptime",
    "connected_to_tesla": "the state of the gateway's site master",
    "network_name": "the gateway's list of networks",
    "dnp3": "the gateway's network protocols",
    "serial": "the gateway's list of meters",
    "real_power_scale_factor": "the settings of a meter",
    "power_rating_watts": "the gateway's list of solar inverters",
    "registered": "the owner's registration",
    "company": "the installer's details",
    "vin": "the gateway's name",
    "generators": "the gateway's list of generators",
    "offline_updating": "the state of the gateway's firmware update",
    "problems": "the gateway's list of problems",
    "ct1": "the settings of a meter",
    "checks": "the result of a test of the gateway's network",
    "meter_results": "the result of a test of the gateway",
    "island_mode": "the gateway's island mode",
    "toggle_auth_supported": "a setting of the gateway's log-in",
    "have_gridcode": "the state of the gateway's set-up",
}


def recognizes(document: JsonValue) -> bool:
    """Whether this resembles one of the documents that are read here."""
    return (
        at(document, "site", "instant_power") is not None
        or at(document, "percentage") is not None
        or at(blocks_of(document), "battery_blocks") is not None
        or at(document, 0, "Cached_readings") is not None
    )


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of one document, or of several merged into one."""
    if not recognizes(document):
        return not_telemetry("a Tesla gateway", document, _KINDS)
    if at(document, 0, "Cached_readings") is not None:
        return _meters(document, times)
    fields = fields_of(document)
    return checked(
        times, fields.time_ms, fields.values, islanded=fields.islanded, quality=fields.quality
    )


def _meters(document: JsonValue, times: Times) -> Reading | Rejection:
    """``meters/site`` or ``meters/solar``: the meters mounted at one place."""
    name = _LOCATIONS.get(str(at(document, 0, "location")))
    if name is None:
        return not_telemetry("a Tesla gateway", document, {})
    cached = [at(meter, "Cached_readings") for meter in items(document)]
    found = current({str(i): aged_meter(reading) for i, reading in enumerate(cached)})
    return checked(
        times,
        found.time_ms,
        {
            name: total(list(found.values.values())),
            "frequency_hz": number(at(cached, 0, "frequency")),
            "voltage_v": number(at(cached, 0, "v_l1n")),
        },
        quality=found.quality,
    )
