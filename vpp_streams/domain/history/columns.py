"""Columns of a contract: a msgspec Struct as one flat row, so that any Parquet tool can read it.

A Struct within a Struct becomes columns with its field's name in front (``battery_energy_wh``), a
tuple of numbers a list, and any other tuple, dict or union a JSON text. Every column may be null:
contracts grow, and a column that an older record does not have is *not known*.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import inspect

T = TypeVar("T", bound=msgspec.Struct)
JSON = pa.string()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column, and the fields that lead from a record to its value."""

    name: str
    path: tuple[str, ...]
    type: pa.DataType
    as_json: bool = False

    def array(self, records: Sequence[Any]) -> pa.Array:
        """The column of some records; null where a Struct on the way is absent."""
        found: Sequence[Any] = records
        for field in self.path:
            found = [None if one is None else getattr(one, field) for one in found]
        if self.as_json:
            found = [None if one is None else msgspec.json.encode(one).decode() for one in found]
        return pa.array(found, self.type)


@cache
def leaves_of(record: type[msgspec.Struct]) -> tuple[Leaf, ...]:
    """The columns of a contract, in the order of its fields."""
    return tuple(_leaves(inspect.type_info(record), ()))


def window_columns(frame: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns of `SiteWindow` for a frame of them: what was not measured is null."""
    names = frame.schema.names
    columns = {name: _known(frame.column(name)) for name in names}
    parts = (frame.column(name).cast(pa.string()) for name in ("site_id", "size_s", "start_ms"))
    return columns | {"window_id": pc.binary_join_element_wise(*parts, "|")}


def _known(column: pa.Array) -> pa.Array:
    """The column with null for NaN."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def record_of(record: type[T], row: Mapping[str, Any]) -> T:
    """The record of a row. Raises `msgspec.ValidationError` for one that is not by the contract.

    A Struct of which every column is null is absent.
    """
    found: dict[str, Any] = {}
    for leaf in leaves_of(record):
        value = row.get(leaf.name)
        *above, last = leaf.path
        if value is None:
            if above:
                found.setdefault(above[0], None)
            continue
        inner = found
        for field in above:
            if inner.get(field) is None:
                inner[field] = {}
            inner = inner[field]
        inner[last] = msgspec.json.decode(value) if leaf.as_json else value
    return msgspec.convert(found, record)


def _leaves(struct: inspect.Type, path: tuple[str, ...]) -> Iterator[Leaf]:
    assert isinstance(struct, inspect.StructType)
    for field in struct.fields:
        type_, here = _present(field.type), (*path, field.name)
        if isinstance(type_, inspect.StructType):
            yield from _leaves(type_, here)
            continue
        arrow = _arrow(type_)
        yield Leaf("_".join(here), here, arrow or JSON, as_json=arrow is None)


def _present(type_: inspect.Type) -> inspect.Type:
    """The type of a value that is there: without None, and without notes for people."""
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    if isinstance(type_, inspect.UnionType):
        others = [one for one in type_.types if not isinstance(one, inspect.NoneType)]
        return _present(others[0]) if len(others) == 1 else type_
    return type_


def _arrow(type_: inspect.Type) -> pa.DataType | None:
    """The Arrow type of a plain value or a tuple of numbers; None = it is kept as JSON."""
    match type_:
        case inspect.BoolType():
            return pa.bool_()
        case inspect.IntType():
            return pa.int64()
        case inspect.FloatType():
            return pa.float64()
        case inspect.StrType():
            return pa.string()
        case inspect.LiteralType(values=values) if all(isinstance(v, str) for v in values):
            return pa.string()
        case inspect.VarTupleType(item_type=item) if isinstance(_present(item), inspect.FloatType):
            return pa.list_(pa.float64())
        case _:
            return None
