"""Rows of the log that are not in a file yet, by partition, kind and day."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from schemas.window_frames import windows_of
from vpp_streams.domain.history.columns import leaves_of, window_columns
from vpp_streams.domain.history.days import AHEAD_MS, Zones, day_of, first_kept
from vpp_streams.domain.history.kinds import Kind, rows_of
from vpp_streams.errors import RefusedError
from vpp_streams.kafka.decode import Read

Key = tuple[str, int]
"""A topic's name and a partition."""


@dataclass(slots=True)
class Rows:
    """Rows of one kind and day of one partition, in the order of the log."""

    offsets: list[int] = field(default_factory=list)
    written_ms: list[int] = field(default_factory=list)
    _pieces: list[list[Any] | pa.RecordBatch] = field(default_factory=list)
    """Records that followed each other, and frames, of which each row is one."""

    def add(self, record: Any, read: Read[Any]) -> None:
        """Add a record."""
        if not self._pieces or isinstance(self._pieces[-1], pa.RecordBatch):
            self._pieces.append([])
        self._pieces[-1].append(record)
        self._place(read, 1)

    def add_all(self, frame: pa.RecordBatch, read: Read[Any]) -> None:
        """Add the rows of a frame."""
        self._pieces.append(frame)
        self._place(read, frame.num_rows)

    def _place(self, read: Read[Any], rows: int) -> None:
        self.offsets += [read.offset] * rows
        self.written_ms += [read.written_at_ms] * rows

    def table(self, kind: Kind, partition: int) -> pa.Table:
        """The rows with the columns of their kind."""
        leaves = leaves_of(kind.record)
        tables = [
            pa.table(window_columns(piece) if isinstance(piece, pa.RecordBatch)
                     else {leaf.name: leaf.array(piece) for leaf in leaves})
            for piece in self._pieces
        ]  # fmt: skip
        found = pa.concat_tables(table.select([leaf.name for leaf in leaves]) for table in tables)
        place = [
            pa.array([partition] * len(self.offsets), pa.int32()),
            pa.array(self.offsets, pa.int64()),
            pa.array(self.written_ms, pa.int64()),
        ]
        return pa.Table.from_arrays([*found.columns, *place], schema=kind.schema)


class Buffer:
    """Takes records and gives them back as rows to be written."""

    def __init__(self, zones: Zones, keep_days: dict[str, int]) -> None:
        self._zones = zones
        self._keep_days = keep_days
        self._parts: dict[Key, dict[tuple[Kind, date], Rows]] = defaultdict(dict)
        self.rows = 0
        self.expired = 0
        """Rows of days that are older than what is kept."""

    def take(self, topic: str, read: Read[Any], now_ms: int) -> None:
        """Take the rows of a record. Raises `RefusedError` where its time cannot be."""
        if isinstance(read.record, pa.RecordBatch):
            self._take_windows(topic, read, now_ms)
            return
        found = list(rows_of(topic, read.record))
        for kind, row in found:
            if getattr(row, kind.at) > now_ms + AHEAD_MS:
                raise RefusedError(f"its {kind.at} is more than 60 days ahead")
        part = self._parts[topic, read.partition]
        for kind, row in found:
            day = self._day(kind, row, now_ms)
            if day is None:
                self.expired += 1
                continue
            part.setdefault((kind, day), Rows()).add(row, read)
            self.rows += 1

    def _take_windows(self, topic: str, read: Read[pa.RecordBatch], now_ms: int) -> None:
        """Take a frame of site windows, which are all of one start."""
        one = next(windows_of(read.record.slice(0, 1)))
        if one.start_ms > now_ms + AHEAD_MS:
            raise RefusedError("its start_ms is more than 60 days ahead")
        regions = read.record.column("region")
        for kind, _ in rows_of(topic, one):
            by_day: dict[date | None, list[str]] = defaultdict(list)
            for region in regions.unique().to_pylist():
                by_day[self._day(kind, replace(one, region=region), now_ms)].append(region)
            for day, names in by_day.items():
                rows = read.record.filter(pc.is_in(regions, pa.array(names)))
                if day is None:
                    self.expired += rows.num_rows
                    continue
                part = self._parts[topic, read.partition]
                part.setdefault((kind, day), Rows()).add_all(rows, read)
                self.rows += rows.num_rows

    def _day(self, kind: Kind, row: Any, now_ms: int) -> date | None:
        """The day that a row belongs to; None where it is older than what is kept."""
        zone = self._zones.of(row)
        day = day_of(getattr(row, kind.at), zone)
        kept = day >= first_kept(day_of(now_ms, zone), self._keep_days[kind.name])
        return day if kept else None

    def drain(self) -> Iterator[tuple[Key, Kind, date, Rows]]:
        """Give back everything that was taken, and forget it."""
        parts, self._parts, self.rows = self._parts, defaultdict(dict), 0
        for key, part in parts.items():
            for (kind, day), rows in part.items():
                yield key, kind, day, rows
