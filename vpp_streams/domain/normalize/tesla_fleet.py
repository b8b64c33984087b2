"""Tesla fleet API ``live_status`` (and Teslemetry, which passes it on).

Powers in W with our signs; ``percentage_charged`` is on the app's scale, 0..100.
"""

from schemas.telemetry import JsonValue, Reading, Rejection
from vpp_streams.domain.normalize.document import (
    Times,
    at,
    not_telemetry,
    number,
    reading,
    time_ms,
)


def recognizes(document: JsonValue) -> bool:
    """Whether this is a ``live_status`` answer, with or without its ``response`` wrapper."""
    body = at(document, "response") or document
    return at(body, "percentage_charged") is not None and at(body, "grid_power") is not None


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """A ``live_status`` answer. A generator's power counts as import: the site draws on it."""
    if not recognizes(document):
        return not_telemetry("Tesla fleet", document)
    body = at(document, "response") or document
    generator_w = number(at(body, "generator_power"))
    return reading(
        times,
        time_ms(at(body, "timestamp")),
        {
            "battery_w": number(at(body, "battery_power")),
            "grid_w": number(at(body, "grid_power")) + (generator_w if generator_w > 0 else 0.0),
            "solar_w": number(at(body, "solar_power")),
            "load_w": number(at(body, "load_power")),
            "soc": number(at(body, "percentage_charged")) / 100,
        },
        islanded=_islanded(at(body, "island_status")),
    )


def _islanded(status: JsonValue) -> bool | None:
    return status.startswith("off_grid") if isinstance(status, str) else None
