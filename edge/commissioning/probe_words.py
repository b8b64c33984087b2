"""What a probe found, in words: for every driver."""

from collections.abc import Iterator

from edge.driver import Capabilities, Identity, Readings
from schemas.bodies import Quality

_UNITS = {
    "soc": "of 1",
    "frequency_hz": "Hz",
    "voltage_v": "V",
    "temperature_c": "°C",
    "islanded": "",
}


def battery_line(identity: Identity) -> str:
    """The battery's ratings in words."""
    if not identity.rated_discharge_w and not identity.rated_energy_wh:
        return "none"
    energy = (
        f"{identity.rated_energy_wh:.0f} Wh"
        if identity.rated_energy_wh
        else ("of an energy that the device does not tell; set energy_wh in [driver]")
    )
    if not identity.rated_discharge_w:
        return f"{energy}, of a power that the device does not tell"
    return (
        f"{energy}, charges with {identity.rated_charge_w:.0f} W at most,"
        f" discharges with {identity.rated_discharge_w:.0f} W"
    )


def reading_lines(readings: Readings) -> Iterator[str]:
    """A line for each reading."""
    if not readings:
        yield "  nothing that is known"
    for each in readings:
        note = " (derived, not measured)" if each.quality is Quality.ESTIMATED else ""
        value = (
            f"{each.value:.0f} W"
            if each.quantity.endswith("_w")
            else (f"{each.value:g} {_UNITS[each.quantity]}".strip())
        )
        yield f"  {each.quantity}: {value}{note}"


def command_line(can: Capabilities, *, limits: bool = False) -> str:
    """Whether it can be commanded, and if not, why. ``limits``: its power can be limited."""
    if can.commandable:
        return "It can be commanded: its own timer ends a power that was set."
    if can.set_power:
        return "It has no state of charge or battery power to read: the home is measured only."
    if limits:
        return (
            "It can be limited (model 123), and no power of a battery can be set: the home is"
            " measured only."
        )
    return "It has no power setting with a timer of its own: the home is measured only."
