"""Enphase Envoy, firmware 5 to 8: ``production(.json)``, meter readings, ensemble documents.

Powers in W (``real_power_mw`` is milliwatts), battery + = discharge, net consumption + =
import, as ours. ``total-consumption`` is what the Envoy computes as net consumption plus
production: the load of a site without a battery. The document does not say whether there is
one, so such a reading is an estimate.
"""

from typing import Any

from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.normalize.document import (
    NAN,
    Times,
    at,
    frequency_hz,
    not_telemetry,
    number,
    reading,
    time_ms,
)

_PRODUCTION, _CONSUMPTION, _STORAGE = 704643328, 704643584, 704643840
"""Element ids of the Envoy's meters: the same on every Envoy."""


def recognizes(document: JsonValue) -> bool:
    """Whether this is one of the documents that we read."""
    return _reader(document) is not None


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """Whichever of the documents this is."""
    reader = _reader(document)
    return reader(document, times) if reader else not_telemetry("Enphase", document)


def _reader(document: JsonValue) -> Any:
    if isinstance(at(document, "production"), list):
        return _production
    if at(document, "wattsNow") is not None:
        return _watts_now
    if isinstance(at(document, "devices:"), list) and document["devices:"]:
        return _batteries
    if number(at(document, "Enc_max_available_capacity")) > 0:
        return _state_of_charge
    if at(document, 0, "lastReportWatts") is not None:
        return _inverters
    if at(document, 0, "activePower") is not None and at(document, 0, "eid") is not None:
        return _meters
    return None


def _production(document: JsonValue, times: Times) -> Reading | Rejection:
    """Meters (``eim``) where there are some, else what the inverters last told."""
    metered = _find(document["production"], "production")
    inverters = _find(document["production"], "inverters")
    net = _find(at(document, "consumption"), "net-consumption")
    total = _find(at(document, "consumption"), "total-consumption")
    has_meter = bool(at(metered, "activeCount"))
    source = metered if has_meter else inverters
    voltage_v = number(at(net, "rmsVoltage"))
    return reading(
        times,
        time_ms(at(source, "readingTime")),
        {
            "solar_w": number(at(source, "wNow")),
            "grid_w": number(at(net, "wNow")),
            "load_w": number(at(total, "wNow")),
            "battery_w": _storage_w(document),
            "voltage_v": voltage_v if voltage_v > 0 else NAN,
        },
        quality=Quality.ESTIMATED if total or not has_meter else Quality.OK,
    )


def _storage_w(document: JsonValue) -> float:
    """Old AC batteries; an Envoy without any lists one with ``activeCount`` 0."""
    entry = at(document, "storage", 0)
    return number(at(entry, "wNow")) if at(entry, "activeCount") else NAN


def _find(entries: JsonValue, kind: str) -> JsonValue:
    for entry in entries if isinstance(entries, list) else []:
        if kind in (at(entry, "measurementType"), at(entry, "type")):
            return entry
    return None


def _meters(document: JsonValue, times: Times) -> Reading | Rejection:
    by_id = {at(entry, "eid"): entry for entry in document if isinstance(at(entry, "eid"), int)}
    grid = by_id.get(_CONSUMPTION)
    voltage_v = number(at(grid, "voltage"))
    return reading(
        times,
        time_ms(at(document, 0, "timestamp")),
        {
            "solar_w": number(at(by_id.get(_PRODUCTION), "activePower")),
            "grid_w": number(at(grid, "activePower")),
            "battery_w": number(at(by_id.get(_STORAGE), "activePower")),
            "frequency_hz": frequency_hz(at(grid, "freq")),
            "voltage_v": voltage_v if voltage_v > 0 else NAN,
        },
    )


def _batteries(document: JsonValue, times: Times) -> Reading | Rejection:
    entries = document["devices:"]
    powers = [number(at(entry, "real_power_mw")) / 1000 for entry in entries]
    socs = [number(at(entry, "soc")) / 100 for entry in entries]
    return reading(times, None, {"battery_w": sum(powers), "soc": sum(socs) / len(socs)})


def _state_of_charge(document: JsonValue, times: Times) -> Reading | Rejection:
    return reading(times, None, {"soc": number(at(document, "ENC_agg_soc")) / 100})


def _watts_now(document: JsonValue, times: Times) -> Reading | Rejection:
    return reading(
        times, None, {"solar_w": number(at(document, "wattsNow"))}, quality=Quality.ESTIMATED
    )


def _inverters(document: JsonValue, times: Times) -> Reading | Rejection:
    """Each inverter's last report, up to some minutes old: an estimate."""
    stamps = [time_ms(at(entry, "lastReportDate")) for entry in document]
    return reading(
        times,
        max((stamp for stamp in stamps if stamp is not None), default=None),
        {"solar_w": sum(number(at(entry, "lastReportWatts")) for entry in document)},
        quality=Quality.ESTIMATED,
    )
