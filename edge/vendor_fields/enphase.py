"""Enphase Envoy (IQ Gateway): meters, batteries and microinverters.

Powers in W (``real_power_mw`` is milliwatts); storage + = discharge and net consumption + = import,
as ours. A clamp without a conductor shows some volts and is not measured.
"""

import math

from edge.vendor_fields.ages import MAX_REPORT_LAG_MS, Aged, current
from edge.vendor_fields.batteries import joint_soc
from edge.vendor_fields.document import NAN, at, items, number, total
from edge.vendor_fields.fields import Fields
from schemas.bodies import JsonValue, Quality

_UNCONNECTED_V = 60.0
"""A phase below this is a clamp without a conductor (it shows some volts)."""
_AC_BATTERY = 11
"""``devType`` of an AC Battery, which reports among the microinverters."""
_RELAY = {"open": True, "closed": False}


def aged_meter(meter: JsonValue) -> Aged:
    """The power of a meter; empty if it has no voltage, so that none is connected."""
    is_connected = not number(at(meter, "voltage")) < _UNCONNECTED_V
    power_w = number(at(meter, "activePower"))
    return Aged(power_w if is_connected else NAN, at(meter, "timestamp"))


def line_to_neutral_v(meter: JsonValue) -> float:
    """Mean of the connected phases; the meter's own voltage is their sum on a split phase."""
    phases = [number(at(channel, "voltage")) for channel in items(meter, "channels")]
    connected = [voltage_v for voltage_v in phases if voltage_v > _UNCONNECTED_V]
    return sum(connected) / len(connected) if connected else NAN


def battery_fields(document: JsonValue) -> Fields:
    """The fields of ``ensemble/power``: batteries without their capacities."""
    entries = items(document, "devices:")
    soc, quality = joint_soc([number(at(entry, "soc")) / 100 for entry in entries])
    battery_w = total([at(entry, "real_power_mw") for entry in entries]) / 1000
    return Fields(
        {"battery_w": battery_w, "soc": soc},
        estimated=set() if quality is Quality.OK else {"soc"},
    )


def state_of_charge(security: JsonValue) -> float:
    """The state of charge in ``ensemble/secctrl``, 0..1; NaN if there is no battery."""
    has_battery = number(at(security, "Enc_max_available_capacity")) > 0
    return number(at(security, "ENC_agg_soc")) / 100 if has_battery else NAN


def islanded(relay_state: JsonValue) -> bool | None:
    """Whether the site is off the grid by the state of its mains relay; None = not known."""
    return _RELAY.get(relay_state) if isinstance(relay_state, str) else None


def inverter_fields(document: list[JsonValue]) -> Fields:
    """The sum of each inverter's last report, up to some minutes old: an estimate.

    An inverter that no longer reports while others do is off, and is not part of the sum.
    """
    aged = {
        str(i): Aged(
            number(at(entry, "lastReportWatts")), at(entry, "lastReportDate"), MAX_REPORT_LAG_MS
        )
        for i, entry in enumerate(document)
        if at(entry, "devType") != _AC_BATTERY
    }
    found = current(aged)
    is_known = not any(math.isnan(one.value) for one in aged.values())
    powers = [power_w for power_w in found.values.values() if not math.isnan(power_w)]
    solar_w = total(powers) if is_known else NAN
    return Fields({"solar_w": solar_w}, found.time_ms, {"solar_w"})
