"""Rows of the log that are not in a file yet, by partition, kind and day."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from vpp_streams.domain.history.columns import leaves_of
from vpp_streams.domain.history.days import AHEAD_MS, Zones, day_of, first_kept
from vpp_streams.domain.history.kinds import Kind, rows_of
from vpp_streams.errors import RefusedError
from vpp_streams.kafka.decode import Read

Key = tuple[str, int]
"""A topic's name and a partition."""


@dataclass(slots=True)
class Rows:
    """Rows of one kind and day of one partition, in the order of the log."""

    records: list[Any] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    written_ms: list[int] = field(default_factory=list)

    def table(self, kind: Kind, partition: int) -> pa.Table:
        """The rows with the columns of their kind."""
        columns = [leaf.array(self.records) for leaf in leaves_of(kind.record)]
        place = [
            pa.array([partition] * len(self.records), pa.int32()),
            pa.array(self.offsets, pa.int64()),
            pa.array(self.written_ms, pa.int64()),
        ]
        return pa.Table.from_arrays([*columns, *place], schema=kind.schema)


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
        found = list(rows_of(topic, read.record))
        for kind, row in found:
            if getattr(row, kind.at) > now_ms + AHEAD_MS:
                raise RefusedError(f"its {kind.at} is more than 60 days ahead")
        part = self._parts[topic, read.partition]
        for kind, row in found:
            at_ms: int = getattr(row, kind.at)
            zone = self._zones.of(row)
            day = day_of(at_ms, zone)
            if day < first_kept(day_of(now_ms, zone), self._keep_days[kind.name]):
                self.expired += 1
                continue
            rows = part.setdefault((kind, day), Rows())
            rows.records.append(row)
            rows.offsets.append(read.offset)
            rows.written_ms.append(read.written_at_ms)
            self.rows += 1

    def drain(self) -> Iterator[tuple[Key, Kind, date, Rows]]:
        """Give back everything that was taken, and forget it."""
        parts, self._parts, self.rows = self._parts, defaultdict(dict), 0
        for key, part in parts.items():
            for (kind, day), rows in part.items():
                yield key, kind, day, rows
