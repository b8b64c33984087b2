"""Recognises the columns of a CSV table by its header."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.market import PRODUCTS, Product
from vpp_streams.domain.files.price_files.report import Notes, Wanted

_UNIT = re.compile(
    r"(\$|€|£|(?<![a-z])(?:[a-z]{3}|ct))?[\s_]*(?:/|per\b|_)[\s_]*([km])wh?(?![a-z])",
    re.IGNORECASE,
)
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP"}
_CURRENCIES = {
    "EUR", "USD", "AUD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN",
    "CAD", "NZD", "JPY", "INR", "SGD", "ZAR", "BRL", "TRY",
}  # fmt: skip
_ZONES = {"zone", "region", "regionid", "area", "bidding zone", "market area", "price area", "node"}
_STARTS = {"start", "starts", "begin", "beginning", "from"}
_ENDS = {"end", "ends", "ending", "he"}
_TIMES = {"time", "timestamp", "datetime", "date", "utc", "hour", *_STARTS, *_ENDS}
_REGULATION = {"reg", "regulation", "regup", "regdown", "regdn", "raisereg", "lowerreg"}
_RESERVES = {"reserve", "reserves", "spin", "spinning", "contingency"}
_ENERGIES = {"price", "energy", "rrp", "lmp", "spot"}
_NOT_PRICES = {"forecast", "load", "demand", "generation", "consumption", "volume", "status"}


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column of prices, or one that was requested by name."""

    at: int
    name: str
    """Name in the header."""
    factor: float = 1.0
    """Factor to a price per MWh, or per MW and hour."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table, by their place from 0, and how to read them."""

    width: int
    time: int
    names_end: bool
    """Whether its times are the ends of the intervals."""
    is_utc: bool
    """Whether the header says that times are UTC."""
    zone: int | None
    products: tuple[Product, ...]
    """Products that the table has prices of, energy first."""
    values: tuple[ValueColumn, ...]
    """One column for each product, then the extra ones."""
    currency: str | None


def read_layout(header: Sequence[str], wanted: Wanted) -> Layout | str:
    """The layout of a table, or a sentence that says why it has none and what to do."""
    times = [at for at, name in enumerate(header) if _words(name) & _TIMES and not _product(name)]
    if not times:
        return f"{_not_one(header)}: its header names no time such as start, time or datetime"
    time = next((at for at in times if _words(header[at]) & _STARTS), times[0])
    columns: dict[Product, ValueColumn] = {}
    for product in PRODUCTS:
        name = wanted.columns.get(product)
        found = _named(header, name) if name else _of_product(header, product)
        if name and not found:
            return f"it has no column {name!r}; it has {_spoken(header)}"
        if len(found) > 1:
            several = _spoken([header[at] for at in found])
            return f"several of its columns can be the price of {product}: {several}; name one"
        if found:
            columns[product] = _column(header, found[0])
    if "energy" not in columns:
        return f"{_not_one(header)}: its header names no price"
    extra = [_named(header, name) for name in wanted.extra]
    if not all(extra):
        missing = [name for name, at in zip(wanted.extra, extra, strict=True) if not at]
        return f"it has no column {_spoken(missing)}; it has {_spoken(header)}"
    energy = columns["energy"]
    return Layout(
        width=len(header),
        time=time,
        names_end=bool(_words(header[time]) & _ENDS),
        is_utc="utc" in _words(header[time]),
        zone=next((at for at, name in enumerate(header) if name.strip().lower() in _ZONES), None),
        products=tuple(columns),
        values=(*columns.values(), *(ValueColumn(at[0], header[at[0]]) for at in extra)),
        currency=_currency(energy.name),
    )


def note_layout(layout: Layout, header: Sequence[str], notes: Notes) -> None:
    """Note which parts of a table are ignored, converted or assumed."""
    used = {layout.time, layout.zone, *(column.at for column in layout.values)}
    unknown = [name[:40] for at, name in enumerate(header) if at not in used]
    what = "Columns that are not known here."
    notes.add("unknown_column", what, "ignored", count=len(unknown), examples=unknown)
    for column in layout.values:
        if column.factor != 1:
            what = "Prices that are not per MWh (of capacity: per MW and hour)."
            done = f"multiplied by {column.factor:g}"
            notes.add("converted", what, done, examples=[column.name[:40]])
    unit = _UNIT.search(layout.values[0].name)
    if unit and unit[1] == "$":
        notes.add("assumed", "Prices in $.", f"counted as {layout.currency}")


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", _UNIT.sub(" ", name).lower()))


def _product(name: str) -> Product | None:
    words = _words(name)
    if words & _NOT_PRICES:
        return None
    if words & _REGULATION:
        if words & {"up", "regup", "raisereg"}:
            return "reg_up"
        return "reg_down" if words & {"down", "dn", "regdown", "regdn", "lowerreg"} else None
    if words & _RESERVES:
        return "reserve"
    return "energy" if words & _ENERGIES else None


def _of_product(header: Sequence[str], product: Product) -> list[int]:
    return [at for at, name in enumerate(header) if _product(name) == product]


def _named(header: Sequence[str], name: str) -> list[int]:
    return [at for at, column in enumerate(header) if column.lower() == name.strip().lower()]


def _column(header: Sequence[str], at: int) -> ValueColumn:
    unit = _UNIT.search(header[at])
    if unit is None:
        return ValueColumn(at, header[at])
    factor = 1000.0 if unit[2].lower() == "k" else 1.0
    return ValueColumn(at, header[at], factor / 100 if (unit[1] or "").lower() == "ct" else factor)


def _currency(name: str) -> str | None:
    unit = _UNIT.search(name)
    text = ((unit and unit[1]) or "").upper()
    return _SYMBOLS.get(text) or (text if text in _CURRENCIES else None)


def _not_one(header: Sequence[str]) -> str:
    return f"it is no price file that is known here (its first line is {_spoken(header)})"


def _spoken(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:30]) for name in names[:8]) or "empty"
    return shown + (", ..." if len(names) > 8 else "")
