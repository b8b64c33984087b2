"""What the documents of an IQ Gateway say together.

Each alone leaves something open: the meters' readings do not show what a meter is mounted around,
and the batteries' powers have no time. ``ivp/meters`` says which meters there are and whether they
are in order; the inventory says whether the batteries report.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from edge.vendor_fields.ages import MAX_REPORT_LAG_MS, current
from edge.vendor_fields.document import NAN, at, items, latest_ms, number, time_ms
from edge.vendor_fields.enphase import (
    aged_meter,
    battery_fields,
    inverter_fields,
    islanded,
    line_to_neutral_v,
    state_of_charge,
)
from edge.vendor_fields.fields import Fields

_METERS = {
    "production": "solar_w",
    "net-consumption": "grid_w",
    "total-consumption": "load_w",
    "storage": "battery_w",
}
_BY_PLACE = ("net-consumption", "total-consumption", "production", "storage")
"""The meters from the grid inwards: the first one has the site's frequency and voltage."""
_OTHER_SOLAR = "pv3p"
"""The meter of another maker's panels, which the production meter does not include."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The gateway's answers, by path; None = there is none, or none that is new enough."""

    meters: Any = None
    """``/ivp/meters``"""
    readings: Any = None
    """``/ivp/meters/readings``"""
    power: Any = None
    """``/ivp/ensemble/power``"""
    security: Any = None
    """``/ivp/ensemble/secctrl``"""
    inventory: Any = None
    """``/ivp/ensemble/inventory``"""
    inverters: Any = None
    """``/api/v1/production/inverters``"""


def meters_in_order(meters: Any) -> dict[str, Any]:
    """The entry of each kind of meter that is enabled and in order, by its kind."""
    entries = [entry for entry in items(meters) if at(entry, "state") == "enabled"]
    kinds = [at(entry, "measurementType") for entry in entries]
    return {
        kind: entry
        for kind, entry in zip(kinds, entries, strict=True)
        if isinstance(kind, str)
        and kinds.count(kind) == 1
        and at(entry, "meteringStatus") == "normal"
    }


def has_batteries(inventory: Any) -> bool:
    """Whether IQ Batteries are installed."""
    return bool(_devices(inventory, "ENCHARGE"))


def capacity_wh(documents: Documents) -> float:
    """Usable energy of the IQ Batteries; 0 = there are none, or it is not told."""
    wh = number(at(documents.security, "Enc_max_available_capacity"))
    return wh if wh > 0 else 0.0


def fields_of(documents: Documents) -> Fields:
    """Everything that is measured now.

    The sum of the batteries' own reports has no time and lags behind a meter: an estimate. So are
    the load behind a meter at the grid, and the grid behind a meter around the load.
    """
    meters = meters_in_order(documents.meters)
    by_id = {at(entry, "eid"): entry for entry in items(documents.readings) if _has_id(entry)}
    readings = {k: by_id.get(at(m, "eid")) for k, m in meters.items() if _has_id(m)}
    found = current({name: aged_meter(readings.get(kind)) for kind, name in _METERS.items()})
    values = found.values
    if _lost_a_phase(meters.get("storage"), readings.get("storage")):
        values["battery_w"] = NAN
    newest_ms = found.time_ms or latest_ms([at(e, "last_rpt_date") for e in _all(documents)])
    if _OTHER_SOLAR in _enabled_kinds(documents.meters):
        values["solar_w"] = NAN
    elif "production" not in _enabled_kinds(documents.meters):
        values["solar_w"] = inverter_fields(items(documents.inverters)).values["solar_w"]
        found.estimated.add("solar_w")
    _add_batteries(found, documents, newest_ms)
    _add_derived(found, meters, has_no_battery=_has_no_battery(documents))
    seen = next((readings[k] for k in _BY_PLACE if k in readings and _is_read(found, k)), None)
    values["frequency_hz"] = number(at(seen, "freq"))
    values["voltage_v"] = line_to_neutral_v(seen)
    return replace(found, islanded=_islanded(documents, newest_ms))


def _add_batteries(found: Fields, documents: Documents, newest_ms: int | None) -> None:
    """State of charge, and the power where there is no meter for it."""
    batteries = _devices(documents.inventory, "ENCHARGE")
    report = bool(batteries) and all(_reports(each, newest_ms) for each in batteries)
    whole = _has_no_ac_battery(documents.security)
    found.values["soc"] = state_of_charge(documents.security) if report and whole else NAN
    if "storage" in _enabled_kinds(documents.meters):
        return
    entries = items(documents.power, "devices:")
    if report and whole and len(entries) == len(batteries):
        found.values["battery_w"] = battery_fields(documents.power).values["battery_w"]
        found.estimated.add("battery_w")


def _add_derived(found: Fields, meters: dict[str, Any], *, has_no_battery: bool) -> None:
    """The load by the meter at the grid, or the grid by the meter around the load."""
    values = found.values
    battery_w = 0.0 if has_no_battery else values["battery_w"]
    if "net-consumption" in meters:
        values["load_w"] = values["grid_w"] + values["solar_w"] + battery_w
        found.estimated.add("load_w")
    elif "total-consumption" in meters:
        values["grid_w"] = values["load_w"] - values["solar_w"] - battery_w
        found.estimated.add("grid_w")


def _has_no_battery(documents: Documents) -> bool:
    """Whether it is known that there is none of any kind."""
    known = isinstance(documents.inventory, list) and _has_no_ac_battery(documents.security)
    batteries = has_batteries(documents.inventory) or capacity_wh(documents) > 0
    return known and not batteries and "storage" not in _enabled_kinds(documents.meters)


def _has_no_ac_battery(security: Any) -> bool:
    """Whether all of the energy is in IQ Batteries. The older AC Batteries report hours late."""
    all_wh = number(at(security, "Max_energy"))
    return all_wh == number(at(security, "Enc_max_available_capacity"))


def _reports(device: Any, newest_ms: int | None) -> bool:
    """Whether a battery or relay is reached, and has reported of late."""
    at_ms = time_ms(at(device, "last_rpt_date"))
    if at(device, "communicating") is not True or at_ms is None or newest_ms is None:
        return False
    return newest_ms - at_ms <= MAX_REPORT_LAG_MS


def _islanded(documents: Documents, newest_ms: int | None) -> bool | None:
    relays = _devices(documents.inventory, "ENPOWER")
    if len(relays) != 1 or not _reports(relays[0], newest_ms):
        return None
    return islanded(at(relays[0], "mains_oper_state"))


def _lost_a_phase(meter: Any, reading: Any) -> bool:
    """Whether the total is of one phase of two: firmware 8.3.6 shows 0 for the other at times."""
    if at(meter, "phaseCount") != 2:
        return False
    channels = items(reading, "channels")[:2]
    counted = [
        number(at(channel, "actEnergyDlvd")) != 0 or number(at(channel, "actEnergyRcvd")) != 0
        for channel in channels
    ]
    return len(counted) == 2 and counted[0] != counted[1]


def _is_read(found: Fields, kind: str) -> bool:
    """Whether this meter's own power is measured now."""
    name = _METERS[kind]
    return not math.isnan(found.values[name]) and name not in found.estimated


def _enabled_kinds(meters: Any) -> set[str]:
    kinds = [at(e, "measurementType") for e in items(meters) if at(e, "state") == "enabled"]
    return {kind for kind in kinds if isinstance(kind, str)}


def _devices(inventory: Any, kind: str) -> list[Any]:
    groups = [group for group in items(inventory) if at(group, "type") == kind]
    return [device for group in groups for device in items(group, "devices")]


def _all(documents: Documents) -> list[Any]:
    return [d for group in items(documents.inventory) for d in items(group, "devices")]


def _has_id(entry: Any) -> bool:
    return isinstance(at(entry, "eid"), int)
