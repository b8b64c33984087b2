"""Enphase Envoy, firmware 5 to 8: ``production(.json)``, meter readings, ensemble documents.

Powers in W (``real_power_mw`` is milliwatts); storage + = discharge and net consumption + =
import, as ours. ``total-consumption`` is computed by the Envoy as net consumption plus production:
the load of a site without a battery. The document does not show whether there is one, so its load
is an estimate.
"""

import math
from collections.abc import Callable

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import (
    NAN,
    at,
    items,
    latest_ms,
    not_telemetry,
    number,
    time_ms,
    total,
)

_PRODUCTION, _NET_CONSUMPTION, _STORAGE = 704643328, 704643584, 704643840
"""Element ids of the Envoy's meters: the same on every Envoy."""
_UNCONNECTED_V = 60.0
"""A phase below this is a clamp without a conductor (it shows some volts)."""
_KINDS = {
    "devices": "the Envoy's inventory",
    "tariff": "the Envoy's tariff",
    "dry_contacts": "the Envoy's dry contacts",
    "admin_mode": "the state of the generator",
    "start_method": "the settings of the generator",
    "exercise_config": "the schedule of the generator",
    "PEL": "the Envoy's export limit",
    "pv_limit_pct": "the Envoy's limit on solar power",
    "measurementType": "the Envoy's list of meters",
    "devices:": "the Envoy's battery power, with no battery",
    "agg_soc": "the Envoy's battery state, with no battery",
    "secctrl": "the Envoy's battery state, with no battery",
    "headers": "the log of a request to the Envoy",
}


def recognizes(document: JsonValue) -> bool:
    """Whether this is one of the documents that are read here."""
    return _reader(document) is not None


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of whichever of the documents this is."""
    reader = _reader(document)
    return reader(document, times) if reader else not_telemetry("an Envoy", document, _KINDS)


def _reader(document: JsonValue) -> Callable[[JsonValue, Times], Reading | Rejection] | None:
    if items(document, "production"):
        return _production
    if at(document, "wattsNow") is not None:
        return _watts_now
    if items(document, "devices:"):
        return _batteries
    if number(at(_security(document), "Enc_max_available_capacity")) > 0:
        return _state_of_charge
    if at(document, 0, "lastReportWatts") is not None:
        return _inverters
    if at(document, 0, "activePower") is not None and at(document, 0, "eid") is not None:
        return _meters
    return None


def _production(document: JsonValue, times: Times) -> Reading | Rejection:
    """Meters (``eim``) if there are any, else the inverters' last reports."""
    meter = _of_type(document, "production", "production")
    has_meter = bool(at(meter, "activeCount"))
    source = meter if has_meter else _of_type(document, "production", "inverters")
    load_w = number(at(_of_type(document, "consumption", "total-consumption"), "wNow"))
    storage = at(document, "storage", 0)  # old AC batteries; an Envoy without any counts 0 of them
    return checked(
        times,
        time_ms(at(source, "readingTime")),
        {
            "solar_w": number(at(source, "wNow")),
            "grid_w": number(at(_of_type(document, "consumption", "net-consumption"), "wNow")),
            "load_w": load_w,
            "battery_w": number(at(storage, "wNow")) if at(storage, "activeCount") else NAN,
        },
        quality=Quality.OK if has_meter and math.isnan(load_w) else Quality.ESTIMATED,
    )


def _of_type(document: JsonValue, group: str, kind: str) -> JsonValue:
    entries = items(document, group)
    return next((e for e in entries if kind in (at(e, "measurementType"), at(e, "type"))), None)


def _meters(document: JsonValue, times: Times) -> Reading | Rejection:
    by_id = {at(entry, "eid"): entry for entry in document if isinstance(at(entry, "eid"), int)}
    grid = by_id.get(_NET_CONSUMPTION)
    return checked(
        times,
        latest_ms([at(entry, "timestamp") for entry in document]),
        {
            "solar_w": number(at(by_id.get(_PRODUCTION), "activePower")),
            "grid_w": number(at(grid, "activePower")),
            "battery_w": number(at(by_id.get(_STORAGE), "activePower")),
            "frequency_hz": number(at(grid, "freq")),
            "voltage_v": _line_to_neutral_v(grid),
        },
    )


def _line_to_neutral_v(meter: JsonValue) -> float:
    """Mean of the connected phases; the meter's own voltage is their sum on a split phase."""
    phases = [number(at(channel, "voltage")) for channel in items(meter, "channels")]
    connected = [voltage_v for voltage_v in phases if voltage_v > _UNCONNECTED_V]
    return sum(connected) / len(connected) if connected else NAN


def _batteries(document: JsonValue, times: Times) -> Reading | Rejection:
    """``ensemble/power``: the batteries are alike, so the state of charge is their mean."""
    entries = items(document, "devices:")
    return checked(
        times,
        None,
        {
            "battery_w": total([at(entry, "real_power_mw") for entry in entries]) / 1000,
            "soc": total([at(entry, "soc") for entry in entries]) / (100 * len(entries)),
        },
    )


def _state_of_charge(document: JsonValue, times: Times) -> Reading | Rejection:
    """``ensemble/secctrl``, or ``ensemble/status``, which contains it beside the mains relay."""
    relay = at(document, "relay", "mains_oper_state")
    return checked(
        times,
        None,
        {"soc": number(at(_security(document), "ENC_agg_soc")) / 100},
        islanded={"open": True, "closed": False}.get(relay) if isinstance(relay, str) else None,
    )


def _security(document: JsonValue) -> JsonValue:
    return at(document, "secctrl") or document


def _watts_now(document: JsonValue, times: Times) -> Reading | Rejection:
    solar_w = number(at(document, "wattsNow"))
    return checked(times, None, {"solar_w": solar_w}, quality=Quality.ESTIMATED)


def _inverters(document: JsonValue, times: Times) -> Reading | Rejection:
    """Each inverter's last report, up to some minutes old: an estimate."""
    return checked(
        times,
        latest_ms([at(entry, "lastReportDate") for entry in document]),
        {"solar_w": total([at(entry, "lastReportWatts") for entry in document])},
        quality=Quality.ESTIMATED,
    )
