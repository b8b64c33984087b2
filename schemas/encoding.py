"""Frames: many readings in one Kafka record.

A raw frame is NDJSON (`schemas.telemetry.RawLine` a line); a canonical frame is an Arrow IPC
stream of one batch of ``telemetry.v1``. Data products are one JSON document per record.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from schemas.bounds import MAX_INTERVAL_MS, MAX_SEQ, MAX_TIME_MS
from schemas.telemetry import MAX_NAME_BYTES, SCHEMA_NAME, TELEMETRY_V1, Quality

T = TypeVar("T")

HEADER_SCHEMA = "schema"
HEADER_LANE = "lane"
HEADER_STREAM_TIME = "stream_time_ms"
"""On a canonical frame: received time up to which the partition's log is complete (a heartbeat)."""
HEADER_WATERMARK = "watermark_ms"
"""On a replay's last frame: every window up to here can be closed; nothing older follows."""
HEADER_SOURCE = "ce_source"
SOURCE_HEARTBEAT = "heartbeat"
LIVE, BACKFILL = b"live", b"backfill"


def frame_headers(schema: str, source: str, frame_id: str, lane: bytes = LIVE) -> dict[str, bytes]:
    """Kafka headers of a frame: its schema and lane, and CloudEvents 1.0 (binary mode)."""
    return {
        HEADER_SCHEMA: schema.encode(),
        HEADER_LANE: lane,
        "ce_specversion": b"1.0",
        "ce_type": f"vpp.{schema}".encode(),
        HEADER_SOURCE: source.encode(),
        "ce_id": frame_id.encode(),
    }


_json = msgspec.json.Encoder()


def encode_json(value: Any) -> bytes:
    """A contract (msgspec Struct) as one JSON document."""
    return _json.encode(value)


def decode_json(data: bytes, type_: type[T]) -> T:
    """Decode and validate. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=type_)


_SCHEMA = TELEMETRY_V1.serialize().to_pybytes()
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end of an Arrow IPC stream."""


def encode_frame(batch: pa.RecordBatch) -> bytes:
    """A record batch of ``telemetry.v1`` as an Arrow IPC stream."""
    return b"".join((_SCHEMA, batch.serialize(), END))


def decode_frame(data: bytes) -> pa.RecordBatch:
    """The one batch of a canonical frame.

    Raises `ValueError`, and nothing else, if the bytes are no Arrow stream of schema
    ``telemetry.v1``, or contain times or numbers that no reading can have. State is therefore safe
    from any writer to the topic.
    """
    return decode_stream(data, TELEMETRY_V1, _SCHEMA, _check, SCHEMA_NAME)


def decode_stream(
    data: bytes,
    schema: pa.Schema,
    encoded_schema: bytes,
    check: Callable[[pa.RecordBatch], None],
    name: str,
) -> pa.RecordBatch:
    """All rows of an Arrow stream of a schema that passes a check, which raises `ValueError`.

    Raises `ValueError`, and nothing else, whatever the bytes.
    """
    try:
        batches = list(_batches(data, schema, encoded_schema))
        for batch in batches:
            batch.validate(full=True)
        batch = batches[0] if len(batches) == 1 else _joined(batches, schema)
        check(batch)
    except Exception as error:  # Arrow raises errors of many classes on arbitrary bytes
        raise ValueError(f"no frame of {name} ({str(error)[:200]})") from None
    return batch


def _batches(data: bytes, schema: pa.Schema, encoded_schema: bytes) -> Iterator[pa.RecordBatch]:
    if data.startswith(encoded_schema):  # ours: no need to parse the schema of every frame
        source = pa.BufferReader(data)
        source.seek(len(encoded_schema))
        while not data.startswith(END, at := source.tell()) and at < len(data):
            yield pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)
        return
    with pa.ipc.open_stream(data) as reader:
        if not reader.schema.equals(schema):
            raise ValueError("the frame has another schema")
        yield from reader


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, schema=schema)
    return pa.RecordBatch.from_arrays(
        [column.combine_chunks() for column in table.columns], schema=schema
    )


MAX_NUMBER = 1e12
"""No power, voltage or temperature exceeds it, so sums of many stay finite."""
_FLOATS = [field.name for field in TELEMETRY_V1 if pa.types.is_floating(field.type)]
_LIMITS = {
    "islanded": (-1, 1),
    "quality": (min(Quality), max(Quality)),
    "interval_ms": (1, MAX_INTERVAL_MS),
    "measured_at_ms": (0, MAX_TIME_MS),
    "received_at_ms": (0, MAX_TIME_MS),
    "seq": (0, MAX_SEQ),
}


def check_names(batch: pa.RecordBatch, *names: str) -> None:
    """Raises `ValueError` where the batch has a null, or one of these columns a name too long."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            raise ValueError(f"column {name} has nulls; not measured is NaN")
    for name in names if batch.num_rows else ():
        column = batch.column(name)
        ends = np.frombuffer(column.buffers()[1], np.int32, batch.num_rows + 1, 4 * column.offset)
        if np.diff(ends).max() > MAX_NAME_BYTES:
            raise ValueError(f"column {name} has a name of more than {MAX_NAME_BYTES} bytes")


def _check(batch: pa.RecordBatch) -> None:
    check_names(batch, "device_id", "site_id")
    if not batch.num_rows:
        return
    for name, (low, high) in _LIMITS.items():
        values = batch.column(name).to_numpy()
        if not low <= values.min() <= values.max() <= high:
            raise ValueError(f"column {name} is outside {low}..{high}")
    numbers = np.concatenate([batch.column(name).to_numpy() for name in _FLOATS])
    if np.fmax.reduce(np.abs(numbers)) > MAX_NUMBER:  # NaN = not measured, and is left out
        raise ValueError(f"a number is beyond {MAX_NUMBER:g}")
