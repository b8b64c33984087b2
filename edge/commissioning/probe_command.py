"""The command ``probe``, for both command lines."""

import sys


def probe(address: str, unit: int) -> int:
    """Print what is at an address; returns the exit code."""
    try:
        from edge.commissioning.probe import probe as probed  # noqa: PLC0415 - its libraries may be missing
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is not installed: pip install pymodbus pysunspec2\n")
        return 2
    code, lines = probed(address, unit)
    stream = sys.stderr if code == 2 else sys.stdout
    stream.write("\n".join([*lines, ""]))
    return code
