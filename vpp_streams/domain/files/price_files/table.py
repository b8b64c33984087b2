"""Reads CSV tables of prices: a time, a price of energy, and prices of other products if any.

Examples are ``start,price[,reg_up,reg_down,reserve][,zone]``, the published day-ahead forecasts
of epftoolbox (``time,Real price,...``) and DER-VET's (``Datetime (he),DA Price ($/kWh),...``).
What a header leaves open is assumed, and the report states it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from vpp_streams.domain.files.price_files.cells import lines_of, note_prices, note_row, price_of
from vpp_streams.domain.files.price_files.intervals import ZoneRows, lengths_of, settle
from vpp_streams.domain.files.price_files.report import Notes, PriceReading, Report, Wanted
from vpp_streams.domain.files.price_files.stamps import day_first, parse_stamp, to_utc_ms
from vpp_streams.domain.files.price_files.table_header import Layout, note_layout, read_layout

NO_CURRENCY = "XXX"
"""ISO 4217's code for no currency: prices of a file that does not name one."""


@dataclass(slots=True)
class _Texts:
    """One zone's rows as text, in the file's order."""

    lines: list[int] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)


def read_table(text: str, name: str, wanted: Wanted) -> PriceReading:
    """The prices of a CSV table; ``name`` is the zone of a table that names none."""
    notes = Notes()
    delimiter = _delimiter(text)
    lines = lines_of(text, delimiter)
    _, header = next(lines, (0, []))
    layout = read_layout(header, wanted)
    if isinstance(layout, str):
        return PriceReading({}, Report("", failure=layout))
    note_layout(layout, header, notes)
    by_zone = _rows(lines, layout, wanted.zone or name, delimiter != ",", notes)
    if layout.zone is None:
        what = "The file names no zone."
        notes.add("assumed", what, f"taken as {wanted.zone or name}")
    order = day_first([stamp for texts in by_zone.values() for stamp in texts.stamps])
    if order is None:
        failure = "its dates can be day/month or month/day; write them as 2024-01-31"
        return PriceReading({}, Report("CSV table", tuple(sorted(by_zone)), failure=failure))
    currency = wanted.currency or layout.currency or NO_CURRENCY
    if currency == NO_CURRENCY:
        notes.add("assumed", "The file names no currency.", f"counted as {NO_CURRENCY} (none)")
    zones = {}
    for zone, texts in by_zone.items():
        zones[zone] = _timed(texts, order, layout, wanted=wanted, currency=currency, notes=notes)
    return settle("CSV table", zones, layout.products, wanted, notes=notes)


def _delimiter(text: str) -> str:
    """The most frequent of comma, semicolon and tab in the header."""
    header = text[:10_000].lstrip().partition("\n")[0]
    return max(",;\t", key=header.count)


def _rows(
    lines: Iterable[tuple[int, list[str]]],
    layout: Layout,
    zone: str,
    decimal_comma: bool,
    notes: Notes,
) -> dict[str, _Texts]:
    """The rows by zone; notes those that are not read."""
    by_zone: dict[str, _Texts] = defaultdict(_Texts)
    for line, cells in lines:
        if len(cells) != layout.width:
            note_row(notes, line, f"{len(cells)} cells for {layout.width} columns")
            continue
        texts = [cells[column.at] for column in layout.values]
        if decimal_comma:
            texts = [_with_point(text, notes) for text in texts]
        values = tuple(
            price_of(text, column.factor) for text, column in zip(texts, layout.values, strict=True)
        )
        rows = by_zone[zone if layout.zone is None else cells[layout.zone]]
        rows.lines.append(line)
        rows.stamps.append(cells[layout.time])
        rows.values.append(values)
        note_prices(notes, values, texts, [column.name for column in layout.values], line)
    return dict(by_zone)


def _with_point(text: str, notes: Notes) -> str:
    if text.count(",") != 1 or "." in text:
        return text
    notes.add("converted", "Prices with a decimal comma.", "read so", examples=[text[:20]])
    return text.replace(",", ".")


def _timed(
    texts: _Texts,
    is_day_first: bool,
    layout: Layout,
    *,
    wanted: Wanted,
    currency: str,
    notes: Notes,
) -> ZoneRows:
    """One zone's rows with their starts."""
    stamps: list[datetime] = []
    values: list[tuple[float, ...]] = []
    for line, text, row in zip(texts.lines, texts.stamps, texts.values, strict=True):
        stamp = parse_stamp(text, is_day_first)
        if stamp is None:
            note_row(notes, line, f"{text!r} is no time")
            continue
        stamps.append(stamp)
        values.append(row)
    zone = "UTC" if layout.is_utc else wanted.time_zone
    if zone is None:
        _note_no_zone(stamps, notes)
    times = to_utc_ms(stamps, ZoneInfo(zone or "UTC"), notes)
    rows = ZoneRows(currency)
    rows.values = [row for row, ms in zip(values, times, strict=True) if ms is not None]
    rows.start_ms = [ms for ms in times if ms is not None]
    if layout.names_end:
        ends = np.asarray(rows.start_ms, np.int64)
        # An interval reaches from its end back to the end before it: time is mirrored.
        lengths = lengths_of(-ends, wanted.interval_ms)
        rows.length_ms = lengths.tolist()
        rows.start_ms = (ends - np.maximum(lengths, 0)).tolist()
    return rows


def _note_no_zone(stamps: Sequence[datetime], notes: Notes) -> None:
    """Note stamps that name no time zone, and whether clock changes can be in them."""
    naive = [stamp for stamp in stamps if stamp.tzinfo is None]
    if not naive:
        return
    what = "Stamps that name no time zone."
    notes.add("assumed", what, "taken as UTC; a time zone can be given", count=len(naive))
    days = Counter(stamp.date() for stamp in naive)
    inner = sorted(days)[1:-1]
    if len(inner) > 200 and len({days[day] for day in inner}) == 1:
        what = f"Days of {days[inner[0]]} rows each, over more than a clock change."
        done = "read as days of 24 hours; if they are local days, an hour is off half the year"
        notes.add("naive_days", what, done, count=len(inner))
