"""Names to numbers: as a dict would, whatever the names."""

from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.compiled_kernels import numpy_only
from vpp_streams.domain.registry import name_index
from vpp_streams.domain.registry.name_index import UNKNOWN, NameIndex

names = st.lists(st.text(alphabet="ab\0é", max_size=20), max_size=30)
"""Few letters, so that names are beginnings of one another; a NUL is what fills up words."""


def array(values: list[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


@given(st.lists(st.tuples(names, names), max_size=6))
def test_equals_a_dict(rounds: list[tuple[list[str], list[str]]]) -> None:
    index = NameIndex()
    known: dict[str, int] = {}
    for added, asked in rounds:
        new = [name for name in dict.fromkeys(added) if name not in known]
        known |= {name: len(known) + i for i, name in enumerate(new)}
        index.add(new)
        expected = [known.get(name, UNKNOWN) for name in asked]
        # A slice of a longer array has its names in the middle of the buffer.
        middle = array(["x", *asked, "a name that is longer than the others"]).slice(1, len(asked))
        numbers = np.array([*known.values(), UNKNOWN], np.int64)
        for form in (nullcontext, numpy_only):
            with form():
                assert index.find(array(asked)).tolist() == expected
                assert index.find(middle).tolist() == expected
                assert index.names(numbers).to_pylist() == [*known, ""]
        assert len(index) == len(known)


def test_many_names_that_differ_in_a_digit() -> None:
    index = NameIndex()
    many = [f"pw-home-{i:06d}" for i in range(50_000)]
    index.add(many[:10])
    assert index.find(array(many[:20])).tolist() == [*range(10), *[UNKNOWN] * 10]
    index.add(many[10:])
    assert index.find(array(many)).tolist() == list(range(50_000))
    assert index.find(array(["pw-home-050000", "pw-home-00000", ""])).tolist() == [UNKNOWN] * 3


def test_names_of_the_same_first_slot_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_index, "_FACTORS", np.zeros_like(name_index._FACTORS))  # noqa: SLF001  # all names then have the same hash
    index = NameIndex()
    many = [f"n{i}" for i in range(200)]
    index.add(many)
    for form in (nullcontext, numpy_only):
        with form():
            assert index.find(array([*many, "n200"])).tolist() == [*range(200), UNKNOWN]


def test_a_name_longer_than_any_contract_allows_is_an_error() -> None:
    with pytest.raises(ValueError, match="600 bytes"):
        NameIndex().find(array(["a", "b" * 600]))
