"""Reads ENTSO-E's day-ahead prices: Publication_MarketDocument of type A44, in XML.

A file may hold several prices for an interval: a later revision of a series replaces an earlier
one, and only one of a zone's auctions is used: the lowest position of the classification
sequence (1 is the auction that couples the zones). Prices of other contracts than day-ahead are
left out.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.files.price_files.entsoe_series import (
    Point,
    contracts_of,
    read_series,
    under,
)
from vpp_streams.domain.files.price_files.intervals import ZoneRows, settle, spoken_time
from vpp_streams.domain.files.price_files.report import (
    EXAMPLES,
    NO_MARKET_ZONE,
    Notes,
    PriceReading,
    Report,
    Wanted,
)

FORMAT = "ENTSO-E day-ahead prices (A44)"
_FLOOR = -500.0
_CAP_4000_MS = int(datetime(2022, 5, 10, 22, tzinfo=UTC).timestamp() * 1000)
"""From this delivery on the coupled auction's cap is 4000 EUR/MWh, before it 3000."""


class _DoctypeError(ValueError):
    pass


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses documents that declare a type: only they can define entities."""

    def doctype(self, *_declared: str | None) -> None:
        raise _DoctypeError


def read_entsoe(data: bytes, wanted: Wanted) -> PriceReading:
    """The prices of a day-ahead document."""
    root = _root_of(data)
    if isinstance(root, str):
        return _nothing(root)
    notes = Notes()
    points: dict[str, list[Point]] = defaultdict(list)
    for series in root:
        if series.tag.rpartition("}")[2] == "TimeSeries":
            read_series(series, points, notes)
    contracts = contracts_of(root)
    if contracts and not any(points.values()) and notes.has("other_contract"):
        there = ", ".join(contracts)
        failure = f"it has no day-ahead prices (contract A01); its contracts: {there}"
        return PriceReading({}, Report(FORMAT, (), notes.findings(), failure))
    named = {point.currency for each in points.values() for point in each}
    if wanted.currency is not None and named and wanted.currency not in named:
        there = ", ".join(sorted(named))
        return _nothing(f"its prices are in {there}, and the currency given is {wanted.currency}")
    if points and wanted.time_zone is None:
        notes.add("assumed", *NO_MARKET_ZONE)
    zones = {zone: _zone_rows(zone, each, wanted, notes) for zone, each in points.items() if each}
    euros = all(rows.currency == "EUR" for rows in zones.values())
    return settle(
        FORMAT, zones, ("energy",), wanted, notes=notes, limits=_limits if euros else None
    )


def _root_of(data: bytes) -> ElementTree.Element | str:
    """The root of a day-ahead document, or why it is none."""
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_NoDoctype()))
    except _DoctypeError:
        return "it has a document type (DOCTYPE), which is not read for safety"
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        return f"it is no XML that can be read: {str(error)[:80]}"
    return _why_not(root) or root


def _nothing(failure: str) -> PriceReading:
    return PriceReading({}, Report(FORMAT, failure=failure))


def _why_not(root: Element) -> str:
    """Why a document has no prices; empty where it may have some."""
    name = root.tag.rpartition("}")[2]
    if name == "Acknowledgement_MarketDocument":
        reasons = [child for child in root if child.tag.rpartition("}")[2] == "Reason"]
        text = "; ".join(f"{under(each, 'text')} (code {under(each, 'code')})" for each in reasons)
        return f"ENTSO-E answered without prices: {' '.join(text.split())[:300] or 'no reason'}"
    if name != "Publication_MarketDocument":
        return f"it is XML, but no Publication_MarketDocument of ENTSO-E (it is {name[:60]!r})"
    kind = under(root, "type")
    return "" if kind == "A44" else f"it is a document of type {kind[:20]!r}; prices are A44"


# Which of several prices of an interval


def _zone_rows(zone: str, points: Sequence[Point], wanted: Wanted, notes: Notes) -> ZoneRows:
    if wanted.zone in (None, zone):
        points = _one_currency(zone, points, notes)
        points = _one_auction(zone, points, wanted.interval_ms, notes)
        points = _newest(zone, points, notes)
        points = _each_interval(zone, points, notes)
    return ZoneRows(
        points[0].currency,
        [point.start_ms for point in points],
        [point.length_ms for point in points],
        [(point.price,) for point in points],
    )


def _one_currency(zone: str, points: Sequence[Point], notes: Notes) -> Sequence[Point]:
    currency = points[0].currency
    others = [point for point in points if point.currency != currency]
    what = f"Prices in another currency than {currency}."
    count, first = len(others), _examples(zone, others)
    notes.add("mixed_currency", what, "left out", count=count, lost=count, examples=first)
    return [point for point in points if point.currency == currency]


def _one_auction(
    zone: str, points: Sequence[Point], asked_ms: int | None, notes: Notes
) -> Sequence[Point]:
    """The points of the first auction; those of others are noted as lost where it has none."""
    lengths = {point.length_ms for point in points}
    lengths = {asked_ms} if asked_ms in lengths else lengths
    requested = [point for point in points if point.length_ms in lengths]
    best = min(point.position for point in requested)
    covered = {point.key for point in requested if point.position == best}
    others = [point for point in requested if point.position != best and point.source != "missing"]
    lost = [
        point
        for point in others
        if not any((m, point.start_ms - point.start_ms % m) in covered for m in lengths)
    ]
    what = f"Prices of other auctions than the one taken (classification position {best})."
    notes.add(
        "overlap", what, "left out",
        count=len(others), lost=len(lost), examples=_examples(zone, lost or others),
    )  # fmt: skip
    return [p for p in points if p.position == best or p.length_ms not in lengths]


def _newest(zone: str, points: Sequence[Point], notes: Notes) -> Sequence[Point]:
    newest: dict[tuple[int, int], int] = {}
    for point in points:
        if point.source != "missing":
            newest[point.key] = max(newest.get(point.key, 0), point.revision)
    old = [p for p in points if p.source != "missing" and p.revision < newest[p.key]]
    what = "Prices that a later revision replaces."
    notes.add("revision", what, "left out", count=len(old), examples=_examples(zone, old))
    return [p for p in points if p.source == "missing" or p.revision == newest[p.key]]


def _each_interval(zone: str, points: Sequence[Point], notes: Notes) -> Sequence[Point]:
    """Every interval that has a price, and each of the others once, without one."""
    priced = {point.key for point in points if point.source != "missing"}
    missing = {point.key: point for point in points if point.key not in priced}
    what = "Intervals of a period for which it has no point."
    first, count = _examples(zone, list(missing.values())), len(missing)
    notes.add("gap", what, "gaps: nothing filled in", count=count, lost=count, examples=first)
    held = [point for point in points if point.source == "held"]
    what, done = (
        "Intervals without a point of their own.",
        "the price before holds (curve type A03)",
    )
    notes.add("held_price", what, done, count=len(held), examples=_examples(zone, held))
    kept = [*(point for point in points if point.source != "missing"), *missing.values()]
    # The order of series has no meaning.
    return sorted(kept, key=lambda point: point.start_ms)


def _examples(zone: str, points: Sequence[Point]) -> list[str]:
    return [f"{zone} {spoken_time(point.start_ms)}" for point in points[:EXAMPLES]]


def _limits(start_ms: Ints) -> tuple[Floats, Floats]:
    """Floor and cap of the coupled day-ahead auction, EUR/MWh."""
    cap = np.where(start_ms < _CAP_4000_MS, 3000.0, 4000.0)
    return np.full(len(cap), _FLOOR), cap
