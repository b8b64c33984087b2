"""Energy of sites in an interval: what was measured, and nothing else."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.settle_world import HOUR, MINUTE, START, energies, fleet, home, site_window
from tests.support.window_frames import frame_of
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Energies, SiteWindows

SPAN = (START, START + 5 * MINUTE)
SITES = pa.array(["home-1", "home-2", "never"])
windows_of_sites = st.tuples(
    st.sampled_from(["home-1", "home-2"]),
    st.integers(0, 3),  # revision
    st.one_of(st.none(), st.floats(-100, 100)),  # energy_wh
)


def measured(windows: SiteWindows, *without: tuple[int, int]) -> Energies:
    return windows.energies(windows.rows(SITES), SPAN, without)


def test_an_interval_is_the_sum_of_its_minutes() -> None:
    windows = SiteWindows()
    for k in range(5):
        windows.apply(site_window("home-1", START + k * MINUTE, 80.0, -30.0))
    found = measured(windows)
    assert found.battery_wh[0] == pytest.approx(400)
    assert found.grid_wh[0] == pytest.approx(-150)
    assert np.isnan(found.solar_wh[0])
    assert (found.coverage[0], found.revision[0]) == (1.0, 0)


def test_a_site_that_was_never_measured_has_no_energy() -> None:
    windows = SiteWindows()
    windows.apply(site_window("home-1", START, 80.0))
    found = measured(windows)
    assert np.isnan(found.battery_wh[1:]).all()
    assert found.coverage[1:].tolist() == [0, 0]
    assert found.revision[1:].tolist() == [-1, -1]


def test_what_was_measured_of_an_interval_counts_and_is_not_scaled_up() -> None:
    windows = SiteWindows()
    windows.apply(site_window("home-1", START, 80.0))
    windows.apply(site_window("home-1", START + MINUTE, 40.0, coverage=0.5))
    windows.apply(site_window("home-1", START + 2 * MINUTE, None))
    found = measured(windows)
    assert found.battery_wh[0] == pytest.approx(120)
    assert found.coverage[0] == pytest.approx((1 + 0.5 + 1) / 5)


def test_windows_of_other_intervals_do_not_count() -> None:
    windows = SiteWindows()
    windows.apply(site_window("home-1", START - MINUTE, 80.0))
    windows.apply(site_window("home-1", START + 5 * MINUTE, 80.0))
    assert np.isnan(measured(windows).battery_wh).all()


@given(order=st.permutations([(0, 80.0), (1, 70.0), (3, 60.0), (3, 60.0)]))
def test_the_newest_revision_counts_in_any_order(order: list[tuple[int, float]]) -> None:
    windows = SiteWindows()
    for revision, energy_wh in order:
        windows.apply(site_window("home-1", START, energy_wh, revision=revision))
    found = measured(windows)
    assert (found.battery_wh[0], found.revision[0]) == (60.0, 3)


def test_an_older_or_repeated_window_changes_nothing() -> None:
    windows = SiteWindows()
    assert windows.apply(site_window("home-1", START, 80.0, revision=1))
    assert not windows.apply(site_window("home-1", START, 70.0))
    assert not windows.apply(site_window("home-1", START, 80.0, revision=1))


def test_windows_that_another_request_touched_are_left_out() -> None:
    windows = SiteWindows()
    for k in range(5):
        windows.apply(site_window("home-1", START + k * MINUTE, 10.0 + k))
    found = measured(windows, (START + MINUTE + 59_000, START + 2 * MINUTE + 1))
    assert found.battery_wh[0] == pytest.approx(10 + 13 + 14)
    assert found.coverage[0] == pytest.approx(3 / 5)
    assert measured(windows, SPAN).coverage[0] == 0


def test_quarters_are_used_where_no_minute_is_known() -> None:
    windows = SiteWindows()
    for k in range(4):
        start_ms = START + 15 * k * MINUTE
        windows.apply(site_window("home-1", start_ms, 500.0, size_s=900))
    hour = (START, START + HOUR)
    rows = windows.rows(SITES)
    assert windows.energies(rows, hour).battery_wh[0] == pytest.approx(2000)
    windows.apply(site_window("home-1", START, 1.0))
    assert windows.energies(rows, hour).battery_wh[0] == pytest.approx(1)


def test_an_interval_that_is_no_complete_minutes_is_refused() -> None:
    with pytest.raises(ValueError, match="by the minute"):
        SiteWindows().energies(np.zeros(0, np.int64), (START, START + 4_000))


def test_many_sites_at_once_are_as_one_after_the_other() -> None:
    one, other = SiteWindows(), SiteWindows()
    for site_id, energy_wh in (("home-1", 80.0), ("home-2", -20.0)):
        one.apply(site_window(site_id, START, energy_wh, -energy_wh, solar=None, load=None))
    known = energies([80.0, -20.0])
    none = np.full(2, np.nan)
    other.put(
        60,
        START,
        ["home-1", "home-2"],
        Energies(known.battery_wh, known.grid_wh, none, none, known.coverage, known.revision),
    )
    for name in ("battery_wh", "grid_wh", "solar_wh", "coverage", "revision"):
        ours, theirs = (getattr(measured(w), name) for w in (one, other))
        np.testing.assert_array_equal(ours, theirs)


def test_old_windows_are_forgotten() -> None:
    windows = SiteWindows()
    windows.apply(site_window("home-1", START, 80.0))
    windows.forget(START + 1)
    assert np.isnan(measured(windows).battery_wh[0])


def test_energy_beyond_the_ratings_is_not_paid() -> None:
    homes = fleet("home-1", "home-2", "never")
    found = energies([1e6, -1e6, np.nan]).bounded(homes, 5 * MINUTE)
    assert found.battery_wh[:2].tolist() == pytest.approx([5_000 / 12, -5_000 / 12])
    assert np.isnan(found.battery_wh[2])
    assert found.grid_wh[:2].tolist() == pytest.approx(
        [-(10_000 * 1.25 + 500) / 12, (20_000 * 1.25 + 500) / 12]
    )


def test_only_active_sites_of_the_region_are_paid_in_the_order_of_their_ids() -> None:
    planned = msgspec.structs.replace(home("home-0"), removed=True)
    elsewhere = home("home-3", region="south")
    found = Fleet.of("north", [home("home-2"), planned, elsewhere, home("home-1")])
    assert found.site_ids.to_pylist() == ["home-1", "home-2"]
    assert found.accounts.to_pylist() == ["site:home-1", "site:home-2"]
    assert found.discharge_w.tolist() == [5_000, 5_000]
    assert len(Fleet.of("north", [])) == 0


@given(st.lists(st.lists(windows_of_sites, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_frame_is_applied_as_its_windows_would_be(
    frames: list[list[tuple[str, int, float | None]]],
) -> None:
    by_frame, one_by_one = SiteWindows(), SiteWindows()
    for frame in frames:
        windows = [
            site_window(site_id, START, energy_wh, coverage=0.1 * revision, revision=revision)
            for site_id, revision, energy_wh in frame
        ]
        changed = by_frame.apply_frame(frame_of(windows))
        assert changed.tolist() == [one_by_one.apply(window) for window in windows]
    span = (START, START + MINUTE)
    for name in Energies.__slots__:
        found, expected = (
            getattr(each.energies(each.rows(SITES), span), name) for each in (by_frame, one_by_one)
        )
        np.testing.assert_array_equal(found, expected, err_msg=name)
