"""The read model: what it makes of records in any order, from anybody, within bounds."""

import base64
import random
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bounds import MAX_COUNT, MAX_TIME_MS
from schemas.presence import Presence
from schemas.windows import SiteWindow
from tests.support.web_records import (
    NOW_MS,
    dispatch_status,
    health,
    region_live,
    region_window,
    rejected,
    site,
    site_window,
)
from tests.support.web_world import apply, apply_raw
from tests.support.window_frames import frame_of
from vpp_streams.domain.explorer.site_query import SiteQuery
from vpp_streams.domain.registry.states import in_state
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.ages import Ages, percentile
from vpp_streams.serving.pipeline import Pipeline
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.regions import HISTORY_MS, Regions, WindowSeries
from vpp_streams.serving.rejections import OTHER, PREVIEW_CHARS, Rejections, preview
from vpp_streams.serving.sites import Sites

READ = (
    topics.ASSETS,
    topics.PRESENCE,
    topics.SITE_WINDOWS,
    topics.REGION_WINDOWS,
    topics.REGION_LIVE,
    topics.TELEMETRY_REJECTED,
    topics.HEALTH,
)


@pytest.fixture
def model() -> ReadModel:
    return ReadModel(started_at_ms=NOW_MS)


@pytest.mark.parametrize("topic", READ, ids=lambda topic: topic.name)
@pytest.mark.parametrize("junk", [b"", b"{", b"null", b"[]", b'{"region":5}', b"\xff\xfe", b"NaN"])
def test_a_record_that_cannot_be_read_is_counted_and_changes_nothing(
    model: ReadModel, topic: Topic, junk: bytes
) -> None:
    before = msgspec.json.encode(model.summary(NOW_MS))
    apply_raw(model, topic, b"key", junk, offset=0, now_ms=NOW_MS)
    assert model.undecodable == {topic.name: 1}
    assert msgspec.json.encode(model.summary(NOW_MS)) == before


@pytest.mark.parametrize("topic", READ, ids=lambda topic: topic.name)
def test_a_record_nested_deeper_than_can_be_read_is_counted(model: ReadModel, topic: Topic) -> None:
    deep = b'{"region":"x","zz":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    apply_raw(model, topic, b"key", deep, offset=0, now_ms=NOW_MS)
    assert model.undecodable == {topic.name: 1}


def test_numbers_beyond_reason_leave_every_answer_readable(model: ReadModel) -> None:
    for pid in (1, 2):
        report = health("gateway", NOW_MS, pid=pid, connections=200, readings_in=MAX_COUNT)
        gauges = {"connections": 1e18, "lag": -1e18}
        apply(model, topics.HEALTH, msgspec.structs.replace(report, gauges=gauges))
    live = region_live("north", NOW_MS, fresh_ages_ms=((MAX_TIME_MS, MAX_COUNT), (5, MAX_COUNT)))
    apply(model, topics.REGION_LIVE, live)
    assert not model.undecodable
    for view in (model.summary(NOW_MS), model.health(NOW_MS)):
        told = msgspec.json.decode(msgspec.json.encode(view))
        assert told["readings_in"] > 0


@pytest.mark.parametrize("topic", READ, ids=lambda topic: topic.name)
def test_a_tombstone_is_an_error_only_where_nothing_can_be_removed(
    model: ReadModel, topic: Topic
) -> None:
    apply_raw(model, topic, b"key", None, offset=0, now_ms=NOW_MS)
    assert model.undecodable == ({} if "compact" in topic.keep else {topic.name: 1})


# Regions


def test_region_shows_its_last_record_and_becomes_stale(model: ReadModel) -> None:
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS, battery_w=1.0))
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS + 500, battery_w=2.0))
    [now] = model.regions.now(NOW_MS + 10_000)
    assert (now.battery_w, now.stale, now.heard_ago_s) == (2.0, False, 10.0)
    assert model.regions.now(NOW_MS + 10_001)[0].stale


def test_a_time_far_ahead_or_a_replay_that_starts_again_freezes_nothing(model: ReadModel) -> None:
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS))
    apply(model, topics.REGION_LIVE, region_live("north", 253_402_300_799_000))
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS - 60_000, battery_w=3.0))
    assert model.regions.now(NOW_MS)[0].battery_w == 3.0
    assert model.regions.history("north", 10).at_ms == [NOW_MS - 60_000]
    for at_ms in (253_402_300_799_000, NOW_MS, NOW_MS + 10_000):
        count = 100 * (at_ms - NOW_MS) // 1000 if at_ms < 2 * NOW_MS else 0
        apply(model, topics.HEALTH, health("ingest", at_ms, canonical=count))
    assert model.pipeline.rates_per_s(NOW_MS)["canonical"] == pytest.approx(100.0)


def test_powers_of_a_region_in_which_no_site_reports_are_not_measured(model: ReadModel) -> None:
    silent = region_live("north", NOW_MS, sites_reporting=0, coverage=0.0, battery_w=0.0, soc=None)
    apply(model, topics.REGION_LIVE, silent)
    [now] = model.regions.now(NOW_MS)
    assert (now.battery_w, now.grid_w, now.solar_w, now.load_w) == (None, None, None, None)
    assert model.regions.history("north", 10).battery_w == [None]


def test_history_is_half_an_hour_at_two_a_second_at_most(model: ReadModel) -> None:
    regions = model.regions
    for step in range(20_000):
        regions.apply_live(region_live("north", NOW_MS + 250 * step), NOW_MS)
    history = regions.history("north", 10_000)
    gaps = {b - a for a, b in zip(history.at_ms, history.at_ms[1:], strict=False)}
    assert gaps == {500}
    assert history.at_ms[-1] - history.at_ms[0] == pytest.approx(HISTORY_MS, abs=1000)


@given(points=st.integers(2, 4000), length=st.integers(0, 300))
def test_thinned_history_keeps_the_newest_and_the_bound(points: int, length: int) -> None:
    regions = Regions((60,), 10)
    for step in range(length):
        regions.apply_live(region_live("north", NOW_MS + 1000 * step), NOW_MS)
    history = regions.history("north", points)
    assert len(history.at_ms) <= points
    if length:
        assert history.at_ms[-1] == NOW_MS + 1000 * (length - 1)
    assert len(history.soc) == len(history.coverage) == len(history.at_ms)


def test_regions_are_bounded_and_the_silent_leave_first(model: ReadModel) -> None:
    for number in range(1200):
        at_ms = NOW_MS + number
        apply(model, topics.REGION_LIVE, region_live(f"r{number:04}", at_ms), now_ms=at_ms)
    names = model.regions.names()
    assert len(names) == 1000
    assert names[0] == "r0200"


@given(st.permutations([(start, revision) for start in range(4) for revision in range(3)]))
def test_windows_end_in_their_newest_revision_whatever_the_order(
    records: list[tuple[int, int]],
) -> None:
    series: WindowSeries[SiteWindow] = WindowSeries(keep=10)
    for start, revision in records:
        series.apply(site_window("home-001", start * 60_000, revision=revision))
    newest = series.newest(10)
    assert [(w.start_ms // 60_000, w.revision) for w in newest] == [(3, 2), (2, 2), (1, 2), (0, 2)]


def test_window_series_keeps_the_newest_windows(model: ReadModel) -> None:
    for start in random.Random(7).sample(range(500), 500):
        apply(model, topics.REGION_WINDOWS, region_window("north", start * 900_000))
    kept = [w.start_ms // 900_000 for w in model.regions.windows("north", 900, 1000)]
    assert kept == list(range(499, 259, -1))


def test_windows_of_a_size_that_is_not_shown_are_left_out(model: ReadModel) -> None:
    apply(model, topics.SITE_WINDOWS, site_window("home-001", NOW_MS, size_s=5))
    apply(model, topics.REGION_WINDOWS, region_window("north", NOW_MS, size_s=5))
    assert model.sites.windows("home-001", 5, 10) == []
    assert model.regions.windows("north", 5, 10) == []


# Sites


def kept(sites: Sites, number: int) -> int:
    return len(sites.windows(f"home-{number}", 60, 1000))


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), max_size=200),
    st.integers(1, 30),
)
def test_site_windows_are_bounded_in_all_and_by_site(
    told: list[tuple[int, int]], most: int
) -> None:
    sites = Sites({60: 5}, max_windows=most)
    for number, start in told:
        sites.apply_window(site_window(f"home-{number}", 60_000 * start))
        assert sum(kept(sites, n) for n in range(1, 21)) <= most
        assert 1 <= kept(sites, number) <= 5


def test_more_sites_have_fewer_windows_each_and_the_still_leave_first() -> None:
    sites = Sites({60: 5}, max_windows=12)
    for start in range(10):
        sites.apply_window(site_window("home-1", 60_000 * start))
        sites.apply_window(site_window("home-2", 60_000 * start))
    assert [kept(sites, n) for n in (1, 2)] == [5, 5]
    for start in range(10, 20):
        for number in (2, 3, 4):
            sites.apply_window(site_window(f"home-{number}", 60_000 * start))
    assert [kept(sites, n) for n in (1, 2, 3, 4)] == [0, 4, 4, 4]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 8), st.integers(0, 3)), max_size=60))
def test_a_frame_is_kept_as_its_windows_would_be(told: list[tuple[int, int, int]]) -> None:
    by_frame, one_by_one = (Sites({60: 5}, max_windows=12) for _ in range(2))
    for start in range(9):
        windows = [
            site_window(f"home-{number}", 60_000 * start, revision=revision, readings=at)
            for at, (number, of, revision) in enumerate(told)
            if of == start
        ]
        if windows:
            by_frame.apply_windows(frame_of(windows))
        for window in windows:
            one_by_one.apply_window(window)
    for number in range(1, 7):
        name = f"home-{number}"
        assert by_frame.windows(name, 60, 10) == one_by_one.windows(name, 60, 10)


def test_the_read_model_takes_frames_and_single_windows(model: ReadModel) -> None:
    alone, together = site_window("home-001", NOW_MS), site_window("home-001", NOW_MS + 60_000)
    apply(model, topics.SITE_WINDOWS, alone)
    apply(model, topics.SITE_WINDOWS, frame_of([together]))
    apply(model, topics.SITE_WINDOWS, frame_of([site_window("home-001", NOW_MS, size_s=5)]))
    assert model.sites.windows("home-001", 60, 10) == [together, alone]
    assert model.sites.windows("home-001", 5, 10) == []


def test_a_late_disconnect_of_an_older_epoch_is_ignored(model: ReadModel) -> None:
    home = site(1)
    apply(model, topics.ASSETS, home)

    def tell(status: Any, offset: int, epoch: int | None = None) -> None:
        presence = Presence("pw-001", "home-001", status, 0, NOW_MS, epoch)
        apply(model, topics.PRESENCE, presence, offset)

    def status() -> list[str]:
        return [presence.status for presence in model.sites.presence(home)]

    tell("connected", 10)
    tell("connected", 20)
    tell("disconnected", 21, epoch=10)
    assert status() == ["connected"]
    tell("disconnected", 22, epoch=20)
    assert status() == ["disconnected"]
    apply_raw(model, topics.PRESENCE, b"pw-001", None, offset=23, now_ms=NOW_MS)
    assert status() == []


def test_a_removed_site_leaves_the_list(model: ReadModel) -> None:
    for number in (1, 2):
        apply(model, topics.ASSETS, site(number))
    apply(model, topics.ASSETS, msgspec.structs.replace(site(1), removed=True))
    assert [row.site_id for row in model.explorer.page(SiteQuery(), NOW_MS, limit=10).sites] == [
        "home-002"
    ]


def test_a_list_of_sites_shows_their_states(model: ReadModel) -> None:
    apply(model, topics.ASSETS, site(1))
    apply(model, topics.ASSETS, in_state(site(2), "suspended", NOW_MS))
    rows = model.explorer.page(SiteQuery(), NOW_MS, limit=10).sites
    assert [(row.site_id, row.state) for row in rows] == [
        ("home-001", "active"),
        ("home-002", "suspended"),
    ]


@given(numbers=st.sets(st.integers(0, 60)), limit=st.integers(1, 20))
def test_pages_hold_each_site_once_in_order(numbers: set[int], limit: int) -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    for number in numbers:
        model.sites.registry.apply(site(number))
    seen: list[str] = []
    cursor: str | None = ""
    while True:
        page = model.explorer.page(SiteQuery(), NOW_MS, limit=limit, cursor=cursor or "")
        assert len(page.sites) <= limit
        seen += [row.site_id for row in page.sites]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"home-{number:03}" for number in sorted(numbers)]


# Rejections


def test_a_rejected_reading_that_is_told_again_counts_once() -> None:
    rejections = Rejections()
    for _ in range(3):
        rejections.apply(rejected(1))
    page = rejections.page(None, 10)
    assert (page.counts, len(page.rejected)) == ({"bad_json": 1}, 1)


def test_rejections_and_their_reasons_are_bounded() -> None:
    rejections = Rejections(keep=50)
    for number in range(1000):
        rejections.apply(rejected(number, reason=f"reason-{number}"))
    page = rejections.page(None, 10_000)
    assert [row.source.split(" @ ")[1].split(",")[0] for row in page.rejected[:2]] == ["999", "998"]
    assert len(page.rejected) == 50
    assert len(page.counts) == 201
    assert page.counts[OTHER] == 800
    assert sum(page.counts.values()) == 1000


def test_of_a_large_rejected_frame_only_what_is_shown_is_kept() -> None:
    rejections = Rejections(keep=50)
    frame = base64.b64encode(b"x" * 1_000_000).decode()
    tracemalloc.start()
    try:
        for number in range(50):
            # As from the wire: each record has a string of its own.
            own = "".join([frame[:-4], frame[-4:]])
            rejections.apply(msgspec.structs.replace(rejected(number), original_base64=own))
        del own
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    assert rejections.page(None, 1).rejected[0].original_bytes == 1_000_000


@given(st.binary(max_size=200))
def test_a_preview_is_the_text_itself_or_hex(original: bytes) -> None:
    text, size = preview(base64.b64encode(original).decode())
    assert size == len(original)
    try:
        assert text == original.decode()
    except UnicodeDecodeError:
        assert bytes.fromhex(text) == original


def test_a_long_preview_is_cut_and_bad_base64_is_said() -> None:
    text, size = preview(base64.b64encode("ä".encode() * 100_000).decode())
    assert (len(text), size) == (PREVIEW_CHARS + 2, 200_000)
    assert preview("%%%")[1] == 0


# Pipeline


def test_totals_never_fall_when_a_process_starts_again() -> None:
    pipeline = Pipeline()
    first = health("ingest", NOW_MS, pid=1, canonical=1000)
    pipeline.apply(first, NOW_MS)
    other_id = health("ingest", NOW_MS + 1000, pid=2, canonical=10)
    pipeline.apply(other_id, NOW_MS + 1000)
    assert pipeline.totals(NOW_MS + 1000).canonical == 1010
    same_id = msgspec.structs.replace(first, at_ms=NOW_MS + 2000, started_at_ms=NOW_MS + 1500)
    pipeline.apply(msgspec.structs.replace(same_id, counters={"canonical": 4}), NOW_MS + 2000)
    assert pipeline.totals(NOW_MS + 2000).canonical == 1014


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 1000)), max_size=40))
def test_totals_never_fall_whatever_is_reported(reports: list[tuple[int, int, int]]) -> None:
    pipeline = Pipeline()
    before = 0
    for step, (pid, start, canonical) in enumerate(reports):
        report = health("ingest", NOW_MS + step, pid=pid, canonical=canonical)
        pipeline.apply(msgspec.structs.replace(report, started_at_ms=start), NOW_MS + step)
        total = pipeline.totals(NOW_MS + step).canonical
        assert total >= before
        before = total


def test_a_silent_process_no_longer_counts_as_lag_or_connections() -> None:
    pipeline = Pipeline()
    pipeline.apply(health("gateway", NOW_MS, connections=200, readings_in=5), NOW_MS)
    pipeline.apply(health("fleet", NOW_MS, lag=40), NOW_MS)
    soon, late = pipeline.totals(NOW_MS + 10_000), pipeline.totals(NOW_MS + 10_001)
    assert (soon.devices_connected, soon.lag) == (200, 40)
    assert (late.devices_connected, late.lag, late.readings_in) == (0, 0, 5)
    assert {p.state for p in pipeline.processes(NOW_MS + 10_001)} == {"stale"}


def test_lag_is_that_of_the_roles_that_run() -> None:
    pipeline = Pipeline()
    pipeline.apply(health("fleet", NOW_MS, lag=40), NOW_MS)
    assert pipeline.lag_by_role(NOW_MS) == {"ingest": 0, "fleet": 40, "region": 0}
    pipeline = Pipeline()
    pipeline.apply(health("flow", NOW_MS, lag=7, canonical=3), NOW_MS)
    assert pipeline.lag_by_role(NOW_MS) == {"flow": 7, "region": 0}
    assert (pipeline.totals(NOW_MS).lag, pipeline.totals(NOW_MS).canonical) == (7, 3)


def test_rates_are_rises_over_the_last_ten_seconds() -> None:
    pipeline = Pipeline()
    for second in range(31):
        count = 100 * second if second > 15 else 0
        at_ms = NOW_MS + 1000 * second
        pipeline.apply(health("gateway", at_ms, readings_in=count, backfill_in=2 * second), at_ms)
    assert pipeline.rates_per_s(NOW_MS + 30_000)["readings_in"] == pytest.approx(102.0)
    assert pipeline.rates_per_s(NOW_MS + 60_000)["readings_in"] == 0


def test_processes_are_bounded() -> None:
    pipeline = Pipeline()
    for pid in range(700):
        pipeline.apply(health("ingest", NOW_MS + pid, pid=pid, canonical=1), NOW_MS + pid)
    assert len(pipeline.processes(NOW_MS)) == 500
    assert pipeline.totals(NOW_MS).canonical == 700


# Ages


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 50)), min_size=1, max_size=50),
    st.floats(0.01, 1.0),
)
def test_percentile_is_that_of_the_readings_written_out(
    pairs: list[tuple[int, int]], fraction: float
) -> None:
    ages = Ages()
    ages.add(pairs, NOW_MS)
    every = sorted(age for age, count in pairs for _ in range(count))
    rank = max(1, -(-len(every) * fraction // 1))
    exact = every[int(min(rank, len(every))) - 1]
    found = ages.over_run(fraction)
    assert exact <= found <= exact + 10


def test_last_minute_forgets_and_the_run_does_not() -> None:
    ages = Ages()
    ages.add([(5000, 10)], NOW_MS)
    ages.add([(100, 90)], NOW_MS + 70_000)
    assert ages.over_last_minute(0.99, NOW_MS + 70_000) == 100
    assert ages.over_run(0.99) == 5000
    assert ages.over_last_minute(0.5, NOW_MS + 200_000) is None
    assert ages.readings == 100


def test_ages_are_bounded_and_junk_does_no_harm() -> None:
    ages = Ages()
    ages.add([(age, 1) for age in range(0, 40_000_000, 997)], NOW_MS)
    ages.add([(-50, 1), (10, -5), (20, 0)], NOW_MS)
    assert len(ages._run) < 5000  # noqa: SLF001  # the newest second
    assert percentile({}, 0.5) is None


def test_records_from_before_the_start_fill_charts_but_not_percentiles(model: ReadModel) -> None:
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS - 500), now_ms=NOW_MS - 500)
    assert model.summary(NOW_MS).age_p99_ms is None
    assert len(model.regions.history("north", 10).at_ms) == 1
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS + 500), now_ms=NOW_MS + 500)
    assert model.summary(NOW_MS).age_p99_ms == 690


def test_a_region_that_falls_silent_is_said_to_be_without_any_new_record() -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    apply(model, topics.REGION_LIVE, region_live("north", NOW_MS))
    assert model.regions_now(NOW_MS)[0].standing.word == "No dispatch report"
    apply(model, topics.DISPATCH_EVENTS, dispatch_status("north", NOW_MS))
    (one,) = model.standings(NOW_MS)
    assert (one.region, one.standing.level, one.standing.findings) == ("north", "good", ())
    assert model.alarms(NOW_MS, 10).regions == []
    (one,) = model.standings(NOW_MS + 10_001)
    assert one.standing.level == "bad"
    kinds = [alarm.finding.kind for alarm in model.alarms(NOW_MS + 10_001, 10).regions]
    assert kinds == ["telemetry_stale", "dispatch_stale"]
    assert model.region_now("north", NOW_MS + 10_001).standing == one.standing
