"""Gives the rows of a table their times in UTC, by zone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from vpp_streams.domain.files.price_files.cells import note_row
from vpp_streams.domain.files.price_files.day_hours import first_hour, stamps_of
from vpp_streams.domain.files.price_files.intervals import ZoneRows, lengths_of
from vpp_streams.domain.files.price_files.report import (
    NO_MARKET_ZONE,
    Notes,
    RefusedError,
    Wanted,
)
from vpp_streams.domain.files.price_files.stamps import day_first, parse_stamp, to_utc_ms
from vpp_streams.domain.files.price_files.time_columns import JOIN, TimeColumns


@dataclass(slots=True)
class Texts:
    """One zone's rows with their times as text, in the file's order."""

    lines: list[int] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    hours: list[str] = field(default_factory=list)
    """Empty where stamps are complete."""
    values: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, line: int, stamp: str, hour: str | None, values: tuple[float, ...]) -> None:
        """Add a row; ``hour`` None = its stamp is complete."""
        self.lines.append(line)
        self.stamps.append(stamp)
        self.values.append(values)
        if hour is not None:
            self.hours.append(hour)


def timed_zones(
    by_zone: Mapping[str, Texts],
    times: TimeColumns,
    wanted: Wanted,
    currency: str,
    notes: Notes,
) -> dict[str, ZoneRows]:
    """Each zone's rows with their starts. Raises `RefusedError` where times are not certain."""
    every = [stamp for texts in by_zone.values() for stamp in texts.stamps]
    order = day_first(every)
    if order is None:
        raise RefusedError("its dates can be day/month or month/day; write them as 2024-01-31")
    hours = [hour for texts in by_zone.values() for hour in texts.hours]
    first = first_hour(hours, times.names_end, times.names_start) if hours else None
    _note_hours(hours, first, notes)
    zones = {}
    for name, texts in by_zone.items():
        zone = "UTC" if times.is_utc else wanted.time_zone
        stamps = _stamps(texts, order, first, zone=ZoneInfo(zone or "UTC"), notes=notes)
        _note_zone([stamp for stamp in stamps if stamp], zone, wanted, notes)
        rows = _rows(texts, stamps, zone=ZoneInfo(zone or "UTC"), currency=currency, notes=notes)
        # Hours by their number, and ranges of a clock, are read at their starts.
        if times.names_end and first is None and not any("-" in hour for hour in texts.hours):
            _end(rows, wanted.interval_ms)
        zones[name] = rows
    return zones


def _stamps(
    texts: Texts, order: bool, first: int | None, *, zone: ZoneInfo, notes: Notes
) -> list[datetime | None]:
    """The stamp of each row; None where it cannot be read. Raises `RefusedError`."""
    if texts.hours:
        return stamps_of(
            texts.stamps, texts.hours, first, is_day_first=order, zone=zone, notes=notes
        )
    stamps = [parse_stamp(text, order) for text in texts.stamps]
    seen = Counter(stamp for stamp in stamps if stamp)
    if seen and all(stamp.hour == stamp.minute == stamp.second == 0 for stamp in seen):
        day, count = seen.most_common(1)[0]
        if count > 1:
            raise RefusedError(
                f"its times name days only, and {day:%Y-%m-%d} has {count} rows; {JOIN}"
            )
    return stamps


def _rows(
    texts: Texts, stamps: Sequence[datetime | None], *, zone: ZoneInfo, currency: str, notes: Notes
) -> ZoneRows:
    """One zone's rows that have a time, with that time in UTC as their start."""
    hours = texts.hours or [""] * len(texts.stamps)
    for line, stamp, text, hour in zip(texts.lines, stamps, texts.stamps, hours, strict=True):
        if stamp is None:
            note_row(notes, line, f"{f'{text} {hour}'.strip()!r} is no time")
    values = [value for value, stamp in zip(texts.values, stamps, strict=True) if stamp]
    utc_ms = to_utc_ms([stamp for stamp in stamps if stamp], zone, notes)
    rows = ZoneRows(currency)
    rows.values = [value for value, ms in zip(values, utc_ms, strict=True) if ms is not None]
    rows.start_ms = [ms for ms in utc_ms if ms is not None]
    return rows


def _end(rows: ZoneRows, asked_ms: int | None) -> None:
    """Take the times of rows as the ends of their intervals."""
    ends = np.asarray(rows.start_ms, np.int64)
    # An interval reaches from its end back to the end before it: time is mirrored.
    lengths = lengths_of(-ends, asked_ms)
    rows.length_ms = lengths.tolist()
    rows.start_ms = (ends - np.maximum(lengths, 0)).tolist()


def _note_hours(hours: Sequence[str], first: int | None, notes: Notes) -> None:
    if not hours:
        return
    done = "read as clock times" if first is None else f"hour {first} begins at 00:00"
    notes.add("assumed", "Time in two columns, a day and its hour.", done, examples=hours[:3])


def _note_zone(stamps: Sequence[datetime], zone: str | None, wanted: Wanted, notes: Notes) -> None:
    """Note what is not said about time zones, and whether clock changes can be in the stamps."""
    naive = [stamp for stamp in stamps if stamp.tzinfo is None]
    if wanted.time_zone is None and (zone is not None or len(naive) < len(stamps)):
        notes.add("assumed", *NO_MARKET_ZONE)
    if not naive or zone is not None:
        return
    what = "Stamps that name no time zone."
    notes.add("assumed", what, "taken as UTC; a time zone can be given", count=len(naive))
    days = Counter(stamp.date() for stamp in naive)
    inner = sorted(days)[1:-1]
    if len(inner) > 200 and len({days[day] for day in inner}) == 1:
        what = f"Days of {days[inner[0]]} rows each, over more than a clock change."
        done = "read as days of 24 hours; if they are local days, an hour is off half the year"
        notes.add("naive_days", what, done, count=len(inner))
