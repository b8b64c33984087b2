"""How the columns of a table are declared: one row per device or site, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
"""Columns by name; shape (n,) or (width, n)."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is stored: ``width`` 1 = shape (n,), else (width, n)."""

    dtype: type
    fill: float | str = 0
    width: int = 1
