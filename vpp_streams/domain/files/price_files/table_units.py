"""Settles the units of a table's prices, from its header, a row or columns of units, and options.

Whatever is said must be understood and agree; otherwise the file is refused, with the way out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.market import Product
from vpp_streams.domain.files.price_files.report import Notes, RefusedError, Wanted
from vpp_streams.domain.files.price_files.table_header import Layout, ValueColumn
from vpp_streams.domain.files.price_files.units import Unit, of_currency, read_unit

NO_CURRENCY = "XXX"
"""ISO 4217's code for no currency: prices of a file that does not name one."""
_WAY_OUT = "write it into the header as price (EUR/MWh), or give `vpp prices --unit EUR/MWh`"
_NOTHING = {"", "-", "nan", "na", "n/a", "null", "none"}


@dataclass(frozen=True, slots=True)
class Units:
    """How a table's numbers become prices per MWh (of capacity: per MW and hour)."""

    factors: tuple[float, ...]
    """For each column of `Layout.values`."""
    currency: str


def is_units_row(cells: Sequence[str], layout: Layout, is_time: bool) -> bool:
    """Whether the row below the header may hold units: no time and no number, but words."""
    text = cells[layout.values[0].at] if len(cells) == layout.width else ""
    has_words = text.lower() not in _NOTHING and not any(char.isdecimal() for char in text[:4])
    return not is_time and has_words


def table_units(
    layout: Layout,
    units_row: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    wanted: Wanted,
    notes: Notes,
) -> Units:
    """The units of all columns. Raises `RefusedError` where they are not certain.

    ``rows`` are those that are read, each as wide as the header.
    """
    named_by_rows = _units_of_rows(layout, rows)
    factors = [1.0] * len(layout.values)
    currency = wanted.currency
    for at, (column, product) in enumerate(zip(layout.values, layout.products, strict=False)):
        said = [*named_by_rows, *([units_row[column.at]] if units_row else [])]
        unit = _unit(column, product, said, wanted)
        if isinstance(unit, str):
            raise RefusedError(
                f"the unit of its column {column.name[:40]!r} is not certain: {unit}; {_WAY_OUT}"
            )
        factors[at] = unit.factor
        currency = _one_currency(column, unit, currency)
        _note(column, unit, currency, notes)
    if currency is None:
        notes.add("assumed", "The file names no currency.", f"counted as {NO_CURRENCY} (none)")
    return Units(tuple(factors), currency or NO_CURRENCY)


def _one_currency(column: ValueColumn, unit: Unit, currency: str | None) -> str | None:
    """The currency of a column and of those before it; None = unknown. Raises `RefusedError`."""
    named = next(iter(unit.currencies), None)
    if currency is not None and named not in (None, currency):
        raise RefusedError(
            f"its column {column.name[:40]!r} is in {named}, and another in {currency}"
        )
    return currency or named


def _units_of_rows(layout: Layout, rows: Sequence[Sequence[str]]) -> list[str]:
    """What the columns of units say, the same in all rows. Raises `RefusedError`."""
    found: list[str] = []
    for at in layout.units:
        texts = sorted({row[at] for row in rows if row[at]})
        if len(texts) > 1:
            shown = ", ".join(repr(text[:20]) for text in texts[:4])
            raise RefusedError(
                f"its prices are in several units ({shown}); take one --zone at a time"
            )
        found += texts
    return found


def _unit(column: ValueColumn, product: Product, said: Sequence[str], wanted: Wanted) -> Unit | str:
    """A column's unit, or what is not certain about it."""
    texts = [column.name, *(f"({text})" for text in said if text.lower() not in _NOTHING)]
    for text in texts[1:]:
        alone = read_unit(text)
        if alone is None or (isinstance(alone, str) and "per which" not in alone):
            return alone or f"{text[1:21]!r} is not known here"
    unit = read_unit(" ".join(texts))
    given = wanted.unit if product == "energy" else None
    if given is not None:
        both = read_unit(" ".join([*texts, f"({given})"]))
        unit = both if isinstance(unit, Unit) else read_unit(f"({given})")
        if isinstance(unit, str):
            return f"it does not fit the unit given, {given!r}: {unit}"
    if isinstance(unit, str):
        return unit
    unit = unit or Unit("", 1.0, "", frozenset(), False)
    if product == "energy" and unit.measure == "power":
        return f"{unit.text[:40]!r} is a price of power, not of energy"
    return of_currency(unit, wanted.currency)


def _note(column: ValueColumn, unit: Unit, currency: str | None, notes: Notes) -> None:
    """Note what was converted and what was assumed."""
    if not unit.measure:
        done = "taken per MWh (of capacity: per MW and hour)"
        notes.add("assumed", "Prices whose column names no energy such as MWh.", done)
    if unit.factor != 1.0 or unit.is_sub:
        what = "Prices that are not per MWh in whole units of the currency."
        done = f"multiplied by {unit.factor:g}"
        notes.add("converted", what, done, examples=[f"{column.name[:40]}: {unit.text[:20]}"])
    if "$" in unit.text.split():
        notes.add("assumed", "Prices in $.", f"counted as {currency}")
