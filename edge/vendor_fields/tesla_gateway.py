"""Tesla's gateway in the home's network: ``meters/aggregates``, ``system_status`` and ``soe``.

Powers in W, battery + = discharge, site + = import, as ours. A frequency of 0 is not measured,
and a time in the year 1 was never set. ``soe`` and the pack's energies are on the gateway's raw
scale, whose lowest 5 % is withheld; the app, and we, show ``(raw - 5 %) / 95 %``. The gateway
computes the load from the other meters, and repeats the last value of a meter that it no longer
reaches.
"""

import math
from dataclasses import replace

from edge.vendor_fields.ages import Aged, current
from edge.vendor_fields.document import NAN, at, items, number, total
from edge.vendor_fields.fields import Fields
from schemas.bodies import JsonValue

WITHHELD = 0.05
"""Share of the battery that the gateway counts and nobody can use."""
_METERS = {"battery_w": "battery", "grid_w": "site", "solar_w": "solar", "load_w": "load"}
ISLANDED = {
    "SystemGridConnected": False,
    "SystemTransitionToIsland": False,
    "SystemIslandedActive": True,
    "SystemIslandedReady": True,
    "SystemTransitionToGrid": True,
}


def fields_of(document: JsonValue) -> Fields:
    """The fields of one document, or of several merged into one object."""
    document = blocks_of(document)
    found = _powers(document)
    if math.isnan(found.values["battery_w"]):
        # Each block reports its own power, and they are read one after another.
        found.values["battery_w"] = total([at(block, "p_out") for block in _packs(document)])
        if not math.isnan(found.values["battery_w"]):
            found.estimated.add("battery_w")
    found.values["soc"] = NAN if _starts(document) else _soc(document)
    found.values["frequency_hz"] = _frequency_hz(document)
    found.values["voltage_v"] = _line_to_neutral_v(at(document, "site", "instant_average_voltage"))
    return replace(found, islanded=_islanded(document))


def _starts(document: JsonValue) -> bool:
    """Whether the gateway shows 0 for everything, as it does while it starts."""
    aged = _aged_powers(document)
    return number(at(document, "percentage")) == 0 and _all_zero(aged)


def _powers(document: JsonValue) -> Fields:
    """The meters' powers that are measured now, in W.

    With a meter that is not read now, the load that the gateway computed from its last value is not
    known either. If everything is exactly 0, the gateway has read none of its meters yet.
    """
    aged = _aged_powers(document)
    if _all_zero(aged):
        return current({name: Aged(NAN, None) for name in aged})
    found = current(aged)
    lost = [one.value for name, one in aged.items() if math.isnan(found.values[name])]
    if any(value for value in lost if not math.isnan(value)):
        found.values["load_w"] = NAN
    return found


def _aged_powers(document: JsonValue) -> dict[str, Aged]:
    return {name: aged_meter(at(document, meter)) for name, meter in _METERS.items()}


def _all_zero(aged: dict[str, Aged]) -> bool:
    known = [one.value for one in aged.values() if not math.isnan(one.value)]
    return aged["grid_w"].value == 0 == aged["load_w"].value and not any(known)


def aged_meter(meter: JsonValue) -> Aged:
    """The power of a meter; empty if no meter is installed there."""
    power_w = NAN if at(meter, "num_meters_aggregated") == 0 else number(at(meter, "instant_power"))
    return Aged(power_w, at(meter, "last_communication_time"))


def blocks_of(document: JsonValue) -> JsonValue:
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
    soc = (raw - WITHHELD) / (1 - WITHHELD)
    # Raw values in the reserve below the app's 0 % are possible, and count as empty.
    return max(soc, 0.0) if raw >= 0 else soc


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
    return ISLANDED.get(status) if isinstance(status, str) else None
