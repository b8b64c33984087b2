"""Enphase Envoy, firmware 5 to 8: ``production(.json)``, meter readings, ensemble documents.

Powers in W (``real_power_mw`` is milliwatts); storage + = discharge and net consumption + =
import, as ours. ``total-consumption`` is computed by the Envoy as net consumption plus production:
the load of a site without a battery. The document does not show whether there is one, so its load
is an estimate. A meter that is not enabled (``activeCount`` 0) shows 0 W and is not measured. The
consumption meter may be mounted around the load instead of the grid connection; only one that shows
export is known to be at the grid.
"""

import math
from collections.abc import Callable

from edge.vendor_fields.ages import MAX_REPORT_LAG_MS, Aged, current
from edge.vendor_fields.document import NAN, at, items, number, total
from edge.vendor_fields.enphase import (
    aged_meter,
    battery_fields,
    inverter_fields,
    islanded,
    line_to_neutral_v,
    state_of_charge,
)
from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_PRODUCTION, _NET_CONSUMPTION, _STORAGE = 704643328, 704643584, 704643840
"""Element ids of the Envoy's meters: the same on every Envoy."""
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
    meter = _enabled(_of_type(document, "production", "production"))
    inverters = _enabled(_of_type(document, "production", "inverters"))
    net = _enabled(_of_type(document, "consumption", "net-consumption"))
    load = _enabled(_of_type(document, "consumption", "total-consumption"))
    # Old AC batteries: an Envoy without any counts 0 of them, and their time is not kept.
    storage = [entry for entry in items(document, "storage") if _enabled(entry) is not None]
    aged = {
        "solar_w": _now(meter) if meter else _now(inverters)._replace(max_lag_ms=MAX_REPORT_LAG_MS),
        "grid_w": _now(net),
        "load_w": _now(load),
    }
    found = current(aged)
    values, battery_w = found.values, total([at(entry, "wNow") for entry in storage])
    is_net_lost = net is not None and math.isnan(values["grid_w"])
    if storage or is_net_lost or meter is None or math.isnan(values["solar_w"]):
        values["load_w"] = NAN  # the Envoy computed it from what is not measured, or without those
    is_metered = meter is not None and math.isnan(values["load_w"]) and not storage
    return checked(
        times,
        found.time_ms,
        {**values, "battery_w": battery_w},
        quality=found.quality if is_metered else Quality.ESTIMATED,
    )


def _enabled(entry: JsonValue) -> JsonValue:
    """The entry of a meter, or None if none is enabled there."""
    return entry if number(at(entry, "activeCount")) > 0 else None


def _now(entry: JsonValue) -> Aged:
    return Aged(number(at(entry, "wNow")), at(entry, "readingTime"))


def _of_type(document: JsonValue, group: str, kind: str) -> JsonValue:
    entries = items(document, group)
    return next((e for e in entries if kind in (at(e, "measurementType"), at(e, "type"))), None)


def _meters(document: JsonValue, times: Times) -> Reading | Rejection:
    by_id = {at(entry, "eid"): entry for entry in document if isinstance(at(entry, "eid"), int)}
    grid = by_id.get(_NET_CONSUMPTION)
    aged = {
        "solar_w": aged_meter(by_id.get(_PRODUCTION)),
        "grid_w": aged_meter(grid),
        "battery_w": aged_meter(by_id.get(_STORAGE)),
    }
    found = current(aged)
    values, quality = found.values, found.quality
    if values["grid_w"] >= 0:  # the answer does not show whether the meter is around the load
        quality = Quality.ESTIMATED
    return checked(
        times,
        found.time_ms,
        {
            **values,
            "frequency_hz": number(at(grid, "freq")),
            "voltage_v": line_to_neutral_v(grid),
        },
        quality=quality,
    )


def _batteries(document: JsonValue, times: Times) -> Reading | Rejection:
    """``ensemble/power``."""
    fields = battery_fields(document)
    return checked(times, None, fields.values, quality=fields.quality)


def _state_of_charge(document: JsonValue, times: Times) -> Reading | Rejection:
    """``ensemble/secctrl``, or ``ensemble/status``, which contains it beside the mains relay."""
    return checked(
        times,
        None,
        {"soc": state_of_charge(_security(document))},
        islanded=islanded(at(document, "relay", "mains_oper_state")),
    )


def _security(document: JsonValue) -> JsonValue:
    return at(document, "secctrl") or document


def _watts_now(document: JsonValue, times: Times) -> Reading | Rejection:
    solar_w = number(at(document, "wattsNow"))
    return checked(times, None, {"solar_w": solar_w}, quality=Quality.ESTIMATED)


def _inverters(document: JsonValue, times: Times) -> Reading | Rejection:
    """``api/v1/production/inverters``."""
    fields = inverter_fields(document)
    return checked(times, fields.time_ms, fields.values, quality=fields.quality)
