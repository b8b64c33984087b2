"""The types of numpy columns: one row per device, site or moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from edge import arrays

Floats: TypeAlias = arrays.Floats
Ints: TypeAlias = arrays.Ints
Mask: TypeAlias = arrays.Mask
Rows: TypeAlias = Ints
"""Row numbers of a table."""
Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
"""Columns by name; shape (n,) or (width, n)."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is stored: ``width`` 1 = shape (n,), else (width, n)."""

    dtype: type
    fill: float | str = 0
    width: int = 1
