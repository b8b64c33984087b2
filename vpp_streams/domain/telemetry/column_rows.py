"""Raw frames by columns: which rows are plain, and each other row as the line that it stands for.

The contract of a row is that of its line: `raw_line.read_line` decides about what is not plain, so
that a reading has one outcome in either form, and a dead letter can be sent again as it is.
"""

from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from schemas.bounds import MAX_INTERVAL_MS, MAX_SEQ, MAX_TIME_MS
from schemas.raw_frames import MEASURED, RAW_COLUMNS_V1
from schemas.telemetry import NativeBody, Quality
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.normalize.balance import POWERS, balance_error_w
from vpp_streams.domain.telemetry.plain_rows import PlainColumns, in_range, needs_nothing

_NAMES = RAW_COLUMNS_V1.names
_NUMBERS = [name for name in _NAMES if name != "device_id"]
_LIMITS = {
    "seq": (0, MAX_SEQ),
    "received_at_ms": (0, MAX_TIME_MS),
    "measured_at_ms": (0, MAX_TIME_MS),
    "interval_ms": (1, MAX_INTERVAL_MS),
    "islanded": (-1, 1),
}
"""Bounds that a line's numbers have by its contract, in the order of compiled code's arguments."""
_INTERVAL_MS = NativeBody(t=0).iv
"""What a line leaves out."""
_INFINITE = 1.7976931348623157e308
"""What stands for an infinite number in a line, as JSON has none: as impossible, and refused so."""


def read_columns(batch: pa.RecordBatch, registry: Registry) -> tuple[PlainColumns, Mask, bool]:
    """Columns of all rows, which are plain, and whether all of them are and are believed.

    The values of the others mean nothing.
    """
    arrays = dict(zip(_NAMES, batch.columns, strict=True))
    columns: PlainColumns = {name: arrays[name].to_numpy() for name in _NUMBERS}
    columns["device_id"] = arrays["device_id"]
    columns["quality"] = np.full(batch.num_rows, int(Quality.OK), np.int8)
    if kernels.COMPILED is not None and batch.num_rows:
        plain, sound = _checked(kernels.COMPILED, columns, registry)
    else:
        plain, sound = _check(columns, registry), False
    # Rows that are read one by one are written into copies; where there are none, the columns go on
    # as they came.
    columns |= {name: arrays[name] if sound else columns[name].copy() for name in _NUMBERS}
    return columns, plain, sound


def _check(columns: PlainColumns, registry: Registry) -> Mask:
    """Add the registry's columns and the balance; returns which rows are plain."""
    found = registry.columns.find(columns["device_id"])
    columns |= {
        "site_id": found.site_id,
        "site_hash": found.site_hash,
        "device": found.device,
        "balance_error_w": balance_error_w(*(columns[name] for name in POWERS)),
    }
    plain = found.known & in_range(columns) & needs_nothing(columns)
    for name, (low, high) in _LIMITS.items():
        plain &= (columns[name] >= low) & (columns[name] <= high)
    return plain


def _checked(compiled: ModuleType, columns: PlainColumns, registry: Registry) -> tuple[Mask, bool]:
    """`_check` in one pass, and whether every row is plain and believed."""
    names, known = columns["device_id"], registry.columns
    n = len(names)
    device, site, error_w = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    plain = np.empty(n, np.bool_)
    _, offsets, data = names.buffers()
    _, believed = compiled.check_rows(
        offsets, data or b"", names.offset,
        *known.device_index.table(), known.devices["site"], known.devices["bounds_w"],
        *(columns[name] for name in (*_LIMITS, *MEASURED)),
        device, site, error_w, plain,
    )  # fmt: skip
    columns |= {
        "site_id": known.site_index.names(site),
        "site_hash": known.sites["site_hash"][site],
        "device": device,
        "balance_error_w": error_w,
    }
    return plain, believed == n


class LinesOfRows:
    """The NDJSON line that each row stands for, as a gateway writes it, made where it is read."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __getitem__(self, i: int) -> bytes:
        row: dict[str, Any] = {name: self._batch.column(name)[i].as_py() for name in _NAMES}
        body: dict[str, Any] = {"t": row["measured_at_ms"]}
        for name, short in MEASURED.items():
            if not np.isnan(row[name]):
                body[short] = float(np.clip(row[name], -_INFINITE, _INFINITE))
        if row["islanded"] != -1:
            body["isl"] = bool(row["islanded"]) if row["islanded"] in (0, 1) else row["islanded"]
        if row["interval_ms"] != _INTERVAL_MS:
            body["iv"] = row["interval_ms"]
        return msgspec.json.encode(
            {
                "device_id": row["device_id"],
                "received_at_ms": row["received_at_ms"],
                "seq": row["seq"],
                "body": body,
                "boot": f"{row['boot']:x}",
            }
        )
