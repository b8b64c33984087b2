"""Periods by local time, also where clocks change."""

from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.history.periods import (
    GROUPS,
    MOST_PERIODS,
    Group,
    boundaries_ms,
    label,
    moment_ms,
    windows_in,
)

BERLIN, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
HOUR_MS = 3_600_000
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "America/St_Johns",
    )
]


def span(from_: str, to: str, group: Group, zone: ZoneInfo = BERLIN) -> list[int]:
    first, end = moment_ms(from_, zone), moment_ms(to, zone, is_end=True)
    return list(boundaries_ms(first, end, group, zone).tolist())


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-06-01", 24), ("2026-10-25", 25)]
)
def test_a_day_has_23_24_or_25_hours(day: str, hours: int) -> None:
    first, end = span(day, day, "day")
    assert end - first == hours * HOUR_MS
    assert len(span(day, day, "hour")) - 1 == hours
    quarters = span(day, day, "interval")
    assert len(quarters) - 1 == 4 * hours
    assert windows_in(np.array([first, end])).tolist() == [4 * hours]


def test_both_of_the_hours_that_clocks_show_twice_are_there() -> None:
    labels = [label(at, BERLIN) for at in span("2026-10-25", "2026-10-25", "hour")[:5]]
    assert labels[2:4] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


def test_months_and_years_begin_at_local_midnight_and_are_cut_at_the_ends() -> None:
    months = span("2025-11-15", "2026-02-10", "month")
    assert [label(at, BERLIN) for at in months] == [
        "2025-11-15T00:00:00+01:00",
        "2025-12-01T00:00:00+01:00",
        "2026-01-01T00:00:00+01:00",
        "2026-02-01T00:00:00+01:00",
        "2026-02-11T00:00:00+01:00",
    ]
    years = span("2025-11-15", "2026-02-10", "year")
    assert [label(at, BERLIN)[:10] for at in years] == ["2025-11-15", "2026-01-01", "2026-02-11"]
    assert len(span("2025-11-15", "2026-02-10", "total")) == 2


@given(
    st.integers(1_500_000_000, 1_900_000_000), st.integers(1, 40 * 86_400), st.sampled_from(GROUPS),
    st.sampled_from(ZONES),
)  # fmt: skip
def test_periods_cover_the_span_without_gaps(
    first_s: int, length_s: int, group: Group, zone: ZoneInfo
) -> None:
    from_ms, to_ms = first_s * 1000, (first_s + length_s) * 1000
    found = boundaries_ms(from_ms, to_ms, group, zone)
    assert found[0] == from_ms
    assert found[-1] == to_ms
    assert (np.diff(found) > 0).all()
    every = -(-to_ms // 900_000) - -(-from_ms // 900_000)
    assert windows_in(found).sum() == every
    for start, _ in list(pairwise(found.tolist()))[1:]:
        local = label(start, zone)
        if group in ("day", "month", "year"):
            assert local[11:19] == "00:00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28", "2026-11-28T00:00:00+01:00"),
        ("2026-11-28T06:30:00Z", "2026-11-28T07:30:00+01:00"),
        ("2026-11-28T06:30:00-05:00", "2026-11-28T12:30:00+01:00"),
        ("2026-11-28T06:30", "2026-11-28T06:30:00+01:00"),
        ("2026-10-25T02:30", "2026-10-25T02:30:00+02:00"),
    ],
)
def test_a_moment_is_a_local_date_or_an_iso_time(text: str, expected: str) -> None:
    assert label(moment_ms(text, BERLIN), BERLIN) == expected


def test_a_date_as_the_end_includes_its_day() -> None:
    end_ms = moment_ms("2026-10-25", BERLIN, is_end=True)
    assert label(end_ms, BERLIN) == "2026-10-26T00:00:00+01:00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "neither a date"),
        ("2026-02-30", "neither a date"),
        ("2026-11-28T06:00:00 01:00", "%2B"),
        ("2026-03-29T02:30", "clocks went forward"),
        ("1969-12-31", "not between"),
        ("9999-12-31", "not between"),
        ("", "neither a date"),
    ],
)
def test_what_is_no_moment_is_refused_with_the_way_out(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        moment_ms(text, BERLIN)


def test_too_many_periods_and_an_empty_span_are_refused() -> None:
    long_ms = (MOST_PERIODS + 2) * HOUR_MS
    with pytest.raises(ValueError, match="longer group"):
        boundaries_ms(0, long_ms, "hour", UTC)
    assert len(boundaries_ms(0, long_ms, "day", UTC)) < MOST_PERIODS
    with pytest.raises(ValueError, match="later than"):
        boundaries_ms(HOUR_MS, HOUR_MS, "day", UTC)
