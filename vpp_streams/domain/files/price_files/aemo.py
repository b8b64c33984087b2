"""Reads AEMO's price tables: raw MMS records, and flat CSV exports of them.

Stamps name the end of an interval in market time, UTC+10 all year. Where the market operator
intervened, an interval has two rows: INTERVENTION 0 is the price that is settled, rows with 1 are
left out. An export whose columns dispatch and trading have in common is read by the spacing of
its rows, 5 or 30 minutes. Products: energy RRP, regulation up RAISEREGRRP and down LOWERREGRRP, and
as contingency reserve RAISE60SECRRP, one of the four raise services that are called only after a
contingency (`Wanted.columns` may name another). AUD per MWh, and per MW and hour.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from schemas.market import PRODUCTS, Product
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.files.price_files.aemo_records import (
    Part,
    flat_table,
    is_records,
    record_tables,
)
from vpp_streams.domain.files.price_files.cells import note_prices, note_row, price_of
from vpp_streams.domain.files.price_files.intervals import ZoneRows, lengths_of, settle
from vpp_streams.domain.files.price_files.report import Notes, PriceReading, Report, Wanted
from vpp_streams.domain.market.rules import Prices
from vpp_streams.domain.moments import HOUR_MS, MINUTE_MS

COLUMNS: Mapping[Product, str] = {
    "energy": "RRP",
    "reg_up": "RAISEREGRRP",
    "reg_down": "LOWERREGRRP",
    "reserve": "RAISE60SECRRP",
}
FIVE_MIN_MS = 5 * MINUTE_MS
HALF_HOUR_MS = 30 * MINUTE_MS
MARKET_TIME_MS = 10 * HOUR_MS
"""How far market time is ahead of UTC."""
FIVE_MINUTE_SETTLEMENT_MS = 1_633_010_400_000
"""2021-10-01 in market time, ms: from then on 5 minutes are settled, before it half-hours."""
FLOOR = -1000.0
_CAP_FROM_JULY = {
    2002: 10_000, 2010: 12_500, 2012: 12_900, 2013: 13_100, 2014: 13_500, 2015: 13_800,
    2016: 14_000, 2017: 14_200, 2018: 14_500, 2019: 14_700, 2020: 15_000, 2021: 15_100,
    2022: 15_500, 2023: 16_600, 2024: 17_500, 2025: 20_300,
}  # fmt: skip
_TABLES = ("DISPATCH,PRICE", "TRADING,PRICE")
_BY_SPACING = "PRICE"
"""A flat export with columns that dispatch and trading have in common."""
_KNOWN = re.compile(
    r"|SETTLEMENTDATE|RUNNO|REGION(ID)?|DISPATCHINTERVAL|PERIODID|INTERVENTION|RRP|EEP|ROP|APCFLAG"
    r"|MARKETSUSPENDEDFLAG|INVALIDFLAG|LASTCHANGED|(PRICE|OCD|MII)_STATUS|TOTALDEMAND|PERIODTYPE"
    r"|(RAISE|LOWER)(1SEC|6SEC|60SEC|5MIN|REG)(RRP|ROP|APCFLAG)|(CUMUL_)?PRE_AP_\w+_PRICE"
)


def is_aemo(text: str) -> bool:
    """Whether a file is AEMO's: MMS records, or a flat export with their columns."""
    header = text[:10_000].lstrip().partition("\n")[0].upper().replace('"', "").split(",")
    names = {name.strip() for name in header}
    return is_records(text) or ("SETTLEMENTDATE" in names and bool({"REGIONID", "REGION"} & names))


def read_aemo(text: str, wanted: Wanted) -> PriceReading:
    """The prices of an AEMO file; from MMS records those of dispatch, else those of trading."""
    notes = Notes()
    if wanted.currency not in (None, "AUD"):
        return _nothing(f"its prices are in AUD, and the currency given is {wanted.currency}")
    if not is_records(text):
        part = flat_table(text)
        return _read(_table_of(part), [part], wanted, notes)
    tables = record_tables(text, notes)
    name = next((name for name in _TABLES if name in tables), None)
    if name is None:
        there = ", ".join(name[:40] for name in list(tables)[:8]) or "none"
        return _nothing(f"it has no table {' or '.join(_TABLES)}; its tables: {there}")
    for other in tables.keys() - {name}:
        what = f"Rows of another table than {name}."
        count = sum(len(part.rows) for part in tables[other])
        notes.add("other_table", what, "left out", count=count, examples=[other])
    return _read(name, tables[name], wanted, notes)


def _table_of(part: Part) -> str:
    """The table that a flat export is of, by its columns; where they fit both, by its spacing."""
    if {"DISPATCHINTERVAL", "INTERVENTION"} & set(part.header):
        return _TABLES[0]
    return _TABLES[1] if "PERIODID" in part.header else _BY_SPACING


def thirty_minute(prices: Prices) -> Prices:
    """What was settled before October 2021: the mean of the six dispatch prices of a half-hour.

    A half-hour without all six is left out, and so is what is settled by 5 minutes.
    """
    half_hours, first, count = np.unique(
        prices.start_ms // HALF_HOUR_MS, return_index=True, return_counts=True
    )
    starts = half_hours * HALF_HOUR_MS
    complete = (count == 6) & (starts < FIVE_MINUTE_SETTLEMENT_MS)
    rows = first[complete, None] + np.arange(6)
    means = {product: each[rows].mean(axis=1) for product, each in prices.per_product.items()}
    return Prices(prices.zone, prices.currency, HALF_HOUR_MS, starts[complete], means)


def _nothing(failure: str) -> PriceReading:
    return PriceReading({}, Report("AEMO", failure=failure))


def _read(name: str, parts: Sequence[Part], wanted: Wanted, notes: Notes) -> PriceReading:
    existing = {column for part in parts for column in part.header}
    columns = {**COLUMNS, **{p: column.upper() for p, column in wanted.columns.items()}}
    requested = ["RRP", *(columns[product] for product in wanted.columns), *wanted.extra]
    missing = [column for column in requested if column.upper() not in existing]
    if missing:
        return _nothing(f"table {name} has no column {', '.join(missing)}")
    unknown = sorted(existing - set(requested), key=str)
    unknown = [column[:40] for column in unknown if not _KNOWN.fullmatch(column)]
    what = "Columns that are not known here."
    notes.add("unknown_column", what, "ignored", count=len(unknown), examples=unknown)
    products = [product for product in PRODUCTS if columns[product] in existing]
    read = [columns[product] for product in products] + [extra.upper() for extra in wanted.extra]
    zones: dict[str, ZoneRows] = {}
    for part in parts:
        _add_rows(zones, part, read, name != _TABLES[1], notes)
    if name == _BY_SPACING:
        name = _space(zones.values(), wanted.interval_ms)
    label = f"AEMO {name.partition(',')[0].lower()} prices"
    return settle(label, zones, products, wanted, notes=notes, limits=_limits)


def _add_rows(
    zones: dict[str, ZoneRows], part: Part, read: Sequence[str], dispatch: bool, notes: Notes
) -> None:
    """Add the rows of a part that are settled prices; columns that it does not have are NaN."""
    header = part.header
    at = {column: header.index(column) for column in header}
    stamp_at, zone_at = at.get("SETTLEMENTDATE"), at.get("REGIONID", at.get("REGION"))
    for line, cells in part.rows:
        if len(cells) != len(header) or stamp_at is None or zone_at is None or not cells[zone_at]:
            note_row(notes, line, f"{len(cells)} cells for {len(header)} columns")
            continue
        end_ms = _end_ms(cells[stamp_at])
        if end_ms is None:
            note_row(notes, line, repr(cells[stamp_at][:40]))
            continue
        if not _settles(cells, at, line, notes):
            continue
        half_hour = not dispatch and end_ms <= FIVE_MINUTE_SETTLEMENT_MS
        length_ms = HALF_HOUR_MS if half_hour else FIVE_MIN_MS
        rows = zones.setdefault(cells[zone_at], ZoneRows("AUD"))
        rows.start_ms.append(end_ms - length_ms)
        rows.length_ms.append(length_ms)
        texts = [cells[at[column]] if column in at else "" for column in read]
        rows.values.append(tuple(map(price_of, texts)))
        note_prices(notes, rows.values[-1], texts, read, line)


def _space(zones: Iterable[ZoneRows], asked_ms: int | None) -> str:
    """Set the lengths of 5-minute rows that may be half-hours by their spacing; name the table."""
    trading = True
    for rows in zones:
        ends = np.asarray(rows.start_ms, np.int64) + FIVE_MIN_MS
        old = np.flatnonzero(ends <= FIVE_MINUTE_SETTLEMENT_MS)
        # An interval reaches from its end back to the end before it: time is mirrored.
        spaced = lengths_of(-ends[old], asked_ms)
        for at, length_ms in zip(old.tolist(), spaced.tolist(), strict=True):
            known = length_ms if length_ms in (FIVE_MIN_MS, HALF_HOUR_MS) else min(length_ms, 0)
            rows.length_ms[at] = known
            rows.start_ms[at] = int(ends[at]) - (known if known > 0 else FIVE_MIN_MS)
        trading = trading and FIVE_MIN_MS not in spaced
    return _TABLES[1 if trading else 0]


def _settles(cells: Sequence[str], at: Mapping[str, int], line: int, notes: Notes) -> bool:
    """Whether a row is the price that is settled; notes the reason where it is not."""
    intervention = cells[at["INTERVENTION"]] if "INTERVENTION" in at else "0"
    if intervention == "1":
        what = "Rows with INTERVENTION 1: what the price would be by the physical run."
        example = f"line {line}: {cells[at['SETTLEMENTDATE']]}"
        notes.add("intervention", what, "left out; rows with 0 are settled", examples=[example])
        return False
    if intervention not in ("0", "0.0"):
        note_row(notes, line, f"INTERVENTION {intervention[:20]!r}")
        return False
    status = cells[at["PRICE_STATUS"]] if "PRICE_STATUS" in at else ""
    if status not in ("", "FIRM"):
        what = "Rows whose price may change still (PRICE_STATUS is not FIRM)."
        notes.add("not_firm", what, "left out", lost=1, examples=[f"line {line}: {status[:20]}"])
        return False
    return True


def _end_ms(text: str) -> int | None:
    try:
        stamp = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    if stamp.tzinfo is not None or stamp.year < 1970:
        return None
    return round(stamp.replace(tzinfo=UTC).timestamp() * 1000) - MARKET_TIME_MS


def _limits(start_ms: Ints) -> tuple[Floats, Floats]:
    """The floor and the cap of energy prices, AUD/MWh; a cap holds for a year from July."""
    begins = [_july_ms(year) for year in _CAP_FROM_JULY]
    caps = list(_CAP_FROM_JULY.values())
    cap = [caps[max(0, bisect_right(begins, ms) - 1)] for ms in start_ms.tolist()]
    return np.full(len(cap), FLOOR), np.asarray(cap, np.float64)


def _july_ms(year: int) -> int:
    return round(datetime(year, 7, 1, tzinfo=UTC).timestamp() * 1000) - MARKET_TIME_MS
