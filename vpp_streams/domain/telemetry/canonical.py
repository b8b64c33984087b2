"""Raw frames to canonical ones: each line a row, or a dead letter with its reason.

A raw frame is NDJSON of `schemas.telemetry.RawLine`. `raw_line.read_line` defines the
outcome of a line. Nearly all lines are plain: `compiled_rows` (or `plain_rows`, where nothing is
compiled) reads those as columns, many times faster, with the same outcome; `vendor_rows` does so
with usual documents of vendors; `read_line` reads the others. One bad line affects no other. Rows
are then compared with what the registry makes possible (`domain.registry.belief`).
"""

import base64
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.raw_frames import decode_raw
from schemas.telemetry import TELEMETRY_V1, Quality, Rejected, Rejection, rejected_reading_id
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.registry.belief import ABSURD, BOUNDS, excesses, reaches_too_far
from vpp_streams.domain.registry.hashing import murmur2, partitions_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.column_rows import LinesOfRows, read_columns
from vpp_streams.domain.telemetry.compiled_rows import read_compiled
from vpp_streams.domain.telemetry.plain_rows import PlainColumns, read_plain
from vpp_streams.domain.telemetry.raw_line import MAX_LINE_BYTES, RefusedLine, read_line
from vpp_streams.domain.telemetry.vendor_rows import read_vendor_rows, with_vendor_rows

MAX_LINES = 20_000
"""A frame with more lines is refused: a megabyte of line feeds and rubbish would otherwise become
half a million dead letters."""
WHOLE_FRAME = -1
_VENDOR = b'"vendor"'
"""In the line of a vendor's document."""


@dataclass(frozen=True, slots=True)
class Source:
    """The position of a raw frame in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The record's Kafka timestamp: the received time of lines that do not state one."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """The outcome of a raw frame."""

    batches: dict[int, pa.RecordBatch]
    """Partition of the sites -> rows in the order of the frame."""
    rejected: list[Rejected]
    """In the order of the frame."""
    not_believed: Counter[str] = field(default_factory=Counter)
    """Rows beyond what their devices can do, by what was too much: ``discharge``, ``charge``,
    ``import``, ``export``, ``solar``, ``load``, ``interval``. Their quality is bad, or they are
    rejected where it is absurd."""


def canonicalize(frame: bytes, source: Source, registry: Registry, partitions: int) -> Canonical:
    """Every line of a raw frame as a row or as a dead letter; never raises, whatever the bytes.

    ``partitions`` is the number of partitions of every site-keyed topic: a row goes to its
    site's partition, whichever one the frame is from. Blank lines are ignored.
    """
    lines = _lines_of(frame)
    if lines > MAX_LINES:
        why = Rejection("too_large", f"The frame has {lines} lines; at most {MAX_LINES}.")
        return Canonical({}, [_dead_letter(source, WHOLE_FRAME, frame, RefusedLine(why))])
    if not frame or frame.endswith(b"\n"):
        lines -= 1  # nothing follows the last line feed
    if kernels.COMPILED is not None and _VENDOR not in frame:
        found = read_compiled(kernels.COMPILED, frame, lines, registry)
        columns, good = found.columns, found.plain
        if found.believed and good.all():
            return Canonical(dict(_batches(columns, good, partitions)), [])
        raws = frame.split(b"\n")[:lines]
    else:
        raws = frame.split(b"\n")[:lines]
        columns, good = _read_columns(raws, registry)
    return _with_others(raws, columns, good, source, registry=registry, partitions=partitions)


def canonicalize_columns(
    frame: bytes, source: Source, registry: Registry, partitions: int
) -> Canonical:
    """`canonicalize` of a raw frame by columns (`schemas.raw_frames`); never raises either."""
    try:
        batch = decode_raw(frame)
    except ValueError as error:
        why = Rejection("bad_columns", f"The frame cannot be read: {error}.")
        return Canonical({}, [_dead_letter(source, WHOLE_FRAME, frame, RefusedLine(why))])
    if batch.num_rows > MAX_LINES:
        why = Rejection("too_large", f"The frame has {batch.num_rows} rows; at most {MAX_LINES}.")
        return Canonical({}, [_dead_letter(source, WHOLE_FRAME, frame, RefusedLine(why))])
    columns, good, sound = read_columns(batch, registry)
    if sound:
        return Canonical(dict(_batches(columns, good, partitions)), [])
    lines = LinesOfRows(batch)
    return _with_others(lines, columns, good, source, registry=registry, partitions=partitions)


def _lines_of(frame: bytes) -> int:
    """Its line feeds and one: `bytes.count` of one byte takes ten times as long."""
    if kernels.COMPILED is None:
        return frame.count(b"\n") + 1
    lines: int = kernels.COMPILED.count_lines(frame)
    return lines


def _with_others(
    raws: list[bytes] | LinesOfRows,
    columns: PlainColumns,
    good: Mask,
    source: Source,
    *,
    registry: Registry,
    partitions: int,
) -> Canonical:
    """The outcome of a frame whose plain lines (``good``) were read."""
    others, refused_lines = _read_others(raws, np.flatnonzero(~good).tolist(), registry)
    rejected = [_dead_letter(source, i, raws[i], refused) for i, refused in refused_lines.items()]
    if others:
        _put(columns, others, registry)
        good[list(others)] = True
    not_believed, absurd = _doubt(columns, good, registry)
    if absurd:
        good[list(absurd)] = False
        rejected += [_dead_letter(source, i, raws[i], refused) for i, refused in absurd.items()]
        rejected.sort(key=lambda letter: letter.line)
    return Canonical(dict(_batches(columns, good, partitions)), rejected, not_believed)


def _read_columns(raws: list[bytes], registry: Registry) -> tuple[PlainColumns, Mask]:
    """Columns of all lines, and which rows of them are good; the values of others mean nothing."""
    numbers = [i for i, raw in enumerate(raws) if _VENDOR in raw]
    found = read_vendor_rows(raws, numbers, registry) if numbers else None
    if found is None:
        return _read_native(raws, registry)
    rest = sorted(set(range(len(raws))) - set(found.lines.tolist()))
    columns, good = _read_native([raws[i] for i in rest], registry)
    return with_vendor_rows(columns, good, rest, found)


def _read_native(raws: list[bytes], registry: Registry) -> tuple[PlainColumns, Mask]:
    if kernels.COMPILED is None:
        return read_plain(raws, registry)
    found = read_compiled(kernels.COMPILED, b"\n".join(raws), len(raws), registry)
    return found.columns, found.plain


def _read_others(
    raws: list[bytes] | LinesOfRows, numbers: list[int], registry: Registry
) -> tuple[dict[int, dict[str, Any]], dict[int, RefusedLine]]:
    """The lines that are not plain rows, read one by one: rows and refused lines, by number."""
    rows: dict[int, dict[str, Any]] = {}
    refused: dict[int, RefusedLine] = {}
    for i in numbers:
        raw = raws[i]
        if not raw or raw.isspace():
            continue
        row = read_line(raw, registry)
        if isinstance(row, RefusedLine):
            refused[i] = row
        else:
            rows[i] = row
    return rows, refused


def _doubt(
    columns: PlainColumns, good: Mask, registry: Registry
) -> tuple[Counter[str], dict[int, RefusedLine]]:
    """Mark as bad what is beyond its device; what is absurdly so is refused, by its line."""
    bounds_w = np.take(registry.columns.devices["bounds_w"], columns["device"], axis=1)
    shares = excesses(columns, bounds_w)
    beyond, too_far = shares > 1.0, reaches_too_far(columns)
    if not (beyond.any() or too_far.any()):  # nearly always; row by row it is slow
        return Counter(), {}
    beyond, too_far = beyond & good, too_far & good
    bad = beyond.any(axis=0) | too_far
    columns["quality"] = np.where(bad, Quality.BAD, columns["quality"]).astype(np.int8)
    found = {name: int(row.sum()) for name, row in zip(BOUNDS, beyond, strict=True)}
    absurd = np.flatnonzero((beyond & (shares > ABSURD)).any(axis=0))
    refused = {i: _refused(columns, i, shares[:, i]) for i in absurd.tolist()}
    return +Counter(found | {"interval": int(too_far.sum())}), refused


def _refused(columns: PlainColumns, i: int, shares: NDArray[np.float64]) -> RefusedLine:
    worst = int(np.nanargmax(shares))
    times = f"{shares[worst]:.0f} times the most that is registered for it, with its margin"
    return RefusedLine(
        Rejection("not_believed", f"The {BOUNDS[worst]} power is {times}."),
        received_at_ms=int(columns["received_at_ms"][i]),
        device_id=_text(columns["device_id"], i),
        site_id=_text(columns["site_id"], i),
        boot=int(columns["boot"][i]),
        seq=int(columns["seq"][i]),
    )


def _text(column: Any, i: int) -> str:
    value = column[i]
    return str(value.as_py() if isinstance(value, pa.Scalar) else value)


def _put(columns: PlainColumns, rows: dict[int, dict[str, Any]], registry: Registry) -> None:
    """Insert rows that were read one by one in the order of the frame."""
    device_ids = pa.array([row["device_id"] for row in rows.values()], pa.string())
    columns["device"][list(rows)] = registry.columns.device_index.find(device_ids)
    for name in next(iter(rows.values())):
        values = columns[name]
        if isinstance(values, pa.Array):
            values = columns[name] = values.to_numpy(zero_copy_only=False).copy()
        for i, row in rows.items():
            values[i] = row[name]
    for i, row in rows.items():
        columns["site_hash"][i] = murmur2(row["site_id"].encode())


def _dead_letter(source: Source, line: int, raw: bytes, refused: RefusedLine) -> Rejected:
    told_ms, reason = refused.received_at_ms, refused.why.reason
    rejected_id = f"{source.topic}-{source.partition}-{source.offset}-{line}"
    if refused.device_id is not None and refused.boot is not None and refused.seq is not None:
        # A device that sends it again gives the same dead letter, not another one.
        rejected_id = rejected_reading_id(refused.device_id, refused.boot, refused.seq, reason)
    return Rejected(
        rejected_id=rejected_id,
        reason=reason,
        detail=refused.why.detail,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        line=line,
        received_at_ms=source.timestamp_ms if told_ms is None else told_ms,
        original_base64=base64.b64encode(raw[:MAX_LINE_BYTES]).decode(),
        device_id=refused.device_id,
        site_id=refused.site_id,
    )


def _batches(
    columns: PlainColumns, good: Mask, partitions: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The good rows by the partition of their site."""
    arrays = [_arrow(columns[field.name], field.type) for field in TELEMETRY_V1]
    batch = pa.RecordBatch.from_arrays(arrays, schema=TELEMETRY_V1)
    partition = partitions_of(columns["site_hash"], partitions)
    for number in np.flatnonzero(np.bincount(partition[good])).tolist():
        rows = np.flatnonzero(good & (partition == number))
        yield number, batch if len(rows) == len(good) else batch.take(pa.array(rows))


def _arrow(column: Any, type_: pa.DataType) -> pa.Array:
    if isinstance(column, pa.Array) and column.type == type_:
        return column
    return pa.array(column, type_)
