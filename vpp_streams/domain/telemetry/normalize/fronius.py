"""Fronius Solar API v1: power flow, storage, inverter and meter real-time data.

Fronius signs: ``P_Akku`` + = discharge and ``P_Grid`` + = import, as ours; ``P_Load`` is
negative while the home consumes. At night ``P_PV`` is null: not measured, not 0.
"""

import math

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import (
    NAN,
    at,
    items,
    not_telemetry,
    number,
    time_ms,
)

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
    measured = _power_flow(data) or _storage(data) or _inverter(data) or _meter(data)
    if measured is None:
        first = next(iter(items(data)), None)
        inner = next((d for d in (at(document, "Body"), data, first) if _known(d)), data)
        return not_telemetry("Fronius", inner, _KINDS)
    guessed = at(data, "Site", "Mode") == "vague-meter" or _inverter(data) is not None
    return checked(
        times,
        time_ms(at(document, "Head", "Timestamp")),
        measured,
        quality=Quality.ESTIMATED if guessed else Quality.OK,
    )


def _known(document: JsonValue) -> bool:
    return isinstance(document, dict) and not _KINDS.keys().isdisjoint(document)


def _power_flow(data: JsonValue) -> dict[str, float] | None:
    site = at(data, "Site")
    if not isinstance(site, dict):
        return None
    socs = [number(at(inverter, "SOC")) for inverter in items(data, "Inverters")]
    return {
        "battery_w": number(site.get("P_Akku")),
        "grid_w": number(site.get("P_Grid")),
        "solar_w": number(site.get("P_PV")),
        "load_w": 0.0 - number(site.get("P_Load")),
        "soc": next((soc / 100 for soc in socs if not math.isnan(soc)), NAN),
    }


def _storage(data: JsonValue) -> dict[str, float] | None:
    controller = at(data, "Controller") or at(data, "0", "Controller")
    soc = number(at(controller, "StateOfCharge_Relative")) / 100
    if math.isnan(soc):
        return None
    return {"soc": soc, "temperature_c": number(at(controller, "Temperature_Cell"))}


def _inverter(data: JsonValue) -> dict[str, float] | None:
    """AC power of one inverter (Scope=Device) or of all (Scope=System).

    For a hybrid inverter this includes its battery, which the answer does not show: an estimate.
    """
    if not isinstance(at(data, "PAC"), dict):
        return None
    powers = [number(power) for power in items(data, "PAC", "Values") or [at(data, "PAC", "Value")]]
    known = [power for power in powers if not math.isnan(power)]
    return {"solar_w": sum(known) if known else NAN}


def _meter(data: JsonValue) -> dict[str, float] | None:
    """The site's meter, of one (Scope=Device) or of all (Scope=System)."""
    meters = [data] if at(data, "PowerReal_P_Sum") is not None else items(data)
    for meter in meters:
        power_w = number(at(meter, "PowerReal_P_Sum"))
        location = at(meter, "Meter_Location_Current")
        if not math.isnan(power_w) and location in (_AT_GRID, _IN_LOAD_PATH):
            return {"load_w": 0.0 - power_w} if location == _IN_LOAD_PATH else {"grid_w": power_w}
    return None
