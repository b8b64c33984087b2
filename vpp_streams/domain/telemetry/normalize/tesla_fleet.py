"""Tesla fleet API ``live_status`` (and Teslemetry, which passes it on).

Powers in W with our signs; ``percentage_charged`` is on the app's scale, 0..100.
"""

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import at, not_telemetry, number, time_ms

_KINDS = {
    "time_series": "an energy history (Wh by interval)",
    "default_real_mode": "the site's settings",
    "utility": "a tariff",
}
_ISLANDED = {
    "on_grid": False,
    "off_grid": True,
    "off_grid_intentional": True,
    "off_grid_unintentional": True,
}


def recognizes(document: JsonValue) -> bool:
    """Whether this is a ``live_status`` answer, with or without its ``response`` wrapper."""
    body = _unwrapped(document)
    return at(body, "battery_power") is not None and at(body, "grid_power") is not None


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of a ``live_status`` answer. A generator's power counts as import."""
    body = _unwrapped(document)
    if not recognizes(document):
        return not_telemetry("the Tesla fleet API", body, _KINDS)
    generator_w = number(at(body, "generator_power"))
    status = at(body, "island_status")
    return checked(
        times,
        time_ms(at(body, "timestamp")),
        {
            "battery_w": number(at(body, "battery_power")),
            "grid_w": number(at(body, "grid_power")) + (generator_w if generator_w > 0 else 0.0),
            "solar_w": number(at(body, "solar_power")),
            "load_w": number(at(body, "load_power")),
            "soc": number(at(body, "percentage_charged")) / 100,
        },
        islanded=_ISLANDED.get(status) if isinstance(status, str) else None,
    )


def _unwrapped(document: JsonValue) -> JsonValue:
    return at(document, "response") or document
