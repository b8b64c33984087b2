"""Frames: many readings in one Kafka record.

A raw frame is NDJSON (`schemas.telemetry.RawLine` a line); a canonical frame is an Arrow IPC
stream of one batch of ``telemetry.v1``. Data products are one JSON document per record.
"""

from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.telemetry import (
    MAX_INTERVAL_MS,
    MAX_SEQ,
    MAX_TIME_MS,
    SCHEMA_NAME,
    TELEMETRY_V1,
)

T = TypeVar("T")

HEADER_SCHEMA = "schema"
HEADER_LANE = "lane"
HEADER_STREAM_TIME = "stream_time_ms"
"""On a canonical frame: received time up to which the partition's log is told (a heartbeat)."""
HEADER_WATERMARK = "watermark_ms"
"""On a replay's last frame: close every window up to here; nothing older follows."""
LIVE, BACKFILL = b"live", b"backfill"


def frame_headers(schema: str, source: str, frame_id: str, lane: bytes = LIVE) -> dict[str, bytes]:
    """Kafka headers of a frame: its schema and lane, and CloudEvents 1.0 (binary mode)."""
    return {
        HEADER_SCHEMA: schema.encode(),
        HEADER_LANE: lane,
        "ce_specversion": b"1.0",
        "ce_type": f"vpp.{schema}".encode(),
        "ce_source": source.encode(),
        "ce_id": frame_id.encode(),
    }


_json = msgspec.json.Encoder()


def encode_json(value: Any) -> bytes:
    """A contract (msgspec Struct) as one JSON document."""
    return _json.encode(value)


def decode_json(data: bytes, type_: type[T]) -> T:
    """Decode and validate. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=type_)


def encode_frame(batch: pa.RecordBatch) -> bytes:
    """A record batch of ``telemetry.v1`` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TELEMETRY_V1) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped


def decode_frame(data: bytes) -> pa.RecordBatch:
    """The one batch of a canonical frame.

    Raises `ValueError` where the bytes are no Arrow stream of schema ``telemetry.v1``, or hold
    times that no reading can have: whoever may write to the topic, state is safe.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            if not reader.schema.equals(TELEMETRY_V1):
                raise ValueError(f"the frame's schema is not {SCHEMA_NAME}")
            table = reader.read_all()
            table.validate(full=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"not an Arrow IPC stream ({error})") from None
    batches = table.combine_chunks().to_batches()
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=TELEMETRY_V1)
    _check(batches[0])
    return batches[0]


def _check(batch: pa.RecordBatch) -> None:
    for name in batch.schema.names:
        if batch.column(name).null_count:
            raise ValueError(f"column {name} has nulls; not measured is NaN")
    limits = {
        "interval_ms": (1, MAX_INTERVAL_MS),
        "measured_at_ms": (0, MAX_TIME_MS),
        "received_at_ms": (0, MAX_TIME_MS),
        "seq": (0, MAX_SEQ),
    }
    for name, (low, high) in limits.items():
        seen = pc.min_max(batch.column(name)).as_py()
        if seen["min"] is not None and not low <= seen["min"] <= seen["max"] <= high:
            raise ValueError(f"column {name} is outside {low}..{high}")
