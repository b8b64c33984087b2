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
_TYPES = {field.name: field.type.to_pandas_dtype() for field in RAW_COLUMNS_V1}
del _TYPES["device_id"]


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
    words = np.frombuffer(b"".join(rows), np.int64).reshape(-1, _WORDS).T.copy()
    columns = dict(zip(_INTEGERS, words, strict=False))
    columns |= zip(MEASURED, words[len(_INTEGERS) :].view(np.float64), strict=True)
    arrays = [pa.array(device_ids, pa.string())]
    arrays += [pa.array(columns[name].astype(type_, copy=False)) for name, type_ in _TYPES.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_COLUMNS_V1)
