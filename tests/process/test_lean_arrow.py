"""Arrow without pandas, in processes of their own: pytest's has imported pandas long ago."""

import subprocess
import sys

import pytest

USE_ARROW = """
import sys
import numpy as np
import pyarrow as pa
from vpp_streams.process.lean_arrow import use_arrow_without_pandas

def arrow_gives():
    numbers = pa.array(np.arange(3.0), mask=np.array([False, True, False]))
    words = pa.RecordBatch.from_pylist([{"a": "x"}, {"a": None}]).to_pydict()
    return numbers.to_pylist(), words, pa.chunked_array([[1, 2]]).to_numpy().tolist()
"""
EXPECTED = "([0.0, None, 2.0], {'a': ['x', None]}, [1, 2])"


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", USE_ARROW + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_arrow_works_and_does_not_import_pandas() -> None:
    code = "use_arrow_without_pandas(); print(arrow_gives()); print('pandas' in sys.modules)"
    assert run(code) == [EXPECTED, "False"]


@pytest.mark.parametrize("first", ["", "import pandas; "])
def test_our_own_import_of_pandas_works(first: str) -> None:
    code = f"{first}use_arrow_without_pandas(); import pandas; print(pandas.Series([1, 2]).sum())"
    assert run(code) == ["3"]
