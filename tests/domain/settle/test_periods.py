"""Months of the books, with the days on which clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support.settle_world import BERLIN
from vpp_streams.domain.settle.periods import (
    Books,
    day_start_ms,
    local_date,
    month_after,
    month_bounds_ms,
    month_of,
)

HOUR = 3_600_000


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]  # date and time


def test_days_have_23_and_25_hours_when_clocks_change() -> None:
    def hours(day: date) -> float:
        following = day_start_ms(day + timedelta(days=1), BERLIN)
        return (following - day_start_ms(day, BERLIN)) / HOUR

    days = date(2026, 3, 28), date(2026, 3, 29), date(2025, 10, 26), date(2025, 10, 27)
    assert [hours(day) for day in days] == [24, 23, 25, 24]


def test_a_month_has_all_of_its_hours() -> None:
    start, end = month_bounds_ms("2026-03", BERLIN)
    assert (start, end) == (ms(2026, 2, 28, 23), ms(2026, 3, 31, 22))
    assert end - start == (31 * 24 - 1) * HOUR


def test_a_moment_is_in_the_local_month() -> None:
    assert month_of(ms(2025, 10, 31, 22, 59), BERLIN) == "2025-10"
    assert month_of(ms(2025, 10, 31, 23), BERLIN) == "2025-11"
    assert month_of(ms(2025, 10, 31, 14), ZoneInfo("Australia/Sydney")) == "2025-11"
    assert local_date(ms(2025, 12, 31, 23, 30), BERLIN) == date(2026, 1, 1)


def test_months_follow_each_other() -> None:
    assert [month_after(m) for m in ("2025-11", "2025-12", "2028-01")] == [
        "2025-12",
        "2026-01",
        "2028-02",
    ]


def test_an_entry_of_a_closed_month_counts_in_the_next_open_one() -> None:
    at = ms(2025, 11, 10)
    assert Books(BERLIN).period_of(at) == "2025-11"
    assert Books(BERLIN, frozenset({"2025-11"})).period_of(at) == "2025-12"
    closed = frozenset({"2025-11", "2025-12"})
    assert Books(BERLIN, closed).period_of(at) == "2026-01"
    assert Books(BERLIN, closed).period_of(ms(2026, 2, 1, 12)) == "2026-02"
