"""Forecasts of a region's load and solar power: what they may see, say, and how good they are."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.recorded import read_recorded
from schemas.forecast import QuantityForecast, RegionForecast
from schemas.windows import RegionWindow
from tests.support.market_factory import DATA
from tests.support.web_records import region_window
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.region import (
    HISTORY_DAYS,
    LOAD,
    SLOT_MS,
    SLOTS,
    SOLAR,
    Seen,
    accuracy,
    forecast_quantity,
    forecast_region,
)
from vpp_streams.domain.market.forecast.track import LEAST_COVERAGE, RegionTrack
from vpp_streams.domain.moments import DAY_MS

T0 = 1_704_067_200_000
"""A Monday, 2024-01-01 00:00 UTC."""
RNG_SEEDS = st.integers(0, 2**32 - 1)


def days_w(count: int, seed: int = 1) -> Floats:
    """Load of so many days that are alike, but for weather and chance."""
    rng = np.random.default_rng(seed)
    shape = 3000 + 1500 * np.sin(np.arange(SLOTS) / SLOTS * 2 * np.pi)
    level = rng.normal(0, 300, (count, 1))
    return np.abs(shape + level + rng.normal(0, 200, (count, SLOTS))).ravel()


def window(slot: int, load_w: float, solar_w: float = 0.0, **changes: Any) -> RegionWindow:
    start_ms = T0 + slot * SLOT_MS
    powers: dict[str, Any] = {"mean_load_w": load_w, "mean_solar_w": solar_w, "coverage": 1.0}
    return region_window("north", start_ms, **{**powers, **changes})


def track_of(load_w: Floats) -> RegionTrack:
    track = RegionTrack()
    for slot in np.flatnonzero(np.isfinite(load_w)):
        track.measured(window(int(slot), float(load_w[slot])))
    return track


def next_of(track: RegionTrack, known_at_ms: int = 0) -> RegionForecast | None:
    """The next forecast, told."""
    due = track.due()
    if due is None:
        return None
    made = forecast_region("north", due.start_ms, known_at_ms, due.load, due.solar)
    assert made is not None
    track.published(made)
    return made


def forecast_of(load_w: Floats) -> QuantityForecast:
    made = forecast_quantity(LOAD, load_w)
    assert made is not None
    return made


def history_of(track: RegionTrack, slots: int) -> Floats:
    due = track.due()
    assert due is not None
    return due.load.history_w[-slots:]


def test_what_comes_later_is_in_no_forecast_before() -> None:
    load_w = days_w(32)
    other_w = load_w.copy()
    other_w[31 * SLOTS + 40 :] *= 2
    told: list[list[RegionForecast | None]] = []
    for series in (load_w, other_w):
        track = track_of(series[: 31 * SLOTS + 36])
        told.append([next_of(track)])
        for slot in range(31 * SLOTS + 36, 31 * SLOTS + 44):
            track.measured(window(slot, float(series[slot])))
            told[-1].append(next_of(track))
    assert told[0][:5] == told[1][:5]
    assert all(a != b for a, b in zip(told[0][5:], told[1][5:], strict=True))
    starts = [made.start_ms for made in told[0] if made is not None]
    assert starts == [T0 + (31 * SLOTS + 36 + n) * SLOT_MS for n in range(9)]


def test_windows_that_come_while_a_forecast_is_made_are_not_in_it() -> None:
    tracks = [track_of(days_w(25)) for _ in range(2)]
    dues = [track.due() for track in tracks]
    tracks[1].measured(window(25 * SLOTS, 9e6))
    tracks[1].measured(window(25 * SLOTS - 1, 9e6, revision=5))
    made = [forecast_region("north", due.start_ms, 0, due.load, due.solar) for due in dues if due]
    assert made[0] is not None
    assert made[0] == made[1]


def test_a_slot_is_forecast_for_once() -> None:
    track = track_of(days_w(2))
    assert next_of(track) is not None
    assert next_of(track) is None
    track.measured(window(2 * SLOTS - 1, 1.0, revision=3))
    assert track.due() is None, "a correction is no new slot"
    track.measured(window(2 * SLOTS, 1.0))
    assert track.due() is not None
    assert track.due() is None, "also while it is being made"


def test_a_successor_that_reads_the_topics_goes_on_as_the_first_would() -> None:
    load_w = days_w(23)
    first, records = track_of(load_w[: 22 * SLOTS]), []
    for slot in range(22 * SLOTS, 23 * SLOTS):
        records.append(next_of(first))
        first.measured(window(slot, float(load_w[slot])))
    successor = track_of(load_w[:-1])
    for made in records:
        assert made is not None
        successor.published(made)
    assert successor.due() is None
    successor.measured(window(23 * SLOTS - 1, float(load_w[-1])))
    made = next_of(successor)
    assert made is not None
    assert made == next_of(first)
    assert made.load.accuracy is not None
    assert made.load.accuracy.slots == SLOTS


@given(st.permutations(range(40)), st.data())
@settings(max_examples=30)
def test_order_and_repeats_of_windows_change_nothing(order: list[int], data: st.DataObject) -> None:
    load_w = days_w(1)[:40]
    track = RegionTrack()
    for slot in order + data.draw(st.lists(st.sampled_from(range(40)))):
        track.measured(window(slot, float(load_w[slot])))
    np.testing.assert_array_equal(history_of(track, 40), load_w)


def test_the_highest_revision_of_a_window_counts() -> None:
    track = RegionTrack()
    for slot in range(3):
        track.measured(window(slot, 100.0, revision=1))
    track.measured(window(0, 150.0, revision=2))
    track.measured(window(1, 50.0, revision=0))
    np.testing.assert_array_equal(history_of(track, 3), [150.0, 100.0, 100.0])


def test_what_was_not_measured_is_not_known_and_nothing_is_scaled_up() -> None:
    track = RegionTrack()
    for slot, coverage in enumerate((1.0, 0.8, LEAST_COVERAGE, LEAST_COVERAGE - 0.01, 0.0)):
        track.measured(window(slot, 1000.0 * coverage, coverage=coverage))
    track.measured(window(6, 7.0))
    track.measured(window(7, 8.0, size_s=60))
    track.measured(msgspec.structs.replace(window(7, 8.0), start_ms=T0 + 7 * SLOT_MS + 60_000))
    known = [1000.0, 800.0, 500.0, np.nan, np.nan, np.nan, 7.0]
    np.testing.assert_allclose(history_of(track, 7), known)


def test_a_gap_is_filled_from_the_day_before_and_said() -> None:
    load_w = days_w(25)
    gap = slice(24 * SLOTS + 8, 24 * SLOTS + 20)
    with_gap, by_hand = load_w.copy(), load_w.copy()
    with_gap[gap] = np.nan
    by_hand[gap] = load_w[gap.start - SLOTS : gap.stop - SLOTS]
    made, wanted = forecast_of(with_gap), forecast_of(by_hand)
    assert (made.by, made.filled, wanted.filled) == ("lear", 12, 0)
    assert made.mean_w == wanted.mean_w


def test_days_that_were_filled_make_no_forecast_surer() -> None:
    load_w = days_w(HISTORY_DAYS)
    with_gap = load_w.copy()
    with_gap[17 * SLOTS : 27 * SLOTS] = np.nan
    width = [np.subtract(f.high_w, f.low_w).mean() for f in map(forecast_of, (load_w, with_gap))]
    assert width[1] > 0.7 * width[0]


def test_one_reading_before_a_long_gap_is_enough() -> None:
    load_w = days_w(9)
    load_w[1 : 4 * SLOTS + 30] = np.nan
    made = forecast_of(load_w)
    assert made.by == "profile"
    assert np.isfinite(made.mean_w).all()


@pytest.mark.parametrize(
    ("slots", "by"),
    [
        (HISTORY_DAYS * SLOTS, "lear"),
        (21 * SLOTS, "lear"),
        (21 * SLOTS - 1, "profile"),
        (SLOTS, "profile"),
        (SLOTS - 1, "persistence"),
        (1, "persistence"),
    ],
)
def test_with_less_history_a_plainer_forecaster_stands_in(slots: int, by: str) -> None:
    assert forecast_of(days_w(HISTORY_DAYS)[:slots]).by == by


def test_the_plainer_forecasters_say_what_their_names_say() -> None:
    load_w = days_w(3)
    profile_w = load_w.reshape(3, SLOTS).mean(axis=0)
    np.testing.assert_allclose(forecast_of(load_w).mean_w, profile_w, atol=0.06)
    last = forecast_of(np.array([5.0, 900.0, 700.0, np.nan]))
    assert set(last.mean_w) == {700.0}
    assert (last.low_w[0], last.high_w[0]) == (144.0, 860.0)  # of the three values
    assert forecast_quantity(LOAD, np.full(500, np.nan)) is None
    assert forecast_quantity(LOAD, np.array([])) is None
    assert RegionTrack().due() is None


def test_a_day_of_the_week_that_is_different_is_forecast_so() -> None:
    load_w = np.full(29 * SLOTS, 1000.0)
    load_w.reshape(-1, SLOTS)[6::7] = 400.0
    # Two days to come, each after a usual one; the second is such a day.
    usual, different = (np.mean(forecast_of(load_w[: day * SLOTS]).mean_w) for day in (26, 27))
    assert different < 0.92 * usual


def test_the_mean_is_inside_its_band_where_forecasts_were_all_too_low() -> None:
    rising = days_w(12) + np.repeat(np.arange(12) * 2000.0, SLOTS)
    made = forecast_of(rising)
    assert (np.array(made.low_w) <= np.array(made.mean_w)).all()


@given(RNG_SEEDS, st.integers(1, 32 * SLOTS), st.floats(0, 1), st.floats(-3000, 3000))
@settings(max_examples=40)
def test_a_forecast_is_never_below_nothing_nor_out_of_its_band(
    seed: int, slots: int, gaps: float, level_w: float
) -> None:
    rng = np.random.default_rng(seed)
    load_w = level_w + 1500 * rng.standard_normal(slots)
    # As outages come: some slots, and whole stretches.
    load_w[rng.random(slots) < gaps / 10] = np.nan
    begin = int(rng.integers(slots))
    load_w[begin : begin + int(gaps * 5 * SLOTS)] = np.nan
    for quantity in (LOAD, SOLAR):
        made = forecast_quantity(quantity, load_w)
        assert (made is None) == (not np.isfinite(load_w).any())
        if made is None:
            continue
        low, mean, high = (np.array(row) for row in (made.low_w, made.mean_w, made.high_w))
        assert low.shape == mean.shape == high.shape == (SLOTS,)
        assert (low >= 0).all()
        assert ((low <= mean) & (mean <= high)).all()
        assert (high <= max(np.nanmax(load_w), 0.0) + 0.06).all()


def test_accuracy_is_what_a_hand_computes() -> None:
    measured, first = np.full(2 * SLOTS, np.nan), np.full((3, SLOTS), np.nan)
    day = SLOTS
    measured[day : day + 5] = [100.0, 200.0, 300.0, np.nan, 900.0]
    measured[:3] = [90.0, np.nan, 250.0]
    first[:, :4] = [[110.0, 180.0, 330.0, 50.0], [90.0, 150.0, 280.0, 0.0], [120.0, 190, 340, 99]]
    found = accuracy(Seen(measured, first))
    assert found is not None
    assert found.slots == 3
    assert found.error_w == pytest.approx((10 + 20 + 30) / 3)
    assert found.naive_error_w == pytest.approx((10 + 50) / 2)
    assert found.inside == pytest.approx(2 / 3)


def test_accuracy_of_nothing_is_not_known() -> None:
    none = np.full((3, SLOTS), np.nan)
    assert accuracy(Seen(days_w(3), none)) is None
    first = none.copy()
    first[:, -1] = 5.0
    assert accuracy(Seen(np.full(2 * SLOTS, np.nan), first)) is None
    alone = accuracy(Seen(np.array([7.0]), first))
    assert alone is not None
    assert (alone.slots, alone.error_w, alone.naive_error_w) == (1, 2.0, None)


def test_of_a_slot_the_first_forecast_counts() -> None:
    track = track_of(days_w(2))
    made = next_of(track)
    assert made is not None
    louder = tuple(w + 1e6 for w in made.load.mean_w)
    track.published(
        msgspec.structs.replace(made, load=msgspec.structs.replace(made.load, mean_w=louder))
    )
    track.measured(window(2 * SLOTS, made.load.mean_w[0] + 40.0))
    following = next_of(track)
    assert following is not None
    assert following.load.accuracy is not None
    assert following.load.accuracy.slots == 1
    assert following.load.accuracy.error_w == pytest.approx(40.0)


def recorded(home: str) -> tuple[Floats, Floats]:
    """Load and solar power, W by slot, of recorded homes: values of 30 or 60 min hold on."""
    if not (DATA / home).exists():
        pytest.skip(f"no {home} in ../shared/data")
    if home.endswith(".csv"):
        one = read_recorded(DATA / home)
        return np.repeat(one.load_w, 2), np.repeat(one.solar_w, 2)
    homes = [pd.read_csv(path) for path in sorted((DATA / home).glob("Building_*.csv"))]
    load_w = sum(home["non_shiftable_load"].to_numpy() * 1000 for home in homes)
    solar_w = sum(home["solar_generation"].to_numpy() * 4 for home in homes)  # of 4 kW each
    return np.repeat(load_w, 4), np.repeat(solar_w, 4)


HOMES = (
    "ausgrid_home_30min/customer12_2011-07_to_11.csv",
    pytest.param("emhass_home/home_30min_2024.csv", marks=pytest.mark.nightly),
    pytest.param("citylearn_fontana_homes_hourly", marks=pytest.mark.nightly),
)


@pytest.mark.parametrize("home", HOMES)
def test_recorded_homes_are_forecast_better_than_by_the_day_before(home: str) -> None:
    """90 days, told at noon. Measured error in parts of the naive one, and share in the band:

    ausgrid 0.77 and 0.75 (load), 0.90 and 0.83 (solar); emhass 0.88 and 0.75, 0.80 and 0.84;
    five homes of citylearn 0.85 and 0.77, 0.88 and 0.87.
    """
    load_w, solar_w = recorded(home)
    track, scored = RegionTrack(), []
    for slot in range(120 * SLOTS + SLOTS // 2):
        if slot >= 30 * SLOTS and slot % SLOTS == SLOTS // 2:
            scored.append(next_of(track))
        track.measured(window(slot, float(load_w[slot]), float(solar_w[slot])))
    for quantity in (LOAD, SOLAR):
        told = [getattr(made, quantity.name).accuracy for made in scored[1:]]
        assert {accuracy.slots for accuracy in told} == {SLOTS}
        error_w = np.mean([accuracy.error_w for accuracy in told])
        naive_w = np.mean([accuracy.naive_error_w for accuracy in told])
        inside = np.mean([accuracy.inside for accuracy in told])
        assert error_w < 0.97 * naive_w, quantity.name
        assert 0.7 < inside < 0.9, quantity.name


def test_a_day_is_forecast_from_now_on_whatever_the_hour() -> None:
    made = next_of(track_of(days_w(25)[: 24 * SLOTS + 57]), known_at_ms=123)
    assert made is not None
    assert (made.start_ms, made.known_at_ms) == (T0 + 24 * DAY_MS + 57 * SLOT_MS, 123)
    peak = (SLOTS // 4 - 57) % SLOTS
    assert abs(int(np.argmax(made.load.mean_w)) - peak) < 12
