"""Recognises the columns of a CSV table by its header: zone, products, and columns of units."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.market import PRODUCTS, Product
from vpp_streams.domain.files.price_files.report import Notes, RefusedError, Wanted

_ZONES = {"zone", "region", "regionid", "area", "bidding zone", "market area", "price area", "node"}
_UNITS = {"unit", "units", "uom", "currency", "price unit", "price currency", "unit of measure"}
_REGULATION = {"reg", "regulation", "regup", "regdown", "regdn", "raisereg", "lowerreg"}
_RESERVES = {"reserve", "reserves", "spin", "spinning", "contingency"}
_ENERGIES = {"price", "energy", "rrp", "lmp", "spot"}
_NOT_PRICES = {"forecast", "load", "demand", "generation", "consumption", "volume", "status"}


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column of prices, or one of any numbers that was requested by name."""

    at: int
    name: str
    """Name in the header."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table, by their place from 0; those of time come from their contents."""

    width: int
    zone: int | None
    products: tuple[Product, ...]
    """Products that the table has prices of, energy first."""
    values: tuple[ValueColumn, ...]
    """One column for each product, then the extra ones."""
    units: tuple[int, ...]
    """Columns that say the unit or the currency of each row's prices."""


def read_layout(header: Sequence[str], wanted: Wanted) -> Layout:
    """The layout of a table. Raises `RefusedError`."""
    columns = _price_columns(header, wanted)
    extra = _extra_columns(header, wanted, {column.at for column in columns.values()})
    plain = [" ".join(re.split(r"[\W_]+", name.lower())).strip() for name in header]
    return Layout(
        width=len(header),
        zone=next((at for at, name in enumerate(plain) if name in _ZONES), None),
        products=tuple(columns),
        values=(*columns.values(), *extra),
        units=tuple(at for at, name in enumerate(plain) if name in _UNITS),
    )


def _price_columns(header: Sequence[str], wanted: Wanted) -> dict[Product, ValueColumn]:
    """The column of each product that has one; energy has one."""
    columns: dict[Product, ValueColumn] = {}
    for product in PRODUCTS:
        name = wanted.columns.get(product)
        found = _named(header, name) if name else _of_product(header, product)
        if name and not found:
            raise RefusedError(f"it has no column {name!r}; it has {_spoken(header)}")
        if len(found) > 1:
            several = _spoken([header[at] for at in found])
            raise RefusedError(
                f"several of its columns can be the price of {product}: {several}; name one"
            )
        if found:
            columns[product] = ValueColumn(found[0], header[found[0]])
    if "energy" not in columns:
        raise RefusedError(f"{not_one(header)}: its header names no price")
    return columns


def _extra_columns(header: Sequence[str], wanted: Wanted, traded: set[int]) -> list[ValueColumn]:
    """The further columns that were requested by name; none of them is ``traded`` already."""
    extra = [_named(header, name) for name in wanted.extra]
    if not all(extra):
        missing = [name for name, at in zip(wanted.extra, extra, strict=True) if not at]
        raise RefusedError(
            f"it has no column {_spoken(missing)}; it has {_spoken(header, len(header))}"
        )
    if repeated := [header[at[0]] for at in extra if at[0] in traded]:
        raise RefusedError(f"its column {_spoken(repeated)} is a price that is read already")
    return [ValueColumn(at[0], header[at[0]]) for at in extra]


def note_unknown(
    layout: Layout, times: Sequence[int | None], header: Sequence[str], notes: Notes
) -> None:
    """Note the columns of a table that are ignored."""
    used = {*times, layout.zone, *layout.units, *(column.at for column in layout.values)}
    unknown = [name[:40] for at, name in enumerate(header) if at not in used]
    what = "Columns that are not known here."
    notes.add("unknown_column", what, "ignored", count=len(unknown), examples=unknown)


def product_of(name: str) -> Product | None:
    """The product whose price a column has by its name; None = it has no price."""
    words = set(re.split(r"[\W_]+", name.lower()))
    if words & _NOT_PRICES or " ".join(re.split(r"[\W_]+", name.lower())).strip() in _UNITS:
        return None
    if words & _REGULATION:
        if words & {"up", "regup", "raisereg"}:
            return "reg_up"
        return "reg_down" if words & {"down", "dn", "regdown", "regdn", "lowerreg"} else None
    if words & _RESERVES:
        return "reserve"
    return "energy" if words & _ENERGIES else None


def not_one(header: Sequence[str]) -> str:
    """Why a file is no table of prices, for people."""
    return f"it is no price file that is known here (its first line is {_spoken(header)})"


def _of_product(header: Sequence[str], product: Product) -> list[int]:
    return [at for at, name in enumerate(header) if product_of(name) == product]


def _named(header: Sequence[str], name: str) -> list[int]:
    return [at for at, column in enumerate(header) if column.lower() == name.strip().lower()]


def _spoken(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(repr(name[:30]) for name in names[:most]) or "empty"
    return shown + (", ..." if len(names) > most else "")
