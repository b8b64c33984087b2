"""Tesla fleet API ``live_status`` (and Teslemetry, which passes it on).

Powers in W with our signs; ``percentage_charged`` is on the app's scale, 0..100. A site without a
battery has no battery fields, or a pack energy of 0. While Tesla's servers do not reach a site,
they answer with 0 for everything, which is not a measurement.
"""

import math

from edge.vendor_fields.document import NAN, at, number, time_ms
from schemas.telemetry import JsonValue, Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.checked import Times, checked
from vpp_streams.domain.telemetry.normalize.document import not_telemetry

_POWERS = {
    "battery_w": "battery_power",
    "grid_w": "grid_power",
    "solar_w": "solar_power",
    "load_w": "load_power",
}
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
    fields = (*_POWERS.values(), "percentage_charged")
    return isinstance(body, dict) and not body.keys().isdisjoint(fields)


def normalize(document: JsonValue, times: Times) -> Reading | Rejection:
    """The reading of a ``live_status`` answer. A generator's power counts as import."""
    body = _unwrapped(document)
    if not recognizes(document):
        return not_telemetry("the Tesla fleet API", body, _KINDS)
    if _is_unreached(body):
        detail = "Every power and the pack energy are 0: Tesla did not reach the site."
        return Rejection("no_measurement", detail)
    powers = {name: number(at(body, field)) for name, field in _POWERS.items()}
    generator_w = number(at(body, "generator_power"))
    powers["grid_w"] += generator_w if generator_w > 0 else 0.0
    soc, quality = number(at(body, "percentage_charged")) / 100, Quality.OK
    if number(at(body, "total_pack_energy")) == 0:  # there is no battery, or it is not reached
        soc = NAN
        if powers["battery_w"] == 0:
            powers["battery_w"] = NAN
        elif not math.isnan(powers["battery_w"]):
            quality = Quality.ESTIMATED
    status = at(body, "island_status")
    return checked(
        times,
        time_ms(at(body, "timestamp")),
        {**powers, "soc": soc},
        islanded=_ISLANDED.get(status) if isinstance(status, str) else None,
        quality=quality,
    )


def _is_unreached(body: JsonValue) -> bool:
    """Whether every power is exactly 0, those of load and grid included, and no pack is known.

    The grid status is not used: a home never takes exactly 0 W from a grid that it is connected to.
    """
    powers = [number(at(body, field)) for field in (*_POWERS.values(), "generator_power")]
    known = [power_w for power_w in powers if not math.isnan(power_w)]
    _, grid_w, _, load_w, _ = powers
    has_pack = number(at(body, "total_pack_energy")) > 0
    return not has_pack and not any(known) and (grid_w == 0 or load_w == 0)


def _unwrapped(document: JsonValue) -> JsonValue:
    return at(document, "response") or document
