"""Tesla's local gateway API: ``meters/aggregates``, ``meters/site``, ``system_status(/soe)``.

Powers in W: battery + = discharge, site + = import, as ours. A frequency of 0 is not measured.
``soe`` is on the gateway's raw scale, of which the lowest 5 % is kept back; the app, and we,
show ``(raw - 5) / 95``. A device may send several documents merged into one object, with
``percentage`` beside the meters.
"""

from schemas.telemetry import JsonValue, Reading, Rejection
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

_METERS = {"battery_w": "battery", "grid_w": "site", "solar_w": "solar", "load_w": "load"}


def recognizes(document: JsonValue) -> bool:
    """Whether this looks like one of the documents above."""
    return (
        at(document, "site", "instant_power") is not None
        or at(document, "percentage") is not None
        or at(document, "nominal_full_pack_energy") is not None
        or at(document, 0, "Cached_readings", "instant_power") is not None
    )


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """One document, or several merged into one."""
    if not recognizes(document):
        return not_telemetry("Tesla gateway", document)
    if isinstance(document, list):
        return _meter(document[0], times)
    powers = {name: number(at(document, m, "instant_power")) for name, m in _METERS.items()}
    stamps = [time_ms(at(document, m, "last_communication_time")) for m in _METERS.values()]
    voltage_v = number(at(document, "site", "instant_average_voltage"))
    return reading(
        times,
        max((stamp for stamp in stamps if stamp is not None), default=None),
        {
            **powers,
            "soc": _soc(document),
            "frequency_hz": _frequency_hz(document),
            "voltage_v": voltage_v if voltage_v > 0 else NAN,
        },
        islanded=_islanded(document),
    )


def _meter(meter: JsonValue, times: Times) -> Reading | Rejection:
    """One meter of ``meters/site`` or ``meters/solar``, by where it is mounted."""
    cached = at(meter, "Cached_readings")
    name = {"site": "grid_w", "solar": "solar_w"}.get(str(at(meter, "location")))
    if name is None:
        return not_telemetry("Tesla gateway", meter)
    return reading(
        times,
        time_ms(at(cached, "last_communication_time")),
        {
            name: number(at(cached, "instant_power")),
            "frequency_hz": frequency_hz(at(cached, "frequency")),
        },
    )


def _frequency_hz(document: JsonValue) -> float:
    """The site meter's, else the battery inverter's."""
    hz = frequency_hz(at(document, "site", "frequency"))
    return hz if hz == hz else frequency_hz(at(document, "battery", "frequency"))


def _soc(document: JsonValue) -> float:
    raw_percent = number(at(document, "percentage"))
    if raw_percent == raw_percent:
        return max((raw_percent - 5) / 95, 0.0) if 0 <= raw_percent <= 100 else raw_percent / 100
    full_wh = number(at(document, "nominal_full_pack_energy"))
    left_wh = number(at(document, "nominal_energy_remaining"))
    return max((left_wh / full_wh - 0.05) / 0.95, 0.0) if full_wh > 0 else NAN


def _islanded(document: JsonValue) -> bool | None:
    status = at(document, "grid_status") or at(document, "system_island_state")
    if not isinstance(status, str):
        return None
    return "Island" in status
