"""Turns the rows of any format into the prices of a zone, each interval once.

Intervals lie on the grid of their resolution in UTC: a start is a multiple of its length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.market import Product
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.files.price_files.report import (
    EXAMPLES,
    Notes,
    PriceReading,
    Report,
    Wanted,
)
from vpp_streams.domain.market.rules import Prices
from vpp_streams.domain.moments import DAY_MS, MINUTE_MS

Limits = Callable[[Ints], tuple[Floats, Floats]]
"""Gives the least and greatest energy price of intervals, by their starts (ms since 1970 UTC)."""

_RUN = 4
"""This many rows in sequence make another resolution; fewer are strays, or rows beside gaps."""


@dataclass(slots=True)
class ZoneRows:
    """The rows of one zone in the file's order; every list has one entry per row."""

    currency: str
    start_ms: list[int] = field(default_factory=list)
    length_ms: list[int] = field(default_factory=list)
    """Empty where the file does not state them: they follow from the rows' distances."""
    values: list[tuple[float, ...]] = field(default_factory=list)
    """A value for each column; NaN = not known."""


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Rows as columns."""

    start_ms: Ints
    values: NDArray[np.float64]

    def only(self, rows: NDArray[np.bool_] | Ints) -> "_Table":
        return _Table(self.start_ms[rows], self.values[rows])


def settle(
    format_: str,
    by_zone: Mapping[str, ZoneRows],
    products: Sequence[Product],
    wanted: Wanted,
    *,
    notes: Notes,
    limits: Limits | None = None,
) -> PriceReading:
    """The reading of a file whose rows have a value per product, energy first, then the extra."""
    zones = tuple(sorted(zone for zone, rows in by_zone.items() if rows.start_ms))
    prices: dict[str, Prices] = {}
    extra: dict[str, Mapping[str, Floats]] = {}
    lengths: set[int] = set()
    for zone in zones:
        rows = by_zone[zone]
        if wanted.zone not in (None, zone):
            _note_other_zone(zone, rows, notes)
            continue
        table, interval_ms = _one_resolution(zone, rows, wanted.interval_ms, notes, lengths)
        table = _settled(zone, table, interval_ms, notes, limits)
        if not len(table.start_ms):
            continue
        by_column = np.ascontiguousarray(table.values.T)
        per_product = dict(zip(products, by_column, strict=False))
        prices[zone] = Prices(zone, rows.currency, interval_ms, table.start_ms, per_product)
        extra[zone] = dict(zip(wanted.extra, by_column[len(products) :], strict=True))
    failure = "" if prices else _why_none(zones, wanted, lengths)
    return PriceReading(prices, Report(format_, zones, notes.findings(), failure), extra)


def _note_other_zone(zone: str, rows: ZoneRows, notes: Notes) -> None:
    what = "Rows of another zone than the one requested."
    notes.add("other_zone", what, "left out", count=len(rows.start_ms), examples=[zone])


def _why_none(zones: Sequence[str], wanted: Wanted, lengths: set[int]) -> str:
    if wanted.zone is not None and zones and wanted.zone not in zones:
        return f"there is no zone {wanted.zone!r} in it; it has {', '.join(zones)}"
    if wanted.interval_ms is not None and lengths and wanted.interval_ms not in lengths:
        there = ", ".join(spoken_length(length) for length in sorted(lengths))
        return f"it has no prices of {spoken_length(wanted.interval_ms)}; it has those of {there}"
    if not zones:
        return "there is no row in it that can be read as a price and its time"
    return "none of its rows gives a price that is certain"


def spoken_time(ms: int) -> str:
    """A time for people, such as ``2024-03-31 01:00 UTC``."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def spoken_length(ms: int) -> str:
    """A length for people, such as ``15 min``."""
    return f"{ms / MINUTE_MS:g} min"


def _at(zone: str, starts: Ints) -> list[str]:
    return [f"{zone} {spoken_time(int(ms))}" for ms in starts[:EXAMPLES]]


# Resolution


def _one_resolution(
    zone: str, rows: ZoneRows, asked_ms: int | None, notes: Notes, lengths: set[int]
) -> tuple[_Table, int]:
    """The rows of one resolution: the requested one, else that of most rows, the finer of two."""
    starts = np.asarray(rows.start_ms, np.int64)
    values = np.asarray(rows.values, np.float64).reshape(len(starts), -1)
    table = _Table(starts, values)
    stated = bool(rows.length_ms)
    each = np.asarray(rows.length_ms, np.int64) if stated else lengths_of(starts, asked_ms)
    found, counts = np.unique(each[each > 0], return_counts=True)
    lengths.update(found.tolist())
    interval_ms = asked_ms or (int(found[np.argmax(counts)]) if len(found) else DAY_MS)
    for length in np.unique(each[each != interval_ms]).tolist():
        other = each == length
        done = "left out"
        if length > 0:
            what = f"Rows of {spoken_length(length)} beside those of {spoken_length(interval_ms)}."
            done += f"; requesting an interval of {spoken_length(length)} reads these instead"
        elif length:
            what = "Rows that the next one follows too soon for their interval to be known."
        else:
            what = "Rows of a zone with too few to know how long its intervals are."
        count = int(other.sum())
        first = _at(zone, starts[other])
        lost = 0 if asked_ms and length > 0 else count
        notes.add("mixed_resolution", what, done, count=count, lost=lost, examples=first)
    return table.only(each == interval_ms), interval_ms


def lengths_of(starts: Ints, asked_ms: int | None = None) -> Ints:
    """The length of each row's interval, ms, by when the next begins; 0 = not known.

    Rows have the commonest length (or ``asked_ms``) unless the next row is nearer: then their
    distance counts, or -1 if no market has that length. Rows further apart have it too, because
    files have gaps, unless several in sequence are: there the file has another resolution.
    """
    each, where = np.unique(starts, return_inverse=True)
    if len(each) < 2:
        return np.full(len(starts), asked_ms or 0, np.int64)
    apart = np.diff(each)
    apart = np.append(apart, apart[-1])
    usual = (apart >= MINUTE_MS) & (DAY_MS % apart == 0)
    if not usual.any():
        return np.zeros(len(starts), np.int64)
    edges = np.flatnonzero(np.diff(apart, prepend=-1, append=-1))
    in_run = np.repeat(np.diff(edges), np.diff(edges)) >= _RUN
    found, counts = np.unique(apart[usual], return_counts=True)
    main = int(found[np.argmax(counts)])
    if asked_ms is not None and asked_ms in apart[usual & in_run]:
        main = asked_ms
    nearer = np.where(usual, apart, -1)
    further = np.where(usual & in_run, apart, main)
    length = np.where(apart < main, nearer, np.where(apart > main, further, main))
    return np.asarray(length[where], np.int64)


# Each interval once


def _settled(
    zone: str, table: _Table, interval_ms: int, notes: Notes, limits: Limits | None
) -> _Table:
    if not len(table.start_ms):
        return table
    table = _on_grid(zone, table, interval_ms, notes)
    table = _sorted(zone, table, notes)
    seen = np.unique(table.start_ms)
    _note_gaps(zone, seen, interval_ms, notes)
    table = _each_once(zone, table, notes)
    table = table.only(~np.isnan(table.values[:, 0]))
    if limits is not None:
        _note_limits(zone, table, limits, notes)
    return table


def _on_grid(zone: str, table: _Table, interval_ms: int, notes: Notes) -> _Table:
    off = table.start_ms % interval_ms != 0
    what = f"Intervals that do not begin on the UTC grid of {spoken_length(interval_ms)}."
    count = int(off.sum())
    examples = _at(zone, table.start_ms[off])
    notes.add("off_grid", what, "left out", count=count, lost=count, examples=examples)
    return table.only(~off)


def _sorted(zone: str, table: _Table, notes: Notes) -> _Table:
    back = np.flatnonzero(np.diff(table.start_ms) < 0) + 1
    what = "Rows that stand after later ones."
    examples = _at(zone, table.start_ms[back])
    notes.add("unsorted", what, "sorted by time", count=len(back), examples=examples)
    return table.only(np.argsort(table.start_ms, kind="stable"))


def _note_gaps(zone: str, starts: Ints, interval_ms: int, notes: Notes) -> None:
    """Note the gaps between ``starts``, of all intervals that the file has, in order."""
    missing = np.diff(starts) // interval_ms - 1
    where = np.flatnonzero(missing > 0)
    count = int(missing[where].sum())
    examples = [
        f"{_at(zone, starts[at : at + 1] + interval_ms)[0]}: {missing[at]} missing" for at in where
    ][:EXAMPLES]
    what = "Intervals between the first and the last that the file does not have."
    notes.add("gap", what, "gaps: nothing filled in", count=count, lost=count, examples=examples)


def _each_once(zone: str, table: _Table, notes: Notes) -> _Table:
    """The sorted rows without repeats; where two differ, both are left out."""
    starts, values = table.start_ms, table.values
    first = np.insert(np.diff(starts) > 0, 0, True) if len(starts) else np.zeros(0, bool)
    group = np.cumsum(first) - 1
    head = values[first][group] if len(starts) else values
    differs = ~np.all((values == head) | (np.isnan(values) & np.isnan(head)), axis=1)
    bad = np.zeros(int(first.sum()), bool)
    bad[group[differs]] = True
    repeat = ~first & ~bad[group]
    examples = _at(zone, starts[repeat])
    what = "Rows that say again what another row says."
    notes.add("duplicate", what, "dropped", count=int(repeat.sum()), examples=examples)
    count = int(bad.sum())
    what = "Intervals for which two rows have different prices."
    examples = _at(zone, starts[first][bad])
    notes.add("contradiction", what, "left out", count=count, lost=count, examples=examples)
    return table.only(first & ~bad[group])


def _note_limits(zone: str, table: _Table, limits: Limits, notes: Notes) -> None:
    floor, cap = limits(table.start_ms)
    energy = table.values[:, 0]
    low, high = energy <= floor, energy >= cap
    starts = table.start_ms
    what = "Energy prices at the market's floor (or below)."
    examples = _at(zone, starts[low])
    notes.add("at_floor", what, "kept", count=int(low.sum()), examples=examples)
    what = "Energy prices at the market's cap (or above)."
    examples = _at(zone, starts[high])
    notes.add("at_cap", what, "kept", count=int(high.sum()), examples=examples)
