"""The types of numpy columns: one row per device, site or moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
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

    def filled(self, rows: int) -> Array:
        """An array of so many rows with the fill."""
        shape = (rows,) if self.width == 1 else (self.width, rows)
        return np.full(shape, self.fill, self.dtype)
