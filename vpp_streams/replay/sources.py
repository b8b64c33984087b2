"""Recordings and recorded homes as sources of a replay."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from schemas.assets import Site
from schemas.bounds import MAX_TIME_MS, PARTITIONS
from schemas.telemetry import TELEMETRY_V1
from vpp_streams.domain.files.csv_home import RecordedHome, read_home
from vpp_streams.domain.files.csv_mapping import HomeMapping, parse_mapping
from vpp_streams.domain.files.frames_plan import LogReadings, Pace
from vpp_streams.domain.files.recording_layout import ASSETS_FILE, RECORDED_V1, parse_part_path
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import InputError

BATCH_ROWS = 65_536
RECORDING_PACE = Pace(step_ms=1000, heartbeat_ms=10_000)
"""As live: devices report once a second."""


@dataclass(frozen=True, slots=True)
class Span:
    """Readings measured in [from, to), ms since 1970 UTC; None = no limit."""

    from_ms: int | None = None
    to_ms: int | None = None

    def of(self, table: pa.Table) -> Any:
        """Arrow mask of the rows that lie in the span; None where it has no limit."""
        measured, mask = table["measured_at_ms"], None
        if self.from_ms is not None:
            mask = pc.greater_equal(measured, self.from_ms)
        if self.to_ms is not None:
            before = pc.less(measured, self.to_ms)
            mask = before if mask is None else pc.and_(mask, before)
        return mask


@dataclass(frozen=True, slots=True)
class Source:
    """Sites and readings to replay."""

    sites: list[Site]
    """Sites to register; empty = none."""
    pace: Pace
    first_ms: int
    """Approximate received time of the first reading, ms since 1970 UTC: to show progress."""
    last_ms: int
    """Approximate received time of the last reading, ms since 1970 UTC."""
    streams: Callable[[], dict[int, Iterator[LogReadings]]]
    """Each partition's readings in the order of its log, from the start."""


def load_mapping(path: Path) -> HomeMapping:
    """Read a mapping file. Raises `InputError` where it cannot be used."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the mapping {path}: {error}") from None
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise InputError(f"{path} is not YAML: {words}") from None
    return parse_mapping(document, path.name)


def load_home(path: Path, mapping: HomeMapping) -> RecordedHome:
    """Read a recorded home's CSV. Raises `InputError` where it cannot be read by this mapping."""
    try:
        # Bytes that are not text make unreadable cells: bad rows, reported with their line.
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            return read_home(lines, mapping, path.name)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def home_source(home: RecordedHome, mapping: HomeMapping, span: Span) -> Source:
    """A recorded home as a source: one site, published interval by interval."""
    table = _within(pa.Table.from_batches([home.batch]), span, "the file")
    partition = partition_of(mapping.site.site_id, PARTITIONS)
    rows = LogReadings(table.to_batches()[0], np.zeros(len(table), np.bool_))
    first_ms, last_ms = _received_span(table)
    step_ms = mapping.interval_ms
    pace = Pace(step_ms=step_ms, heartbeat_ms=max(step_ms, HOUR_MS))
    return Source([mapping.site], pace, first_ms, last_ms, lambda: {partition: iter([rows])})


def open_recording(path: Path, span: Span) -> Source:
    """A recording's directory, or one Parquet file of ``telemetry.v1``, as a source.

    Raises `InputError` where it is neither.
    """
    if not path.exists():
        raise InputError(f"there is no {path}")
    parts = sorted(path.glob("date=*/hour=*/part-*.parquet")) if path.is_dir() else [path]
    if not parts:
        raise InputError(f"{path} has no date=*/hour=*/part-*.parquet: it is not a recording")
    located = [(part, parse_part_path(str(part))) for part in parts]
    if any(found is None for _, found in located):
        return _plain_source(parts, _sites_near(path), span)
    by_partition: dict[int, list[Part]] = {}
    for part, found in located:
        assert found is not None
        by_partition.setdefault(found[0].partition, []).append(_part(part))
    everything = [part for some in by_partition.values() for part in some]

    def streams() -> dict[int, Iterator[LogReadings]]:
        return {p: _log_of(p, some, span) for p, some in by_partition.items()}

    return Source(
        _sites_near(path),
        RECORDING_PACE,
        max(min(part.first_ms for part in everything), span.from_ms or 0),
        min(max(part.last_ms for part in everything), span.to_ms or MAX_TIME_MS),
        streams,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A part's offsets and received times (ms since 1970 UTC), from its footer."""

    path: Path
    first_offset: int
    last_offset: int
    first_ms: int
    last_ms: int


def _part(path: Path) -> Part:
    try:
        with pq.ParquetFile(path) as file:
            _check_schema(file.schema_arrow, path, RECORDED_V1)
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            offset, received = (
                [g.column(file.schema_arrow.get_field_index(name)).statistics for g in groups]
                for name in ("kafka_offset", "received_at_ms")
            )
            return Part(
                path,
                min(s.min for s in offset),
                max(s.max for s in offset),
                min(s.min for s in received),
                max(s.max for s in received),
            )
    except (pa.ArrowInvalid, OSError, AttributeError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _log_of(partition: int, parts: list[Part], span: Span) -> Iterator[LogReadings]:
    """A partition's readings in the order of its log.

    Parts whose offsets interleave (at the turn of an hour) are read together and sorted; the
    others are streamed.
    """
    cluster: list[Part] = []
    for part in sorted(parts, key=lambda part: part.first_offset):
        if cluster and part.first_offset > max(p.last_offset for p in cluster):
            yield from _cluster_rows(partition, cluster, span)
            cluster = []
        cluster.append(part)
    yield from _cluster_rows(partition, cluster, span)


def _cluster_rows(partition: int, parts: list[Part], span: Span) -> Iterator[LogReadings]:
    if len(parts) == 1:
        with pq.ParquetFile(parts[0].path) as file:
            tables = (pa.Table.from_batches([b]) for b in file.iter_batches(BATCH_ROWS))
            for table in tables:
                yield from _rows(partition, table, span)
    else:
        # One Kafka record may be in two parts; its rows keep their order by a stable sort.
        # `partitioning=None`: the directory names are no columns.
        table = pa.concat_tables(pq.read_table(p.path, partitioning=None) for p in parts)
        order = np.argsort(table["kafka_offset"].to_numpy(), kind="stable")
        yield from _rows(partition, table.take(pa.array(order)), span)


def _rows(partition: int, table: pa.Table, span: Span) -> Iterator[LogReadings]:
    mask = span.of(table)
    table = table if mask is None else table.filter(mask)
    if not len(table):
        return
    for site_id in pc.unique(table["site_id"]).to_pylist():
        if partition_of(site_id, PARTITIONS) != partition:
            raise InputError(
                f"site {site_id} was recorded in partition {partition}; with our"
                f" {PARTITIONS} partitions it belongs in another: the recording cannot be replayed"
            )
    backfill = table["backfill"].to_numpy(zero_copy_only=False)
    yield LogReadings(_canonical(table), backfill)


def _plain_source(paths: list[Path], sites: list[Site], span: Span) -> Source:
    """Parquet files of canonical readings that were not recorded from Kafka: by received time."""
    tables = []
    for path in paths:
        try:
            table = pq.read_table(path, partitioning=None)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"cannot read {path}: {error}") from None
        tables.append(_as_telemetry(table, path))
    table = _within(pa.concat_tables(tables), span, ", ".join(p.name for p in paths))
    order = np.argsort(table["received_at_ms"].to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    partition = np.array(
        [partition_of(site_id, PARTITIONS) for site_id in table["site_id"].to_pylist()]
    )
    rows = {}
    for p in np.unique(partition).tolist():
        mine = table.filter(pa.array(partition == p))
        rows[p] = LogReadings(_canonical(mine), np.zeros(len(mine), np.bool_))
    first_ms, last_ms = _received_span(table)
    return Source(
        sites, RECORDING_PACE, first_ms, last_ms, lambda: {p: iter([r]) for p, r in rows.items()}
    )


def _as_telemetry(table: pa.Table, path: Path) -> pa.Table:
    """Convert columns that another tool wrote: wide strings, null for not measured."""
    _check_schema(table.schema, path, TELEMETRY_V1, same_types=False)
    columns = []
    for field in TELEMETRY_V1:
        try:
            column = table[field.name].cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(f"{path}: column {field.name} is not {field.type} ({error})") from None
        if pa.types.is_floating(field.type):
            column = column.fill_null(float("nan"))
        elif column.null_count:
            raise InputError(f"{path}: column {field.name} has empty cells")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=TELEMETRY_V1)


def _check_schema(
    schema: pa.Schema, path: Path, wanted: pa.Schema, *, same_types: bool = True
) -> None:
    for field in wanted:
        at = schema.get_field_index(field.name)
        if at < 0:
            raise InputError(
                f"{path} is not telemetry: it has no column {field.name}; it has"
                f" {', '.join(schema.names)}"
            )
        if same_types and schema.field(at).type != field.type:
            raise InputError(
                f"{path}: column {field.name} is {schema.field(at).type}, not {field.type}"
            )


def _canonical(table: pa.Table) -> pa.RecordBatch:
    """The columns of ``telemetry.v1`` as one batch."""
    for name in TELEMETRY_V1.names:
        if table[name].null_count:
            raise InputError(f"the recording's column {name} has nulls; not measured is NaN")
    columns = [table[name].combine_chunks() for name in TELEMETRY_V1.names]
    return pa.RecordBatch.from_arrays(columns, schema=TELEMETRY_V1)


def _within(table: pa.Table, span: Span, what: str) -> pa.Table:
    mask = span.of(table)
    table = table if mask is None else table.filter(mask)
    if not len(table):
        raise InputError(f"no reading of {what} was measured in the requested time")
    return table.combine_chunks()


def _received_span(table: pa.Table) -> tuple[int, int]:
    span = pc.min_max(table["received_at_ms"]).as_py()
    return span["min"], span["max"]


def _sites_near(path: Path) -> list[Site]:
    """The sites of the recording at a path or, for an hour or date of one, above it."""
    for directory in [path, *path.resolve().parents[:3]]:
        file = directory / ASSETS_FILE
        if file.is_file():
            try:
                return [
                    msgspec.json.decode(line, type=Site)
                    for line in file.read_bytes().splitlines()
                    if line.strip()
                ]
            except (msgspec.DecodeError, OSError) as error:
                raise InputError(f"{file} cannot be read: {error}") from None
    return []
