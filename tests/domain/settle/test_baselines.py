"""The baseline of ten similar days, against numbers by hand and an independent computation.

No public document that we found gives a complete numeric example of the California ISO's method
(its tariff and manuals give the rules), so the second source is pandas, which knows time zones by
itself.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tests.support.settle_world import BERLIN, HOUR, floats
from vpp_streams.domain.arrays import Floats, Mask
from vpp_streams.domain.settle.baselines import (
    Calendar,
    adjustment,
    no_battery_wh,
    similar_days,
    ten_of_ten_wh,
)
from vpp_streams.domain.settle.intervals import Energies, Span

QUARTER = HOUR // 4
SITES = 4
FIRST = round(datetime(2025, 9, 1, tzinfo=UTC).timestamp() * 1000)


def at(*when: int) -> int:
    """A local time in Berlin."""
    return round(datetime(*when, tzinfo=BERLIN).timestamp() * 1000)  # type: ignore[misc, arg-type]  # date and time


def energies(grid_wh: Floats, coverage: Floats | None = None) -> Energies:
    none = np.full(len(grid_wh), np.nan)
    covered = np.ones(len(grid_wh)) if coverage is None else coverage
    return Energies(none, grid_wh, none, none, covered, np.zeros(len(grid_wh), np.int64))


def measured_from(grid_wh: Floats, coverage: Floats | None = None) -> Callable[[Span], Energies]:
    """Reads quarters of an hour, shape (quarters, sites), from `FIRST` on."""

    def measured(span: Span) -> Energies:
        rows = slice((span[0] - FIRST) // QUARTER, (span[1] - FIRST) // QUARTER)
        share = None if coverage is None else coverage[rows].mean(axis=0)
        return energies(grid_wh[rows].sum(axis=0), share)

    return measured


def never(_day: date) -> Mask:
    return np.zeros(SITES, bool)


def loads(days: int = 120, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).uniform(50, 900, (days * 96, SITES))


def by_pandas(
    grid_wh: Floats, span: Span, event_ms: int, events: set[date], holidays: set[date]
) -> Floats:
    """The same rules, written with pandas' calendar."""
    index = pd.date_range("2025-09-01", periods=len(grid_wh), freq="15min", tz="UTC")
    table = pd.DataFrame(grid_wh, index=index.tz_convert("Europe/Berlin"))
    event = pd.Timestamp(event_ms, unit="ms", tz="Europe/Berlin")
    start = pd.Timestamp(span[0], unit="ms", tz="Europe/Berlin")
    length = pd.Timedelta(span[1] - span[0], unit="ms")

    def kind(day: date) -> bool:
        return day.weekday() < 5 and day not in holidays

    def taken(time: pd.Timestamp, size: pd.Timedelta, day: date) -> Floats:
        same = day + (time.date() - event.date())  # an hour before midnight is of the day before
        moved = pd.Timestamp.combine(same, time.time()).tz_localize("Europe/Berlin", ambiguous=True)
        return table[(table.index >= moved) & (table.index < moved + size)].sum().to_numpy()

    days = [event.date() - timedelta(days=back) for back in range(1, 46)]
    ours = [d for d in days if kind(d) == kind(event.date()) and d not in events]
    ours = ours[: 10 if kind(event.date()) else 4]
    raw = np.mean([taken(start, length, day) for day in ours], axis=0)
    hour = pd.Timedelta(hours=1)
    before = [event - n * hour for n in (2, 3, 4)]
    usual = sum(np.mean([taken(t, hour, day) for day in ours], axis=0) for t in before)
    today = sum(taken(t, hour, event.date()) for t in before)
    return raw * np.clip(today / usual, 0.8, 1.2)


@pytest.mark.parametrize(
    "event",
    [(2025, 11, 20, 18), (2025, 11, 23, 17), (2025, 10, 28, 9), (2025, 11, 3, 0)],
    ids=["a working day", "a Sunday", "after the clocks changed", "hours before midnight"],
)
def test_it_is_what_pandas_computes(event: tuple[int, ...]) -> None:
    grid_wh = loads()
    event_ms = at(*event)
    span = (event_ms + QUARTER, event_ms + 2 * QUARTER)
    events, holidays = {date(2025, 11, 12), date(2025, 10, 20)}, {date(2025, 11, 11)}
    calendar = Calendar(BERLIN, lambda day: np.full(SITES, day in events), holidays)
    found = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), calendar)
    np.testing.assert_allclose(found, by_pandas(grid_wh, span, event_ms, events, holidays))


@pytest.mark.parametrize(
    ("before_wh", "expected_wh"), [(630.0, 1_890.0), (900.0, 2_160.0), (300.0, 1_440.0)]
)
def test_numbers_by_hand(before_wh: float, expected_wh: float) -> None:
    """Ten days of 1 800 Wh; before the event 630 instead of 600 Wh: 5 % more, 1 890 Wh.

    Half as much more, or less, counts as a fifth.
    """
    grid_wh = np.zeros((120 * 96, SITES))
    event_ms = at(2025, 11, 20, 18)
    for back in range(46):
        day = event_ms - back * 24 * HOUR
        grid_wh[(day - FIRST) // QUARTER] = 1_800.0
        grid_wh[(day - 3 * HOUR - FIRST) // QUARTER] = 600.0 if back else before_wh
    span = (event_ms, event_ms + QUARTER)
    found = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), Calendar(BERLIN, never))
    assert found == pytest.approx(np.full(SITES, expected_wh))


def test_a_site_that_needs_an_older_day_gives_no_older_day_to_the_others() -> None:
    """The first site was dispatched yesterday; the day before the tenth was another one."""
    grid_wh = np.full((120 * 96, SITES), 100.0)
    event_ms = at(2025, 11, 20, 18)
    eleventh_ms = at(2025, 11, 5, 18)
    grid_wh[(eleventh_ms - FIRST) // QUARTER] = 1_200.0
    calendar = Calendar(
        BERLIN, lambda day: np.arange(SITES) == 0 if day == date(2025, 11, 19) else never(day)
    )
    span = (event_ms, event_ms + QUARTER)
    found = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), calendar)
    assert found.tolist() == pytest.approx([210.0, 100.0, 100.0, 100.0])


def test_the_ratio_is_limited() -> None:
    today, usual = np.array([[100.0, 300.0, 50.0, 110.0]]), np.full((1, 4), 100.0)
    assert adjustment(today, usual).tolist() == pytest.approx([1.0, 1.2, 0.8, 1.1])


def test_where_a_ratio_says_nothing_there_is_none() -> None:
    """Not measured, usually nothing, and panels that export."""
    today = np.array([[np.nan, 100.0, 100.0, -100.0]])
    usual = np.array([[100.0, np.nan, 0.0, 100.0]])
    assert adjustment(today, usual).tolist() == [1, 1, 1, 1]
    assert adjustment(floats(-110.0)[None], floats(-100.0)[None]).tolist() == pytest.approx([1.1])


def test_only_hours_that_both_sides_measured_are_compared() -> None:
    today = np.array([[110.0], [np.nan], [900.0]])
    usual = np.array([[100.0], [500.0], [np.nan]])
    assert adjustment(today, usual).tolist() == pytest.approx([1.1])


def test_days_with_an_event_and_days_that_were_not_measured_are_left_out() -> None:
    grid_wh, coverage = np.full((120 * 96, SITES), 100.0), np.ones((120 * 96, SITES))
    event_ms = at(2025, 11, 20, 18)
    row = (event_ms - FIRST) // QUARTER
    grid_wh[row - 96, 0] = 9_000.0
    grid_wh[row - 96, 1], coverage[row - 96, 1] = 9_000.0, 0.9
    calendar = Calendar(
        BERLIN, lambda day: np.arange(SITES) == 0 if day == date(2025, 11, 19) else never(day)
    )
    span = (event_ms, event_ms + QUARTER)
    found = ten_of_ten_wh(span, event_ms, measured_from(grid_wh, coverage), calendar)
    assert found == pytest.approx(np.full(SITES, 100.0))


def test_too_few_days_are_no_baseline() -> None:
    grid_wh = np.full((120 * 96, SITES), np.nan)
    event_ms = at(2025, 11, 20, 18)
    row = (event_ms - FIRST) // QUARTER
    span = (event_ms, event_ms + QUARTER)
    for weekdays_back in (1, 2, 3, 6):
        grid_wh[row - 96 * weekdays_back] = 100.0
    four = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), Calendar(BERLIN, never))
    assert np.isnan(four).all()
    grid_wh[row - 96 * 7] = 100.0
    five = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), Calendar(BERLIN, never))
    assert five == pytest.approx(np.full(SITES, 100.0))


def test_four_days_are_enough_at_a_weekend_and_three_are_not() -> None:
    grid_wh = np.full((120 * 96, SITES), np.nan)
    event_ms = at(2025, 11, 23, 18)
    row = (event_ms - FIRST) // QUARTER
    span = (event_ms, event_ms + QUARTER)
    for days_back in (1, 7, 8):
        grid_wh[row - 96 * days_back] = 100.0
    three = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), Calendar(BERLIN, never))
    assert np.isnan(three).all()
    grid_wh[row - 96 * 14] = 100.0
    four = ten_of_ten_wh(span, event_ms, measured_from(grid_wh), Calendar(BERLIN, never))
    assert four == pytest.approx(np.full(SITES, 100.0))


def test_a_time_that_clocks_skipped_is_no_similar_day() -> None:
    """On Sunday 29 March 2026 there is no 02:30 in Berlin."""
    event_ms = at(2026, 4, 12, 2, 30)
    asked: list[int] = []

    def measured(span: Span) -> Energies:
        asked.append(span[0])
        return energies(np.full(SITES, 100.0))

    ten_of_ten_wh((event_ms, event_ms + QUARTER), event_ms, measured, Calendar(BERLIN, never))
    local = [datetime.fromtimestamp(ms / 1000, BERLIN) for ms in asked]
    events = [each for each in local if (each.hour, each.minute) == (2, 30)]
    assert date(2026, 3, 29) not in {each.date() for each in events}
    assert len(events) == 4


def test_similar_days_are_of_the_same_kind() -> None:
    monday = date(2025, 11, 24)
    working = list(similar_days(monday, {date(2025, 11, 21)}))
    assert working[:2] == [date(2025, 11, 20), date(2025, 11, 19)]
    assert all(day.weekday() < 5 for day in working)
    weekend = list(similar_days(date(2025, 11, 23), {date(2025, 11, 21)}))
    assert weekend[:3] == [date(2025, 11, 22), date(2025, 11, 21), date(2025, 11, 16)]
    assert weekend[-1] >= date(2025, 11, 23) - timedelta(days=45)


def test_without_its_battery_a_home_takes_load_less_solar_power() -> None:
    """load = grid + battery + solar: 700 = -300 + 800 + 200."""
    grid, battery, none = floats(-300.0, 100.0), floats(800.0, np.nan), floats(np.nan, np.nan)
    known = Energies(battery, grid, none, none, np.ones(2), np.zeros(2, np.int64))
    found = no_battery_wh(known)
    assert found[0] == pytest.approx(700 - 200)
    assert np.isnan(found[1])
