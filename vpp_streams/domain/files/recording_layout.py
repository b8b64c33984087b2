"""A recording on disk: ``date=YYYY-MM-DD/hour=HH/part-<partition>-<offset>.parquet``.

Date and hour are those of the received time, UTC, so that any Parquet tool reads the directory
as a dataset. A part holds readings of one Kafka partition and one hour in the order of the log,
from the offset in its name on. Names of files without readings begin with ``_``: such tools skip
them.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from schemas.telemetry import TELEMETRY_V1
from vpp_streams.domain.moments import HOUR_MS

ASSETS_FILE = "_assets.ndjson"
"""The sites of the recording, one JSON `schemas.assets.Site` a line."""
STATE_FILE = "_recording.json"

RECORDED_V1 = pa.schema(
    [
        *TELEMETRY_V1,
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
        pa.field("backfill", pa.bool_(), nullable=False, metadata={"doc": "came by the slow lane"}),
    ],
    metadata=TELEMETRY_V1.metadata,
)
"""The columns of ``telemetry.v1``, and each reading's partition, offset and lane in the log."""


class RecordingState(msgspec.Struct, frozen=True):
    """How far a recording has read its log; written once the parts up to there are durable."""

    topic: str
    """Full name of the topic."""
    next_offsets: dict[int, int]
    """Partition -> first offset that may be missing in the parts."""


class PartKey(NamedTuple):
    """The part that a reading belongs to."""

    partition: int
    hour_ms: int
    """Start of the hour of the received time, ms since 1970 UTC."""


_PART = re.compile(
    r"date=(\d{4}-\d\d-\d\d)/hour=(\d\d)/part-(\d{1,9})-(\d{1,19})\.parquet$", re.ASCII
)


def part_path(key: PartKey, first_offset: int) -> str:
    """Path of a part below the recording's directory."""
    hour = datetime.fromtimestamp(key.hour_ms / 1000, UTC)
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}/part-{key.partition}-{first_offset:012}.parquet"


def parse_part_path(path: str) -> tuple[PartKey, int] | None:
    """Key and first offset of a path that `part_path` built; None for any other."""
    found = _PART.search(path)
    if not found:
        return None
    try:
        hour = datetime.fromisoformat(f"{found[1]}T{found[2]}:00:00+00:00")
    except ValueError:
        return None
    return PartKey(int(found[3]), int(hour.timestamp()) * 1000), int(found[4])


def recorded_rows(
    batch: pa.RecordBatch, partition: int, offset: int, backfill: bool
) -> dict[PartKey, pa.RecordBatch]:
    """A frame's readings (schema `RECORDED_V1`) by the part that they belong to."""
    n = len(batch)
    arrays = [
        *batch.columns,
        pa.array(np.full(n, partition, np.int32)),
        pa.array(np.full(n, offset)),
        pa.array(np.full(n, backfill)),
    ]
    rows = pa.RecordBatch.from_arrays(arrays, schema=RECORDED_V1)
    hours = batch.column("received_at_ms").to_numpy() // HOUR_MS * HOUR_MS
    return {
        PartKey(partition, hour): rows.filter(pa.array(hours == hour))
        for hour in np.unique(hours).tolist()
    }
