"""The short cut for plain lines in C: a frame's lines as columns, without an object for each.

It knows fewer lines to be plain than `plain_rows` does (an escape in a name, a nested value of an
unknown key and the like are left to others), and gives those it knows the same values.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from schemas.telemetry import Quality
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.plain_rows import PlainColumns

_INTS = ("seq", "received_at_ms", "measured_at_ms", "device", "site")
_FLOATS = (
    "battery_w", "grid_w", "solar_w", "load_w", "soc", "frequency_hz", "voltage_v",
    "temperature_c", "balance_error_w",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CompiledRows:
    """Columns with a place for each line; of a line that is not plain they mean nothing."""

    columns: PlainColumns
    plain: Mask
    believed: bool
    """Whether no plain line is beyond what the registry makes possible."""


def read_compiled(
    kernels: ModuleType, frame: bytes, lines: int, registry: Registry
) -> CompiledRows:
    """The first ``lines`` lines of a frame."""
    known = registry.columns
    ints, floats = np.empty((len(_INTS), lines), np.int64), np.empty((len(_FLOATS), lines))
    boot, interval_ms = np.empty(lines, np.uint32), np.empty(lines, np.int32)
    islanded, plain = np.empty(lines, np.int8), np.empty(lines, np.bool_)
    found, believed = kernels.read_lines(
        frame,
        *known.device_index.table(),
        known.devices["site"],
        known.devices["bounds_w"],
        ints, floats, boot, interval_ms, islanded, plain,
    )  # fmt: skip
    columns: PlainColumns = dict(zip(_INTS, ints, strict=True))
    columns |= zip(_FLOATS, floats, strict=True)
    site = columns.pop("site")
    columns |= {
        "device_id": known.device_index.names(columns["device"]),
        "site_id": known.site_index.names(site),
        "site_hash": known.sites["site_hash"][site],
        "boot": boot,
        "interval_ms": interval_ms,
        "islanded": islanded,
        "quality": np.full(lines, int(Quality.OK), np.int8),
    }
    return CompiledRows(columns, plain, found == believed)
