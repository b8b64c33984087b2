"""A device's plain native reading as a row of a raw frame by columns, made in one pass in C.

Where nothing is compiled there are no rows: every reading then travels as a line. A row is the
bytes of 14 words: integers in the order of `_INTEGERS`, then the measured values.
"""

import numpy as np
import pyarrow as pa

from schemas.raw_frames import MEASURED, RAW_COLUMNS_V1, encode_raw
from vpp_streams.domain import kernels
from vpp_streams.domain.telemetry.column_rows import LinesOfRows

Row = bytes

_INTEGERS = ("boot", "seq", "received_at_ms", "measured_at_ms", "interval_ms", "islanded")
_WORDS = len(_INTEGERS) + len(MEASURED)
_NUMBERS = [(field, np.dtype(str(field.type))) for field in list(RAW_COLUMNS_V1)[1:]]


def read_row(
    message: bytes, boot: str, boot_number: int, received_at_ms: int
) -> tuple[str, int, Row] | None:
    """Message id, number and row of a plain native reading of this boot.

    None says only that `schemas.wire` has to read the message. Never raises.
    """
    if kernels.COMPILED is None:
        return None
    found: tuple[str, int, Row] | None
    found = kernels.COMPILED.read_message(message, boot, boot_number, received_at_ms)
    return found


def encode_rows(device_ids: list[str], rows: list[Row]) -> bytes:
    """Rows, each with its device, as the bytes of a raw frame by columns."""
    return encode_raw(_batch_of(device_ids, rows))


def line_of_row(device_id: str, row: Row) -> bytes:
    """The line that the row stands for, as `vpp_streams.gateway.lines.line` makes it."""
    return LinesOfRows(_batch_of([device_id], [row]))[0]


def _batch_of(device_ids: list[str], rows: list[Row]) -> pa.RecordBatch:
    n = len(rows)
    words = np.frombuffer(b"".join(rows), np.int64).reshape(n, _WORDS).T.copy()
    columns = dict(zip(_INTEGERS, words, strict=False))
    columns |= zip(MEASURED, words[len(_INTEGERS) :].view(np.float64), strict=True)
    # Not by `pa.array`, which costs twice as much and loads pandas where it is installed.
    names = [device_id.encode() for device_id in device_ids]
    ends = np.zeros(n + 1, np.int32)
    np.cumsum([len(name) for name in names], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(names))]
    arrays = [pa.Array.from_buffers(pa.string(), n, buffers)]
    for field, dtype in _NUMBERS:
        values = pa.py_buffer(columns[field.name].astype(dtype, copy=False))
        arrays.append(pa.Array.from_buffers(field.type, n, [None, values]))
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_COLUMNS_V1)
