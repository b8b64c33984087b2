"""Fronius Solar API v1: power flow, storage, inverter and meter real-time data.

`edge.vendor_fields.fronius` has the power flow. In the other answers ``PowerReal_P_Sum`` of a meter
in the load path is negative while the home consumes.
"""

import math

from edge.vendor_fields.ages import Aged, current
from edge.vendor_fields.batteries import joint_soc
from edge.vendor_fields.document import NAN, at, items, number, time_ms, total
from edge.vendor_fields.fields import Fields
from edge.vendor_fields.fronius import power_flow
from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_AT_GRID, _IN_LOAD_PATH = 0, 1
"""``Meter_Location_Current``; other values are meters behind these two."""
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
    found = power_flow(data) or _storage(data, head) or _inverter(data) or _meter(data, head)
    if found is None:
        first = next(iter(items(data)), None)
        inner = next((d for d in (at(document, "Body"), data, first) if _known(d)), data)
        return not_telemetry("Fronius", inner, _KINDS)
    return checked(times, time_ms(head), found.values, quality=found.quality)


def _known(document: JsonValue) -> bool:
    return isinstance(document, dict) and not _KINDS.keys().isdisjoint(document)


def _storage(data: JsonValue, head: JsonValue) -> Fields | None:
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
    found = current(aged, head)
    capacities = [number(one.get("Capacity_Maximum")) for one in controllers]
    soc, quality = joint_soc(list(found.values.values()), capacities)
    temperature_c = number(controllers[0].get("Temperature_Cell"))
    is_estimate = quality is not Quality.OK or found.estimated
    return Fields(
        {"soc": soc, "temperature_c": NAN if math.isnan(soc) else temperature_c},
        estimated={"soc"} if is_estimate else set(),
    )


def _inverter(data: JsonValue) -> Fields | None:
    """AC power of one inverter (Scope=Device) or of all (Scope=System).

    For a hybrid inverter this includes its battery, which the answer does not show: an estimate.
    """
    if not isinstance(at(data, "PAC"), dict):
        return None
    powers = items(data, "PAC", "Values") or [at(data, "PAC", "Value")]
    return Fields({"solar_w": total(powers)}, estimated={"solar_w"})


def _meter(data: JsonValue, head: JsonValue) -> Fields | None:
    """The site's meter, of one (Scope=Device) or of all (Scope=System) that are enabled."""
    meters = [data] if at(data, "PowerReal_P_Sum") is not None else items(data)
    for meter in meters:
        power_w = number(at(meter, "PowerReal_P_Sum"))
        location = at(meter, "Meter_Location_Current")
        if math.isnan(power_w) or at(meter, "Enable") == 0:
            continue
        if location in (_AT_GRID, _IN_LOAD_PATH):
            name, sign = ("load_w", -1.0) if location == _IN_LOAD_PATH else ("grid_w", 1.0)
            return current({name: Aged(sign * power_w, at(meter, "TimeStamp"))}, head)
    return None
