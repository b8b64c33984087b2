"""``vpp edge probe``: what is at an address, what it reads, and whether its signs fit each other.

Nothing is written to the device.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from edge.commissioning.probe_words import battery_line, command_line, reading_lines
from edge.driver import Capabilities, DriverError, Identity, Readings
from edge.drivers.sunspec import Options, SunSpec, driver
from edge.drivers.sunspec_map import Place, name_of
from edge.drivers.sunspec_quantities import Powers, powers_of, readings_of
from edge.drivers.sunspec_signs import Sign, battery_sign, meter_sign
from schemas.bodies import Quality

SAMPLES, PAUSE_S = 5, 1.0
_LIMITS = 123
"""The model that limits an inverter's power; no command of the cloud needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a device said. ``powers`` are samples with the meter taken as + = import."""

    where: str
    identity: Identity
    places: tuple[Place, ...]
    can: Capabilities
    readings: Readings
    powers: tuple[Powers, ...]


def is_consistent(found: Found) -> bool:
    """Whether nothing that was read contradicts the signs that the driver assumes."""
    return not {meter_sign(found.powers), battery_sign(found.powers)} & {"reversed", "neither"}


def report_of(found: Found) -> list[str]:
    """What was found, a line each."""
    identity = found.identity
    return [
        f"{found.where}: {identity.model}, firmware {identity.firmware or 'not told'}",
        *(f"  model {each.model_id}: {name_of(each.model_id)}" for each in found.places),
        f"Battery: {battery_line(identity)}",
        "It reads now:",
        *(reading_lines(found.readings)),
        *_balance_lines(found),
        command_line(found.can, limits=any(each.model_id == _LIMITS for each in found.places)),
    ]


def _balance_lines(found: Found) -> Iterator[str]:
    last = found.powers[-1]
    if last.grid_w is None:
        yield "There is no meter at the grid connection: no grid power, no load."
    elif last.ac_w is None:
        yield "The inverter's AC power is not known, so that the meter's sign cannot be checked."
    else:
        yield _METER[meter_sign(found.powers)].format(
            ac=last.ac_w, meter=last.grid_w, imports=last.ac_w + last.grid_w,
            exports=last.ac_w - last.grid_w,
        )  # fmt: skip
    if last.battery_quality is Quality.OK and None not in (last.ac_w, last.solar_w, last.battery_w):
        yield _BATTERY[battery_sign(found.powers)].format(
            ac=last.ac_w, solar=last.solar_w, battery=last.battery_w
        )


_METER: dict[Sign, str] = {
    "as assumed": "The meter counts + = import: with {ac:.0f} W out of the inverter and {meter:.0f}"
    " W at the meter the household takes {imports:.0f} W; the other sign would leave it"
    " {exports:.0f} W.",
    "reversed": "The meter counts + = export: with {ac:.0f} W out of the inverter and {meter:.0f} W"
    ' at the meter the household takes {exports:.0f} W. Set meter = "export" in [driver].',
    "open": "The meter's sign does not show now: with {ac:.0f} W out of the inverter and"
    " {meter:.0f} W at the meter the household takes {imports:.0f} W if it counts + = import, or"
    " {exports:.0f} W if + = export. Probe again at night, or while the battery charges from the"
    " grid: then one of them is negative.",
    "neither": "The balance does not hold with either sign: {ac:.0f} W out of the inverter and"
    " {meter:.0f} W at the meter. The meter is not at the grid connection, or another generator is"
    " behind it.",
}
_BATTERY: dict[Sign, str] = {
    "as assumed": "AC power {ac:.0f} W is solar {solar:.0f} W plus battery {battery:.0f} W"
    " (+ = discharge), but for losses.",
    "reversed": "The battery counts + = charge: AC power {ac:.0f} W is solar {solar:.0f} W minus"
    " {battery:.0f} W. This device does not follow SunSpec; do not command it.",
    "open": "The battery's sign does not show now: its power is {battery:.0f} W. Probe again while"
    " it charges or discharges.",
    "neither": "AC power {ac:.0f} W is not solar {solar:.0f} W plus battery {battery:.0f} W, in"
    " either sign: something else is connected to the inverter's DC side.",
}


async def found_at(options: Options, samples: int = SAMPLES, pause_s: float = PAUSE_S) -> Found:
    """Read a device some times. Raises `DriverError`."""
    device = driver(options)
    try:
        identity = await device.identify()
        return await _sampled(device, identity, samples, pause_s)
    finally:
        await device.close()


async def _sampled(device: SunSpec, identity: Identity, samples: int, pause_s: float) -> Found:
    powers: list[Powers] = []
    for number in range(samples):
        if number:
            await asyncio.sleep(pause_s)
        models = await device.measured_models()
        powers.append(powers_of(models, meter_exports=False))
    return Found(
        where=str(device.link.address),
        identity=identity,
        places=device.places,
        can=device.can,
        readings=readings_of(models, powers[-1]),
        powers=tuple(powers),
    )


def options_of(address: str, unit: int) -> Options:
    """The options for an address HOST[:PORT]. Raises ValueError."""
    host, port = address, "502"
    if address.startswith("[") or address.count(":") == 1:  # an IPv6 address has brackets
        host, _, port = (
            address.rpartition(":") if not address.endswith("]") else (address, "", port)
        )
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{address} is not an address: give HOST or HOST:PORT")
    return Options(host=host.strip("[]"), port=int(port), unit=unit)


def probe(address: str, unit: int) -> tuple[int, list[str]]:
    """The exit code (0 = consistent) and the lines to print."""
    try:
        found = asyncio.run(found_at(options_of(address, unit)))
    except ValueError as error:
        return 2, [str(error)]
    except (DriverError, OSError, TimeoutError) as error:
        return 1, [
            f"{error}",
            "Is Modbus TCP enabled in the inverter? Ports are 502 or 1502; units 1, 100 and 126 are"
            " usual (--unit).",
        ]
    return 0 if is_consistent(found) else 1, report_of(found)
