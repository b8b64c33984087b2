"""Which month an entry counts in depends on the log alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bounds import PARTITIONS
from vpp_streams.domain.ledger.periods import (
    Closing,
    booked_period,
    check_closing,
    next_period,
)
from vpp_streams.errors import RefusedError

LATE_MS = 2_000_000_000_000


def closing(period: str, offset: int) -> Closing:
    return Closing(period, (offset,) * PARTITIONS)


def test_months_follow_each_other_over_the_end_of_a_year() -> None:
    assert next_period("2026-10") == "2026-11"
    assert next_period("2026-12") == "2027-01"


@pytest.mark.parametrize(
    ("stated", "offset", "booked"),
    [
        ("2026-10", 9, "2026-10"),
        ("2026-10", 10, "2026-11"),
        ("2026-10", 20, "2026-12"),
        ("2026-08", 10, "2026-11"),
        ("2026-11", 19, "2026-11"),
        ("2026-12", 99, "2026-12"),
    ],
)
def test_an_entry_that_came_too_late_counts_in_the_next_open_month(
    stated: str, offset: int, booked: str
) -> None:
    closings = [closing("2026-10", 10), closing("2026-11", 20)]
    assert booked_period(stated, 3, offset, closings) == booked


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 20), st.integers(0, 20))
def test_a_month_never_gets_an_entry_after_it_was_closed(
    offset: int, month: int, first: int, more: int
) -> None:
    closings = [closing("2026-04", first), closing("2026-07", first + more)]
    booked = booked_period(f"2026-{month:02}", 0, offset, closings)
    for closed in closings:
        assert booked > closed.period or offset < closed.through[0]


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (closing("2026-10", 10), "closed already"),
        (closing("2026-09", 10), "closed already"),
        (closing("2026-11", 9), "ends before"),
    ],
)
def test_months_are_closed_in_order(new: Closing, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        check_closing(new, [closing("2026-10", 10)], LATE_MS)


def test_a_later_month_may_be_closed_with_those_between() -> None:
    check_closing(closing("2027-01", 10), [closing("2026-10", 10)], LATE_MS)
