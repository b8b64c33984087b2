"""Arrow without pandas, for processes that use none: they start sooner and are smaller."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Makes ``import pandas`` fail."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> None:
        if fullname == "pandas":
            raise ImportError("this process uses Arrow without pandas")


def use_arrow_without_pandas() -> None:
    """Have pyarrow look for pandas now and find none; in this process it looks only once.

    With its first array pyarrow imports pandas if that is installed: 0.5 s and 50 MB, and at a
    worker's first frame. Our own ``import pandas`` works as ever; only pyarrow's conversions from
    and to it do not. Without effect where pandas is imported already.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
