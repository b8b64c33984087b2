"""Frames of site windows: a row means what a record of its values means, and no bytes do harm."""

import random
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import END, decode_json, encode_json
from schemas.window_frames import (
    COUNTS,
    POWER_COLUMNS,
    SCHEMA_NAME,
    SITE_WINDOWS_V1,
    SOC_COLUMNS,
    by_contract,
    decode_windows,
    encode_windows,
    windows_of,
)
from schemas.windows import SiteWindow
from tests.support.paths import GOLDEN
from tests.support.web_records import site_window
from tests.support.window_frames import frame_of

START_MS = 1_800_000_000_000
WINDOWS = [
    site_window("home-1", START_MS),
    site_window("home-2", START_MS, battery=None, soc=None, revision=3, bad=2),
    site_window("home-3", START_MS, grid=None, solar=None, load=None),
]
NAN, INFINITE = float("nan"), float("inf")
HOSTILE = [NAN, INFINITE, -INFINITE, -1.0, 2e6, 1.5e12, -1.5e12, 2e15, 0.5]
NAMES = ["home-1", "", "x" * 64, "x" * 65, "a\n", "a b", "ä", "-a", "a|b", "A.b_c:d-"]
NUMBERS = [*POWER_COLUMNS, *SOC_COLUMNS, "coverage"]
change = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(HOSTILE)),
    st.tuples(st.sampled_from(COUNTS), st.sampled_from([-1, 0, 2**53, 2**53 + 1])),
    st.tuples(st.just("size_s"), st.sampled_from([0, 1, 86_400, 86_401])),
    st.tuples(st.just("start_ms"), st.sampled_from([-1, 0, 2**61])),
    st.tuples(st.sampled_from(["site_id", "region"]), st.sampled_from(NAMES)),
)


def test_the_rows_of_a_frame_are_the_records() -> None:
    batch = decode_windows(encode_windows(frame_of(WINDOWS)))
    assert list(windows_of(batch)) == WINDOWS
    assert list(windows_of(WINDOWS[0])) == [WINDOWS[0]]


def test_equal_rows_give_equal_bytes() -> None:
    assert encode_windows(frame_of(WINDOWS)) == encode_windows(frame_of(WINDOWS))


@given(st.lists(change, min_size=1, max_size=3))
def test_a_row_is_by_the_contract_where_its_record_is(changes: list[tuple[str, Any]]) -> None:
    row = frame_of(WINDOWS[:1]).to_pylist()[0] | dict(changes)
    batch = pa.RecordBatch.from_pylist([row], SITE_WINDOWS_V1)
    assert by_contract(batch).tolist() == [_is_by_the_contract(row)]


def _is_by_the_contract(row: dict[str, Any]) -> bool:
    """Whether JSON of a record with these values could be read; no number is left out."""
    document: dict[str, Any] = {"window_id": "w"}
    for name, value in row.items():
        outer, _, inner = name.partition("_")
        if outer in ("battery", "grid", "solar", "load", "soc"):
            document.setdefault(outer, {})[inner] = value
        else:
            document[name] = value
    for outer in ("battery", "grid", "solar", "load", "soc"):
        if all(np.isnan(value) for value in document[outer].values()):
            del document[outer]
    try:
        decode_json(encode_json(document), SiteWindow)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"start_ms": [START_MS, START_MS, 0]}, "several values of start_ms"),
        ({"size_s": [60, 900, 60]}, "several values of size_s"),
        ({"coverage": [1.0, NAN, 1.0]}, "row 1 .home-2. is outside the contract"),
    ],
)
def test_a_frame_with_such_rows_is_refused(changes: dict[str, Any], why: str) -> None:
    columns = frame_of(WINDOWS).to_pydict() | changes
    batch = pa.RecordBatch.from_pydict(columns, SITE_WINDOWS_V1)
    with pytest.raises(ValueError, match=why):
        decode_windows(encode_windows(batch))


def test_a_frame_without_rows_or_of_another_schema_is_refused() -> None:
    empty = encode_windows(frame_of([]))
    other = encode_windows(frame_of(WINDOWS)).replace(b"grid_min_w", b"grid_mim_w")
    for bytes_ in (empty, other, b"", END, b"{}"):
        with pytest.raises(ValueError, match=SCHEMA_NAME):
            decode_windows(bytes_)


@given(st.integers())
def test_a_damaged_frame_is_read_or_refused_and_never_more(seed: int) -> None:
    chance, good = random.Random(seed), encode_windows(frame_of(WINDOWS))
    damaged = bytearray(good[: chance.choice((len(good), chance.randrange(len(good))))] or b"x")
    for _ in range(chance.choice((1, 2, 8))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    try:
        batch = decode_windows(bytes(damaged))
    except ValueError:
        return
    assert by_contract(batch).all()


def test_the_golden_frame_decodes() -> None:
    first, second = windows_of(decode_windows((GOLDEN / f"{SCHEMA_NAME}.1.arrow").read_bytes()))
    assert (first.site_id, first.start_ms, first.size_s) == ("home-417", START_MS, 60)
    assert first.battery is not None
    assert first.battery.energy_wh == 40.5
    assert first.soc is not None
    assert (second.site_id, second.revision, second.battery, second.soc) == (
        "home-418", 2, None, None,
    )  # fmt: skip
