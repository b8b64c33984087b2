"""Names of files, and which of them are merged."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.history.layout import (
    MANY,
    SETTLE_MS,
    FileAge,
    Flushed,
    day_files,
    day_folder,
    day_in,
    digest_of,
    flushed,
    merged_name,
    to_merge,
)

DAY = date(2026, 11, 28)
NOON_MS = 1_795_867_200_000
MERGED = merged_name(["a", "b"])


def name(first: int) -> str:
    return Flushed(3, first, first + 9, "ab12cd34").name


@given(st.integers(0, 99), st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_name_gives_back_its_offsets(partition: int, first: int, last: int) -> None:
    made = Flushed(partition, first, last, "0123abcd")
    assert flushed(made.name) == made


@pytest.mark.parametrize("other", [MERGED, "x.parquet", ".3-1-2-ab12cd34.parquet", "3-1-2.parquet"])
def test_other_names_have_no_offsets(other: str) -> None:
    assert flushed(other) is None


def test_a_merged_name_depends_on_its_sources_and_not_on_their_order() -> None:
    assert merged_name(["b", "a"]) == MERGED
    assert merged_name(["a"]) != MERGED
    assert digest_of(MERGED)
    assert digest_of(name(0)) is None


def test_the_folder_of_a_day() -> None:
    assert day_in(day_folder(DAY)) == DAY
    assert day_in("day=2026-02-30") is None
    assert day_in("_progress") is None


def test_a_day_is_exact_with_one_merged_file() -> None:
    assert day_files(DAY, [MERGED, ".draft", "notes.txt"]).exact == digest_of(MERGED)
    assert day_files(DAY, [name(0)]).exact is None
    assert day_files(DAY, [MERGED, name(0)]).exact is None


def ages(*written_ms: int) -> list[FileAge]:
    return [FileAge(name(10 * i), at) for i, at in enumerate(written_ms)]


def test_while_a_day_lasts_the_files_of_earlier_hours_become_one() -> None:
    files = [*ages(NOON_MS - 2, NOON_MS - 1, NOON_MS), FileAge(MERGED, NOON_MS - 9)]
    assert to_merge(files, is_over=False, now_ms=NOON_MS + 5) == (name(0), name(10))
    assert to_merge(ages(NOON_MS - 1, NOON_MS), is_over=False, now_ms=NOON_MS + 5) == ()
    many = ages(*[NOON_MS] * MANY)
    assert len(to_merge(many, is_over=False, now_ms=NOON_MS + 5)) == MANY


def test_a_day_that_is_over_becomes_one_file_once_it_is_quiet() -> None:
    files = [*ages(NOON_MS), FileAge(MERGED, NOON_MS - 9)]
    assert to_merge(files, is_over=True, now_ms=NOON_MS + SETTLE_MS - 1) == ()
    assert set(to_merge(files, is_over=True, now_ms=NOON_MS + SETTLE_MS)) == {name(0), MERGED}
    # A single file from the log can have several revisions of a window.
    assert to_merge(ages(0), is_over=True, now_ms=NOON_MS) == (name(0),)
    assert to_merge([FileAge(MERGED, 0)], is_over=True, now_ms=NOON_MS) == ()
    assert to_merge([], is_over=True, now_ms=NOON_MS) == ()
