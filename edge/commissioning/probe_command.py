"""The command ``probe``, for both command lines."""

import sys
from collections.abc import Sequence


def probe(address: str, unit: int, driver: str, options: Sequence[str]) -> int:
    """Print what is at an address; returns the exit code."""
    code, lines = _probed(address, unit, driver, options)
    stream = sys.stderr if code == 2 else sys.stdout
    stream.write("\n".join([*lines, ""]))
    return code


def _probed(address: str, unit: int, driver: str, options: Sequence[str]) -> tuple[int, list[str]]:
    if driver != "sunspec":
        from edge.commissioning.probe_driver import probed  # noqa: PLC0415 - see below

        return probed(driver, address, options)
    if options:
        return 2, ["--option is for drivers other than sunspec, which has --unit"]
    try:
        from edge.commissioning.probe import probe as probed_sunspec  # noqa: PLC0415 - its libraries may be missing
    except ModuleNotFoundError as error:
        return 2, [f"{error.name} is not installed: pip install pymodbus pysunspec2"]
    return probed_sunspec(address, unit)
