"""Fronius Solar API v1: power flow, storage, inverter and meter real-time data.

Fronius signs: ``P_Akku`` + = discharge and ``P_Grid`` + = import, as ours; ``P_Load`` is
negative while the home consumes. At night ``P_PV`` is null: not measured, not 0.
"""

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.normalize.document import (
    NAN,
    Times,
    at,
    not_telemetry,
    number,
    reading,
    time_ms,
)


def recognizes(document: JsonValue) -> bool:
    """Whether this is an answer of the Solar API."""
    return isinstance(at(document, "Head", "Status"), dict) and "Body" in document


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """Whichever of the real-time answers this is."""
    if not recognizes(document):
        return not_telemetry("Fronius", document)
    code = at(document, "Head", "Status", "Code")
    if code != 0:
        said = at(document, "Head", "Status", "Reason") or "no reason"
        return Rejection("device_error", f"Fronius answered with error {code}: {str(said)[:120]}.")
    data = at(document, "Body", "Data")
    measured = _power_flow(data) or _storage(data) or _inverter(data) or _meter(data)
    if measured is None:
        return not_telemetry("Fronius", data)
    return reading(times, time_ms(at(document, "Head", "Timestamp")), measured)


def _power_flow(data: JsonValue) -> dict[str, float] | None:
    site = at(data, "Site")
    if not isinstance(site, dict):
        return None
    return {
        "battery_w": number(site.get("P_Akku")),
        "grid_w": number(site.get("P_Grid")),
        "solar_w": number(site.get("P_PV")),
        "load_w": -number(site.get("P_Load")),
        "soc": number(at(data, "Inverters", "1", "SOC")) / 100,
    }


def _storage(data: JsonValue) -> dict[str, float] | None:
    controller = at(data, "Controller") or at(data, "0", "Controller")
    soc = number(at(controller, "StateOfCharge_Relative")) / 100
    if soc != soc:
        return None
    return {"soc": soc, "temperature_c": number(at(controller, "Temperature_Cell"))}


def _inverter(data: JsonValue) -> dict[str, float] | None:
    """AC power of one inverter (Scope=Device) or of all (Scope=System)."""
    if not isinstance(at(data, "PAC"), dict):
        return None
    values = at(data, "PAC", "Values")
    powers = list(values.values()) if isinstance(values, dict) else [at(data, "PAC", "Value")]
    known = [number(power) for power in powers if number(power) == number(power)]
    return {"solar_w": sum(known) if known else NAN}


def _meter(data: JsonValue) -> dict[str, float] | None:
    """The meter; ``Meter_Location_Current`` 0 = at the grid connection, 1 = on the load."""
    meter = data if at(data, "PowerReal_P_Sum") is not None else at(data, "0")
    power_w = number(at(meter, "PowerReal_P_Sum"))
    if power_w != power_w:
        return None
    on_load = at(meter, "Meter_Location_Current") == 1
    return {"load_w": -power_w} if on_load else {"grid_w": power_w}
