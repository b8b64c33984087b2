"""``vpp edge probe --driver NAME``: what a driver other than SunSpec's reads at an address.

Nothing is written to the device, except by what its sign-in needs.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from edge.commissioning.judge import balance, signs
from edge.commissioning.probe_words import battery_line, command_line, reading_lines
from edge.driver import QUANTITIES, Driver, Identity, Readings, values_of
from edge.driver_calls import DriverCalls, DriverStuckError
from edge.drivers import DRIVERS, LIBRARIES, module_of
from schemas.bodies import Quality


class ProbeError(Exception):
    """A command that cannot be carried out; in one sentence, with the way out."""


def probed(name: str, address: str, options: Sequence[str]) -> tuple[int, list[str]]:
    """The exit code (0 = something is measured and fits together) and the lines to print.

    ``options`` are the driver's keys in ``[driver]`` as KEY=VALUE.
    """
    try:
        device = _driver_of(name, address, options)
    except ProbeError as error:
        return 2, [str(error)]
    return asyncio.run(_probed(device, address))


def _driver_of(name: str, address: str, options: Sequence[str]) -> Driver:
    if name not in DRIVERS:
        raise ProbeError(f"{name} is no driver. There are {', '.join(DRIVERS)}")
    try:
        module = module_of(name)
    except ModuleNotFoundError as error:
        raise ProbeError(
            f"driver {name} needs {error.name}: pip install {LIBRARIES[name]}"
        ) from None
    keys = [field.encode_name for field in msgspec.structs.fields(module.Options)]
    if "host" not in keys:
        raise ProbeError(f"driver {name} has no address to probe; try `vpp edge check CONFIG`")
    values = {**_place(address, keys), **_given(options, keys)}
    try:
        made: Driver = module.driver(msgspec.convert(values, module.Options, strict=False))
    except msgspec.ValidationError as error:
        raise ProbeError(f"--option: {error}; driver {name} has {', '.join(keys)}") from None
    return made


def _place(address: str, keys: Sequence[str]) -> dict[str, str]:
    """Host and port; a driver without a port takes both as its host."""
    host, colon, port = address.rpartition(":")
    if "port" in keys and colon and port.isdecimal() and not host.endswith(":"):
        return {"host": host.strip("[]"), "port": port}
    return {"host": address}


def _given(options: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    found = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in keys:
            raise ProbeError(f"--option {option}: give KEY=VALUE; there are {', '.join(keys)}")
        found[key] = value
    return found


async def _probed(device: Driver, address: str) -> tuple[int, list[str]]:
    calls = DriverCalls(device, Counter())
    try:
        identity = await calls.identify()
        readings = None if identity is None else await calls.read()
        if identity is None or readings is None:
            return 1, [calls.trouble]
        return _report(address, device, identity, readings)
    except DriverStuckError as error:
        return 1, [f"{error}: start this computer again"]
    finally:
        await calls.close()


def _report(
    address: str, device: Driver, identity: Identity, readings: Readings
) -> tuple[int, list[str]]:
    measured: dict[Any, float] = values_of(readings, Quality.OK)
    known = values_of(readings, Quality.OK, Quality.ESTIMATED)
    findings = [balance(measured), signs(measured)]
    missing = ", ".join(sorted(QUANTITIES - known.keys())) or "nothing"
    lines = [
        f"{address}: {identity.model}, firmware {identity.firmware or 'not told'}",
        f"Battery: {battery_line(identity)}",
        "It reads now:",
        *reading_lines(readings),
        f"Not measured: {missing}",
        *(f"{each.step.capitalize()}: {each.outcome}, {each.seen}" for each in findings),
        command_line(device.can),
    ]
    fits = measured and all(each.outcome != "failed" for each in findings)
    return 0 if fits else 1, lines
