"""Tesla's local gateway API: ``meters/*``, ``system_status``, ``system_status/soe``.

Powers in W, battery + = discharge, site + = import, as ours. A frequency of 0 is not measured,
and a time in the year 1 was never set. ``soe`` and the pack's energies are on the gateway's raw
scale, whose lowest 5 % is withheld; the app, and we, show ``(raw - 5 %) / 95 %``. A device may send
several documents merged into one object, ``percentage`` beside the meters. The gateway computes the
load from the other meters, and repeats the last value of a meter that it no longer reaches.
"""

import math

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.ages import Aged, Current, current
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import (
    NAN,
    at,
    items,
    not_telemetry,
    number,
    total,
)

_METERS = {"battery_w": "battery", "grid_w": "site", "solar_w": "solar", "load_w": "load"}
_LOCATIONS = {"site": "grid_w", "solar": "solar_w"}
_ISLANDED = {
    "SystemGridConnected": False,
    "SystemTransitionToIsland": False,
    "SystemIslandedActive": True,
    "SystemIslandedReady": True,
    "SystemTransitionToGrid": True,
}
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
        or at(_blocks(document), "battery_blocks") is not None
        or at(document, 0, "Cached_readings") is not None
    )


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of one document, or of several merged into one."""
    if not recognizes(document):
        return not_telemetry("a Tesla gateway", document, _KINDS)
    if at(document, 0, "Cached_readings") is not None:
        return _meters(document, times)
    document = _blocks(document)
    powers, time_ms, quality = _powers(document)
    if math.isnan(powers["battery_w"]):
        # Each block reports its own power, and they are read one after another.
        powers["battery_w"] = total([at(block, "p_out") for block in _packs(document)])
        if not math.isnan(powers["battery_w"]):
            quality = Quality.ESTIMATED
    return checked(
        times,
        time_ms,
        {
            **powers,
            "soc": _soc(document),
            "frequency_hz": _frequency_hz(document),
            "voltage_v": _line_to_neutral_v(at(document, "site", "instant_average_voltage")),
        },
        islanded=_islanded(document),
        quality=quality,
    )


def _powers(document: JsonValue) -> Current:
    """The meters' powers that are measured now, in W.

    With a meter that is not read now, the load that the gateway computed from its last value is not
    known either. If everything is exactly 0, the gateway has read none of its meters yet.
    """
    meters = {name: at(document, meter) for name, meter in _METERS.items()}
    aged = {name: _aged(meter) for name, meter in meters.items()}
    if aged["grid_w"].value == 0 == aged["load_w"].value and not any(
        one.value for one in aged.values() if not math.isnan(one.value)
    ):
        return current({name: Aged(NAN, None) for name in aged})
    found = current(aged)
    lost = [one.value for name, one in aged.items() if math.isnan(found.values[name])]
    if any(value for value in lost if not math.isnan(value)):
        found.values["load_w"] = NAN
    return found


def _aged(meter: JsonValue) -> Aged:
    """The power of a meter; empty if no meter is installed there."""
    power_w = NAN if at(meter, "num_meters_aggregated") == 0 else number(at(meter, "instant_power"))
    return Aged(power_w, at(meter, "last_communication_time"))


def _meters(document: JsonValue, times: Times) -> Reading | Rejection:
    """``meters/site`` or ``meters/solar``: the meters mounted at one place."""
    name = _LOCATIONS.get(str(at(document, 0, "location")))
    if name is None:
        return not_telemetry("a Tesla gateway", document, {})
    cached = [at(meter, "Cached_readings") for meter in items(document)]
    found = current({str(i): _aged(reading) for i, reading in enumerate(cached)})
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


def _blocks(document: JsonValue) -> JsonValue:
    """A bare list of battery blocks as the ``system_status`` that would contain it."""
    if at(document, 0, "nominal_full_pack_energy") is not None:
        return {"battery_blocks": document}
    return document


def _packs(document: JsonValue) -> list[JsonValue]:
    """The battery blocks in service: a disabled one reports no power (null), and why."""
    blocks = items(document, "battery_blocks")
    return [
        block
        for block in blocks
        if at(block, "p_out") is not None or not at(block, "disabled_reasons")
    ]


def _soc(document: JsonValue) -> float:
    full = at(document, "nominal_full_pack_energy")
    raw = number(at(document, "percentage")) / 100
    if raw == 0 == full:
        return NAN  # the gateway does not reach its packs
    if math.isnan(raw):
        packs = [document] if full else _packs(document)
        full_wh = [number(at(pack, "nominal_full_pack_energy")) for pack in packs]
        left_wh = total([at(pack, "nominal_energy_remaining") for pack in packs])
        raw = left_wh / sum(full_wh) if full_wh and all(wh > 0 for wh in full_wh) else NAN
    # Raw values in the reserve below the app's 0 % are possible, and count as empty.
    return max((raw - 0.05) / 0.95, 0.0) if 0 <= raw < 0.05 else (raw - 0.05) / 0.95


def _frequency_hz(document: JsonValue) -> float:
    """Frequency of the site meter, else of the battery inverter, Hz; NaN if neither is measured."""
    site_hz = number(at(document, "site", "frequency"))
    return site_hz if site_hz > 0 else number(at(document, "battery", "frequency"))


def _line_to_neutral_v(value: JsonValue) -> float:
    """Split-phase gateways report sqrt(3) times the line to neutral (211 V for 122 V) or the value
    itself, so it is believed only near 120 V and 230 V.
    """
    voltage_v = number(value)
    return voltage_v if 100 <= voltage_v <= 140 or 219 <= voltage_v <= 260 else NAN


def _islanded(document: JsonValue) -> bool | None:
    status = at(document, "grid_status") or at(document, "system_island_state")
    return _ISLANDED.get(status) if isinstance(status, str) else None
