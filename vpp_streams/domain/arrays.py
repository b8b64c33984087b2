"""The types of numpy columns: one row per device, site or moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int64]
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
