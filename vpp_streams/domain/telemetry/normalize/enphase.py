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

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.ages import MAX_REPORT_LAG_MS, Aged, current
from vpp_streams.domain.telemetry.normalize.batteries import joint_soc
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import (
    NAN,
    at,
    items,
    not_telemetry,
    number,
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
        "solar_w": _metered(by_id.get(_PRODUCTION)),
        "grid_w": _metered(grid),
        "battery_w": _metered(by_id.get(_STORAGE)),
    }
    values, time_ms, quality = current(aged)
    if values["grid_w"] >= 0:  # the answer does not show whether the meter is around the load
        quality = Quality.ESTIMATED
    return checked(
        times,
        time_ms,
        {
            **values,
            "frequency_hz": number(at(grid, "freq")),
            "voltage_v": _line_to_neutral_v(grid),
        },
        quality=quality,
    )


def _metered(meter: JsonValue) -> Aged:
    """The power of a meter; empty if it has no voltage, so that none is connected."""
    is_connected = not number(at(meter, "voltage")) < _UNCONNECTED_V
    power_w = number(at(meter, "activePower"))
    return Aged(power_w if is_connected else NAN, at(meter, "timestamp"))


def _line_to_neutral_v(meter: JsonValue) -> float:
    """Mean of the connected phases; the meter's own voltage is their sum on a split phase."""
    phases = [number(at(channel, "voltage")) for channel in items(meter, "channels")]
    connected = [voltage_v for voltage_v in phases if voltage_v > _UNCONNECTED_V]
    return sum(connected) / len(connected) if connected else NAN


def _batteries(document: JsonValue, times: Times) -> Reading | Rejection:
    """``ensemble/power``: batteries without their capacities."""
    entries = items(document, "devices:")
    soc, quality = joint_soc([number(at(entry, "soc")) / 100 for entry in entries])
    battery_w = total([at(entry, "real_power_mw") for entry in entries]) / 1000
    return checked(times, None, {"battery_w": battery_w, "soc": soc}, quality=quality)


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
    """Each inverter's last report, up to some minutes old: an estimate.

    An inverter that no longer reports while others do is off, and is not part of the sum.
    """
    aged = {
        str(i): Aged(
            number(at(entry, "lastReportWatts")), at(entry, "lastReportDate"), MAX_REPORT_LAG_MS
        )
        for i, entry in enumerate(document)
    }
    found = current(aged)
    is_known = not any(math.isnan(one.value) for one in aged.values())
    powers = [power_w for power_w in found.values.values() if not math.isnan(power_w)]
    return checked(
        times,
        found.time_ms,
        {"solar_w": total(powers) if is_known else NAN},
        quality=Quality.ESTIMATED,
    )
