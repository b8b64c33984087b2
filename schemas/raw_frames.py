"""Raw frames by columns: native readings as one Arrow batch, instead of an NDJSON line for each.

A row means the same as a `RawLine` with a `NativeBody` of its values. The record's
header `HEADER_CONTENT_TYPE` says that a frame is of this form; without it a frame is NDJSON.
"""

from collections.abc import Iterable

import pyarrow as pa

from schemas.encoding import END, check_names, decode_stream

HEADER_CONTENT_TYPE = "content-type"
ARROW = b"application/vnd.apache.arrow.stream"
SCHEMA_NAME = "telemetry.raw.columns.v1"
LINES_SCHEMA_NAME = "telemetry.raw.v1"
"""Of NDJSON frames."""

MEASURED = {
    "battery_w": "p",
    "grid_w": "g",
    "solar_w": "pv",
    "load_w": "l",
    "soc": "soc",
    "frequency_hz": "hz",
    "voltage_v": "v",
    "temperature_c": "tc",
}
"""Measured columns, and what they are called in a `NativeBody`; NaN = not measured."""

RAW_COLUMNS_V1 = pa.schema(
    [
        pa.field(name, type_, nullable=False)
        for name, type_ in (
            ("device_id", pa.string()),
            ("boot", pa.uint32()),
            ("seq", pa.int64()),
            ("received_at_ms", pa.int64()),
            ("measured_at_ms", pa.int64()),
            ("interval_ms", pa.int32()),
            *((name, pa.float64()) for name in MEASURED),
            ("islanded", pa.int8()),
        )
    ],
    metadata={"schema": SCHEMA_NAME},
)
"""Names and units as in ``telemetry.v1``; ``islanded`` is 1, 0, or -1 for not known."""

_SCHEMA = RAW_COLUMNS_V1.serialize().to_pybytes()


def encode_raw(batch: pa.RecordBatch) -> bytes:
    """A batch of `RAW_COLUMNS_V1` as an Arrow IPC stream."""
    return b"".join((_SCHEMA, batch.serialize(), END))


def decode_raw(data: bytes) -> pa.RecordBatch:
    """The rows of a frame, whatever their values. Raises `ValueError` and nothing else."""
    return decode_stream(data, RAW_COLUMNS_V1, _SCHEMA, _check, SCHEMA_NAME)


def has_columns(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record's headers say that it is of this form."""
    return any(name == HEADER_CONTENT_TYPE and value == ARROW for name, value in headers)


def _check(batch: pa.RecordBatch) -> None:
    check_names(batch, "device_id")
