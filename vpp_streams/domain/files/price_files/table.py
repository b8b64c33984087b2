"""Reads CSV tables of prices: a time, a price of energy, and prices of other products if any.

Examples are ``start,price[,reg_up,reg_down,reserve][,zone]``, the published day-ahead forecasts
of epftoolbox (``time,Real price,...``) and DER-VET's (``Datetime (he),DA Price ($/kWh),...``).
What a header leaves open is assumed and stated; what can be read in two ways is refused.
"""

from collections import defaultdict
from collections.abc import Sequence

from vpp_streams.domain.files.price_files.cells import lines_of, note_row
from vpp_streams.domain.files.price_files.intervals import settle
from vpp_streams.domain.files.price_files.power_units import power_units
from vpp_streams.domain.files.price_files.report import (
    Notes,
    PriceReading,
    RefusedError,
    Report,
    Wanted,
)
from vpp_streams.domain.files.price_files.stamps import parse_stamp
from vpp_streams.domain.files.price_files.table_header import (
    Layout,
    not_one,
    note_unknown,
    product_of,
    read_layout,
)
from vpp_streams.domain.files.price_files.table_numbers import Row, mark_of, values_reader
from vpp_streams.domain.files.price_files.table_times import Texts, timed_zones
from vpp_streams.domain.files.price_files.table_units import is_units_row, table_units
from vpp_streams.domain.files.price_files.time_columns import TimeColumns, time_columns

FORMAT = "CSV table"


def read_table(text: str, name: str, wanted: Wanted) -> PriceReading:
    """The prices of a CSV table; ``name`` is the zone of a table that names none."""
    notes = Notes()
    try:
        return _read(text, name, wanted, notes)
    except RefusedError as refused:
        return PriceReading({}, Report(FORMAT, (), notes.findings(), str(refused)))


def _read(text: str, name: str, wanted: Wanted, notes: Notes) -> PriceReading:
    delimiter = _delimiter(text)
    lines = lines_of(text, delimiter)
    _, header = next(lines, (0, []))
    layout = read_layout(header, wanted)
    rows = _complete(list(lines), layout.width, notes)
    times = _times(header, rows)
    units_row, rows = _units_row(rows, layout, times)
    zone = wanted.zone or name
    used = [times.stamp, times.hour]
    mine = [cells for _, cells in rows if layout.zone is None or cells[layout.zone] == zone]
    mine = mine if wanted.zone else [cells for _, cells in rows]
    read_units = power_units if wanted.power else table_units
    units = read_units(layout, units_row, mine, wanted, notes)
    note_unknown(layout, used, header, notes)
    if layout.zone is None:
        notes.add("assumed", "The file names no zone.", f"taken as {zone}")
    mark = mark_of(layout, used, rows, delimiter == ",", wanted)
    read = values_reader(layout, mark, units.factors, notes)
    by_zone: dict[str, Texts] = defaultdict(Texts)
    for row in rows:
        line, cells = row
        hour = None if times.hour is None else cells[times.hour]
        texts = by_zone[zone if layout.zone is None else cells[layout.zone]]
        texts.add(line, cells[times.stamp], hour, read(row))
    zones = timed_zones(by_zone, times, wanted, units.currency, notes)
    return settle(FORMAT, zones, layout.products, wanted, notes=notes)


def _delimiter(text: str) -> str:
    """The most frequent of comma, semicolon and tab in the header."""
    header = text[:10_000].lstrip().partition("\n")[0]
    return max(",;\t", key=header.count)


def _complete(rows: Sequence[Row], width: int, notes: Notes) -> list[Row]:
    """The rows with as many cells as the header; notes the others."""
    for line, cells in rows:
        if len(cells) != width:
            note_row(notes, line, f"{len(cells)} cells for {width} columns")
    return [row for row in rows if len(row[1]) == width]


def _times(header: Sequence[str], rows: Sequence[Row]) -> TimeColumns:
    """The columns of time. Raises `RefusedError`."""
    found = time_columns(header, [cells for _, cells in rows], _is_price)
    if found is None:
        raise RefusedError(
            f"{not_one(header)}: its header names no time such as start, time or datetime"
        )
    return found


def _is_price(name: str) -> bool:
    return product_of(name) is not None


def _units_row(
    rows: list[Row], layout: Layout, times: TimeColumns
) -> tuple[Sequence[str] | None, list[Row]]:
    """The row of units below the header, if there is one, and the rows without it."""
    if not rows:
        return None, rows
    _, first = rows[0]
    is_time = parse_stamp(first[times.stamp], True) or parse_stamp(first[times.stamp], False)
    if not is_units_row(first, layout, is_time is not None):
        return None, rows
    return first, rows[1:]
