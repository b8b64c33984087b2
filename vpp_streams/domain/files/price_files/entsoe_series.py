"""Reads one TimeSeries of an ENTSO-E document into a price for each interval of its periods.

Curve type A01 has a point for each interval: a missing one is a gap. In A03 a point holds until
the next.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element

from vpp_streams.domain.files.price_files.cells import price_of
from vpp_streams.domain.files.price_files.report import Notes
from vpp_streams.domain.files.price_files.unit_words import CURRENCIES
from vpp_streams.domain.moments import DAY_MS, HOUR_MS, MINUTE_MS

MAX_PERIOD_MS = 400 * DAY_MS
"""Longest period that is read; none that was published is longer."""
_MINUTES = {"PT1M": 1, "PT5M": 5, "PT10M": 10, "PT15M": 15, "PT30M": 30, "PT60M": 60, "PT1H": 60}
_PER_MWH = {"GWH": 0.001, "MWH": 1.0, "KWH": 1000.0, "WH": 1e6}
DAY_AHEAD = "A01"
"""Contract type of the day-ahead auction."""
_CONTRACTS = {
    "A02": "weekly", "A03": "monthly", "A04": "yearly", "A05": "total", "A06": "long term",
    "A07": "intraday", "A08": "quarterly", "A13": "hourly",
}  # fmt: skip
_CONTRACT = "contract_MarketAgreement.type"
_POSITION = "classificationSequence_AttributeInstanceComponent.position"


Source = Literal["point", "held", "missing"]
"""Whether an interval has a point of its own, the price of the point before it, or no price."""


class Point(NamedTuple):
    """The price of an interval."""

    start_ms: int
    length_ms: int
    price: float
    """Price per MWh; NaN = not known."""
    currency: str
    position: int
    """Of the classification sequence: the auction of several; the least one is used."""
    revision: int
    source: Source

    @property
    def key(self) -> tuple[int, int]:
        """Length and start of the interval, ms."""
        return self.length_ms, self.start_ms


class _Period(NamedTuple):
    start_ms: int
    length_ms: int
    intervals: int


def read_series(series: Element, points: dict[str, list[Point]], notes: Notes) -> None:
    """Add the points of a TimeSeries to those of its zone; notes what cannot be read."""
    zone, name = under(series, "in_Domain.mRID"), f"series {under(series, 'mRID')[:20]}"
    currency, curve = under(series, "currency_Unit.name"), under(series, "curveType") or "A01"
    factor = _PER_MWH.get(under(series, "price_Measure_Unit.name") or "MWH")
    position = _whole(under(series, _POSITION) or "1")
    revision = _whole(under(series, "revisionNumber") or "1")
    known = zone and under(series, "out_Domain.mRID") in ("", zone) and curve in ("A01", "A03")
    money = currency in CURRENCIES
    if not known or not money or factor is None or position is None or revision is None:
        _note_other(series, name, notes)
        return
    if not _is_day_ahead(series, name, notes):
        return
    for period in _all(series, "Period"):
        span = _span(period)
        if span is None:
            what = "Prices of periods whose time or resolution cannot be read."
            lost = len(_all(period, "Point"))
            notes.add("unreadable_row", what, "left out", count=lost, lost=lost, examples=[name])
            continue
        _note_day(zone, span, notes)
        for at, (price, source) in enumerate(
            _prices(period, span, curve=curve, factor=factor, name=name, notes=notes)
        ):
            start_ms = span.start_ms + at * span.length_ms
            point = Point(start_ms, span.length_ms, price, currency, position, revision, source)
            points[zone].append(point)


def _note_other(series: Element, name: str, notes: Notes) -> None:
    what = "Prices of series with a zone, currency, unit, curve type or position not known here."
    lost = sum(len(_all(period, "Point")) for period in _all(series, "Period"))
    notes.add("other_series", what, "left out", count=lost, lost=lost, examples=[name])


def _is_day_ahead(series: Element, name: str, notes: Notes) -> bool:
    """Whether a series is of the day-ahead auction; notes where it is not, or does not say."""
    contract = under(series, _CONTRACT)
    if not contract:
        what = "Series that name no type of contract."
        notes.add("assumed", what, "taken as day-ahead", examples=[name])
    if contract in ("", DAY_AHEAD):
        return True
    count = sum(len(_all(period, "Point")) for period in _all(series, "Period"))
    what = f"Prices of contract {spoken_contract(contract)}: they are not day-ahead."
    notes.add("other_contract", what, "left out", count=count, examples=[name])
    return False


def contracts_of(root: Element) -> list[str]:
    """The types of contract that a document's series name, for people."""
    found = {under(series, _CONTRACT) for series in _all(root, "TimeSeries")}
    return [spoken_contract(contract) for contract in sorted(found - {""})]


def spoken_contract(contract: str) -> str:
    """A type of contract for people, such as ``A07 (intraday)``."""
    return f"{contract[:10]} ({_CONTRACTS.get(contract, 'not known here')})"


def under(element: Element, name: str) -> str:
    """The text of the first child with this name, in any namespace; empty = none."""
    found = _all(element, name)
    return (found[0].text or "").strip() if found else ""


def _all(element: Element, name: str) -> list[Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _span(period: Element) -> _Period | None:
    """The intervals of a period; None where they cannot be read."""
    minutes = _MINUTES.get(under(period, "resolution"))
    within = _all(period, "timeInterval")
    start_ms = _ms(under(within[0], "start")) if within else None
    end_ms = _ms(under(within[0], "end")) if within else None
    if minutes is None or start_ms is None or end_ms is None:
        return None
    count, rest = divmod(end_ms - start_ms, minutes * MINUTE_MS)
    if rest or count <= 0 or end_ms - start_ms > MAX_PERIOD_MS:
        return None
    return _Period(start_ms, minutes * MINUTE_MS, count)


def _ms(text: str) -> int | None:
    try:
        stamp = datetime.fromisoformat(text)
        if stamp.tzinfo is None or stamp.year < 1971:
            return None
        return round(stamp.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _note_day(zone: str, span: _Period, notes: Notes) -> None:
    hours = span.length_ms * span.intervals / HOUR_MS
    if hours in (23, 25):
        day = datetime.fromtimestamp((span.start_ms + DAY_MS // 2) / 1000, UTC)
        example = f"{zone} {day:%Y-%m-%d} ({hours:g} h)"
        notes.add("dst_day", "Periods of 23 or 25 hours.", "read as such", examples=[example])


def _prices(
    period: Element, span: _Period, *, curve: str, factor: float, name: str, notes: Notes
) -> Iterator[tuple[float, Source]]:
    """The price of each interval of a period; NaN where it is not known."""
    prices, strays = _prices_by_position(period, span, factor, name=name, notes=notes)
    # A stray's place is not known: a price could be held beyond where the stray ends it.
    holds = curve == "A03" and not strays
    price = math.nan
    for at in range(1, span.intervals + 1):
        before, price = price, prices.get(at, price if holds else math.nan)
        if at in prices:
            yield price, "point"
        else:
            yield price, "missing" if math.isnan(before) or not holds else "held"


def _prices_by_position(
    period: Element, span: _Period, factor: float, *, name: str, notes: Notes
) -> tuple[dict[int, float], int]:
    """The prices of a period's points by position from 1, and how many points have no place."""
    prices: dict[int, float] = {}
    strays = 0
    for point in _all(period, "Point"):
        at, text = _whole(under(point, "position")), under(point, "price.amount")
        example = f"{name}: position {under(point, 'position')[:10]}, price {text[:20]}"
        if at is None or not 1 <= at <= span.intervals:
            strays += 1
            what = "Points whose position is none of their period's."
            notes.add("unreadable_row", what, "left out", lost=1, examples=[example])
            continue
        price = price_of(text, factor)
        if math.isnan(price):
            what, done = "Points without a price that can be read.", "their intervals are left out"
            notes.add("unreadable_price", what, done, lost=1, examples=[example])
        elif prices.get(at, price) != price:
            what, done = "Points that contradict another of their period.", "both left out"
            notes.add("contradiction", what, done, lost=1, examples=[example])
            price = math.nan
        prices[at] = price
    return prices, strays
