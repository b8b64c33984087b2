"""Fronius Solar API v1: power flow, storage, inverter and meter real-time data.

Fronius signs: ``P_Akku`` + = discharge and ``P_Grid`` + = import, as ours; ``P_Load`` is
negative while the home consumes. At night ``P_PV`` is null: not measured, not 0. Without a meter
(``Mode``), grid and load are estimates (``vague-meter``) or not measured (``produce-only``).
"""

import math
from typing import NamedTuple

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.ages import Aged, current
from vpp_streams.domain.telemetry.normalize.batteries import joint_soc
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import (
    NAN,
    at,
    items,
    not_telemetry,
    number,
    time_ms,
    total,
)

_AT_GRID, _IN_LOAD_PATH = 0, 1
"""``Meter_Location_Current``; other values are meters behind these two."""
_METERED = ("meter", "bidirectional")
_NOT_METERED = "produce-only"
_KINDS = {
    "APIVersion": "the version of the Solar API",
    "LoggerInfo": "the data logger's details",
    "PowerLED": "the data logger's lights",
    "Inverter": "the list of the system's devices",
    "DeviceStatus": "an inverter's energy counters and state",
    "UAC_L1": "an inverter's voltages and currents",
    "UniqueID": "the details of the inverters",
    "CodeOfState": "an Ohmpilot's state",
}


class _Found(NamedTuple):
    """What one answer has."""

    measured: dict[str, float]
    quality: Quality = Quality.OK


def recognizes(document: JsonValue) -> bool:
    """Whether this is an answer of the Solar API."""
    return isinstance(at(document, "Head", "Status"), dict) and "Body" in document


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of whichever of the real-time answers this is."""
    if not recognizes(document):
        return not_telemetry("Fronius", document, _KINDS)
    status = at(document, "Head", "Status")
    if status.get("Code") != 0:
        message = f"{status.get('Reason') or 'no reason given'}"[:120].rstrip(".")
        return Rejection("device_error", f"The device answered with an error: {message}.")
    data = at(document, "Body", "Data")
    head = at(document, "Head", "Timestamp")
    found = _power_flow(data) or _storage(data, head) or _inverter(data) or _meter(data, head)
    if found is None:
        first = next(iter(items(data)), None)
        inner = next((d for d in (at(document, "Body"), data, first) if _known(d)), data)
        return not_telemetry("Fronius", inner, _KINDS)
    return checked(times, time_ms(head), found.measured, quality=found.quality)


def _known(document: JsonValue) -> bool:
    return isinstance(document, dict) and not _KINDS.keys().isdisjoint(document)


def _power_flow(data: JsonValue) -> _Found | None:
    site = at(data, "Site")
    if not isinstance(site, dict):
        return None
    socs = [number(at(inverter, "SOC")) / 100 for inverter in items(data, "Inverters")]
    soc, quality = joint_soc([soc for soc in socs if not math.isnan(soc)])
    mode = site.get("Mode")
    is_metered = mode != _NOT_METERED
    return _Found(
        {
            "battery_w": number(site.get("P_Akku")),
            "grid_w": number(site.get("P_Grid")) if is_metered else NAN,
            "solar_w": number(site.get("P_PV")),
            "load_w": 0.0 - number(site.get("P_Load")) if is_metered else NAN,
            "soc": soc,
        },
        quality if mode in (*_METERED, _NOT_METERED) else Quality.ESTIMATED,
    )


def _storage(data: JsonValue, head: JsonValue) -> _Found | None:
    """The storage controller, of one (Scope=Device) or of all (Scope=System) that are enabled."""
    entries = [data] if at(data, "Controller") else items(data)
    controllers = [at(entry, "Controller") for entry in entries]
    controllers = [one for one in controllers if isinstance(one, dict) and one.get("Enable") != 0]
    if not controllers:
        return None
    aged = {
        str(i): Aged(number(one.get("StateOfCharge_Relative")) / 100, one.get("TimeStamp"))
        for i, one in enumerate(controllers)
    }
    socs, _, age_quality = current(aged, head)
    capacities = [number(one.get("Capacity_Maximum")) for one in controllers]
    soc, quality = joint_soc(list(socs.values()), capacities)
    temperature_c = number(controllers[0].get("Temperature_Cell"))
    measured = {"soc": soc, "temperature_c": NAN if math.isnan(soc) else temperature_c}
    return _Found(measured, max(quality, age_quality))


def _inverter(data: JsonValue) -> _Found | None:
    """AC power of one inverter (Scope=Device) or of all (Scope=System).

    For a hybrid inverter this includes its battery, which the answer does not show: an estimate.
    """
    if not isinstance(at(data, "PAC"), dict):
        return None
    powers = items(data, "PAC", "Values") or [at(data, "PAC", "Value")]
    return _Found({"solar_w": total(powers)}, Quality.ESTIMATED)


def _meter(data: JsonValue, head: JsonValue) -> _Found | None:
    """The site's meter, of one (Scope=Device) or of all (Scope=System) that are enabled."""
    meters = [data] if at(data, "PowerReal_P_Sum") is not None else items(data)
    for meter in meters:
        power_w = number(at(meter, "PowerReal_P_Sum"))
        location = at(meter, "Meter_Location_Current")
        if math.isnan(power_w) or at(meter, "Enable") == 0:
            continue
        if location in (_AT_GRID, _IN_LOAD_PATH):
            name, sign = ("load_w", -1.0) if location == _IN_LOAD_PATH else ("grid_w", 1.0)
            found = current({name: Aged(sign * power_w, at(meter, "TimeStamp"))}, head)
            return _Found(found.values, found.quality)
    return None
