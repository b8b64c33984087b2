"""Merging partitions' shares of a region, and when the region is told."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Site
from schemas.encoding import encode_json
from schemas.windows import (
    Deliverable,
    EnergySums,
    RegionWindowPartial,
)
from tests.support.region_shares import NOW_MS, live_share, window_share
from vpp_streams.domain.fleet.region_pace import LiveRegion, WindowKey, WindowsDue, merge_time_ms
from vpp_streams.domain.fleet.regions import expected_sites, region_live, region_window
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry

STALE_MS = 10_000
TWO_PARTITIONS = {0: 2, 3: 1}


def test_expected_sites_are_counted_by_region_and_partition() -> None:
    registry = Registry(
        [
            *(Site(f"s{i}", region="north") for i in range(50)),
            Site("lone", region="south"),
            Site("gone", region="south", removed=True),
        ]
    )
    expected = expected_sites(registry)
    assert sum(expected["north"].values()) == 50
    assert set(expected["north"]) == {partition_of(f"s{i}", 8) for i in range(50)}
    assert expected["south"] == {partition_of("lone", 8): 1}


def test_live_region_adds_up_its_partitions() -> None:
    partials = {3: live_share(3, sites_reporting=1), 0: live_share(0, battery_w=500.0)}
    live = region_live(
        "north", partials, TWO_PARTITIONS, fresh={}, at_ms=NOW_MS + 300, stale_after_ms=STALE_MS
    )
    assert (live.soc, live.coverage, live.oldest_sample_age_s) == (0.5, 0.75, 1.0)
    assert (live.partitions_expected, live.partitions_reporting) == (2, 2)
    assert live.aggregate.battery_w == 1_500.0
    assert live.aggregate.deliverable == (Deliverable(900, 8_000.0, 6_000.0),)
    assert (live.age_p50_ms, live.fresh_ages_ms) == (None, ())


def test_a_partition_that_went_silent_or_never_spoke_lowers_coverage_only() -> None:
    partials = {0: live_share(0), 5: live_share(5, NOW_MS - STALE_MS - 1)}
    live = region_live(
        "north", partials, {0: 2, 3: 1, 5: 4}, fresh={}, at_ms=NOW_MS, stale_after_ms=STALE_MS
    )
    assert (live.aggregate.sites_expected, live.aggregate.sites_reporting) == (7, 2)
    assert (live.partitions_expected, live.partitions_reporting) == (3, 1)
    assert live.aggregate.battery_w == 1_000.0


def test_a_region_with_nothing_live_is_told_as_unknown_not_as_zero_soc() -> None:
    live = region_live("north", {}, {0: 2}, fresh={}, at_ms=NOW_MS, stale_after_ms=STALE_MS)
    assert (live.soc, live.coverage, live.oldest_sample_age_s) == (None, 0.0, None)
    assert [held.up_w for held in live.aggregate.deliverable] == [0.0, 0.0, 0.0]


def test_ages_are_weighted_by_count_and_never_negative() -> None:
    fresh = {NOW_MS - 100: 50, NOW_MS - 400: 48, NOW_MS - 9_000: 2, NOW_MS + 5_000: 1}
    live = region_live(
        "north", {0: live_share(0)}, {0: 2}, fresh=fresh, at_ms=NOW_MS, stale_after_ms=STALE_MS
    )
    assert (live.age_p50_ms, live.age_p99_ms) == (100.0, 9_000.0)
    assert live.fresh_ages_ms == ((0, 1), (100, 50), (400, 48), (9_000, 2))


@given(st.dictionaries(st.integers(0, 7), st.floats(-1e9, 1e9), min_size=1), st.randoms())
def test_a_window_is_the_same_bytes_whatever_order_its_shares_came_in(
    energies: dict[int, float], rng: random.Random
) -> None:
    shares = {p: window_share(p, energy_wh=e) for p, e in energies.items()}
    shuffled = list(shares)
    rng.shuffle(shuffled)
    again = region_window("north", {p: shares[p] for p in shuffled}, {})
    assert encode_json(again) == encode_json(region_window("north", shares, {}))


def test_window_of_all_partitions() -> None:
    window = region_window(
        "north", {0: window_share(0), 3: window_share(3, energy_wh=80.0)}, TWO_PARTITIONS
    )
    assert window.window_id == f"north|900|{NOW_MS}"
    assert window.coverage == 3.0 / 4
    # An older version's shares: of each site that reports, over the time in which it did.
    assert window.mean_battery_w == pytest.approx(200.0 / 0.25 / 0.75)
    assert (window.soc_first, window.soc_last) == (0.6, 0.5)
    assert window.sums.readings == 3600


def measuring(partition: int, mean_w: float | None, sites: int) -> RegionWindowPartial:
    energy = EnergySums(1.0, 1.0, 0.0, mean_w, sites)
    made = window_share(partition)
    sums = msgspec.structs.replace(made.sums, load=energy, solar=energy)
    return msgspec.structs.replace(made, sums=sums)


def test_a_mean_is_of_what_was_measured_never_of_zeros() -> None:
    """Of a site that joined in the last minute a window showed 341 W of its 6 kW."""
    window = region_window("north", {0: measuring(0, 6_000.0, 1), 3: measuring(3, None, 0)}, {})
    assert window.mean_load_w == 6_000.0
    assert (window.sums.load.mean_w, window.sums.load.sites) == (6_000.0, 1)
    nobody = region_window("north", {0: measuring(0, None, 0)}, {})
    assert nobody.mean_load_w is None
    assert nobody.sums.load.sites == 0


def test_every_share_and_correction_raises_the_revision() -> None:
    first = region_window("north", {0: window_share(0)}, TWO_PARTITIONS)
    whole = region_window("north", {0: window_share(0), 3: window_share(3)}, TWO_PARTITIONS)
    corrected = region_window(
        "north", {0: window_share(0), 3: window_share(3, revision=1)}, TWO_PARTITIONS
    )
    assert first.revision < whole.revision < corrected.revision
    assert first.coverage == 1.5 / 3


@pytest.fixture
def north() -> LiveRegion:
    return LiveRegion("north")


def test_a_complete_tick_is_told_at_once(north: LiveRegion) -> None:
    north.apply(live_share(0), NOW_MS + 100)
    assert not north.due(TWO_PARTITIONS, NOW_MS + 100)
    north.apply(live_share(3), NOW_MS + 120)
    assert north.due(TWO_PARTITIONS, NOW_MS + 120)


def test_an_incomplete_tick_is_told_after_it_has_settled_and_again_when_the_rest_comes(
    north: LiveRegion,
) -> None:
    north.apply(live_share(0), NOW_MS)
    assert not north.due(TWO_PARTITIONS, NOW_MS + north.SETTLE_MS - 1)
    assert north.due(TWO_PARTITIONS, NOW_MS + north.SETTLE_MS)
    live = north.merge(TWO_PARTITIONS, NOW_MS + north.SETTLE_MS, STALE_MS)
    assert (live.partitions_reporting, live.partitions_expected) == (1, 2)
    north.apply(live_share(3), NOW_MS + 400)
    assert north.due(TWO_PARTITIONS, NOW_MS + 400)
    assert north.merge(TWO_PARTITIONS, NOW_MS + 400, STALE_MS).partitions_reporting == 2


def test_age_and_coverage_move_on_when_partitions_go_silent_until_all_are(
    north: LiveRegion,
) -> None:
    north.apply(live_share(0), NOW_MS)
    now_ms, told = NOW_MS, []
    while now_ms < NOW_MS + 60_000:
        if north.due({0: 2}, now_ms):
            told.append(north.merge({0: 2}, now_ms, STALE_MS))
        now_ms += 50
    assert [live.at_ms - NOW_MS for live in told] == list(range(0, 12_000, 1_000))
    ages = [live.oldest_sample_age_s for live in told]
    assert ages == [*(0.7 + i for i in range(11)), None]
    assert (told[-2].coverage, told[-1].coverage) == (1.0, 0.0)


def test_an_older_or_repeated_tick_changes_nothing(north: LiveRegion) -> None:
    north.apply(live_share(0, battery_w=2_000.0, fresh=((NOW_MS - 50, 3),)), NOW_MS)
    north.apply(live_share(0, NOW_MS - 500, fresh=((NOW_MS - 700, 9),)), NOW_MS)
    north.apply(live_share(0, fresh=((NOW_MS - 50, 3),)), NOW_MS)
    live = north.merge({0: 2}, NOW_MS, STALE_MS)
    assert live.aggregate.battery_w == 2_000.0
    assert live.fresh_ages_ms == ((50, 3),)


def test_fresh_readings_are_shown_once_even_if_ticks_were_skipped(north: LiveRegion) -> None:
    north.apply(live_share(0, NOW_MS, fresh=((NOW_MS - 100, 4),)), NOW_MS)
    north.apply(live_share(0, NOW_MS + 500, fresh=((NOW_MS + 400, 5),)), NOW_MS + 500)
    first = north.merge({0: 2}, NOW_MS + 500, STALE_MS)
    assert first.fresh_ages_ms == ((100, 5), (600, 4))
    assert north.merge({0: 2}, NOW_MS + 1500, STALE_MS).fresh_ages_ms == ()


def test_a_flood_of_ticks_is_told_at_a_bounded_rate(north: LiveRegion) -> None:
    told = 0
    for i in range(1000):
        north.apply(live_share(0, NOW_MS + 500 * i), NOW_MS + i)
        if north.due({0: 2}, NOW_MS + i):
            north.merge({0: 2}, NOW_MS + i, STALE_MS)
            told += 1
    assert told == 1000 / north.MIN_GAP_MS


def test_a_replay_is_told_in_its_own_time(north: LiveRegion) -> None:
    long_ago_ms = 1_400_000_000_000
    north.apply(live_share(0, long_ago_ms), NOW_MS)
    live = north.merge({0: 2}, NOW_MS + 200, STALE_MS)
    assert (live.at_ms, live.partitions_reporting) == (long_ago_ms + 200, 1)
    assert merge_time_ms(NOW_MS + 200, NOW_MS - 120_000, NOW_MS) == NOW_MS + 200


KEY = WindowKey("north", 60, NOW_MS)


def test_a_whole_window_is_told_at_once_and_at_each_correction() -> None:
    due = WindowsDue(grace_ms=30_000)
    assert not due.share(KEY, complete=False, now_ms=0)
    assert due.share(KEY, complete=True, now_ms=10)
    assert due.share(KEY, complete=True, now_ms=99_999)
    assert due.overdue(1_000_000) == []


def test_a_window_that_lacks_a_share_is_told_once_its_grace_is_over() -> None:
    due = WindowsDue(grace_ms=30_000)
    later = KEY._replace(size_s=900)
    due.share(KEY, complete=False, now_ms=0)
    due.share(later, complete=False, now_ms=1_000)
    due.share(KEY, complete=False, now_ms=20_000)
    assert due.overdue(29_999) == []
    assert due.overdue(30_000) == [KEY]
    assert due.overdue(30_001) == []
    assert due.share(KEY, complete=False, now_ms=40_000), "what comes late is told at once"
    due.forget([later])
    assert due.overdue(1_000_000) == []
