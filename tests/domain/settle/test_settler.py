"""Which intervals are settled when, and what is published of them."""

from collections import Counter
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from schemas.assets import StateChange
from schemas.dispatch import RequestEvent, Target
from schemas.preferences import Preferences
from schemas.programs import Enrolment
from tests.support.settle_world import (
    BERLIN,
    DAY,
    HOUR,
    INTERVAL,
    MINUTE,
    SHARE_60,
    START,
    amounts,
    award,
    delivery,
    home,
    opt_out,
    site_window,
    terms,
)
from tests.support.window_frames import frame_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.corrections import balances, by_partition
from vpp_streams.domain.settle.due import LATEST_MS, QUIET_MS
from vpp_streams.domain.settle.intervals import SiteWindows
from vpp_streams.domain.settle.jobs import AwardJob, EventJob, Job, QuarterJob
from vpp_streams.domain.settle.past import Past
from vpp_streams.domain.settle.settler import Settler
from vpp_streams.errors import RefusedError

HOMES = ("home-1", "home-2")
NOW = START + INTERVAL + MINUTE
QUARTER = 15 * MINUTE


def settler(**changes: Any) -> Settler:
    made = Settler(Registry(home(site_id, **changes) for site_id in HOMES), BERLIN)
    made.agree(SHARE_60)
    for site_id in HOMES:
        made.agree(Enrolment(site_id=site_id, program_id=SHARE_60.program_id, effective_from_ms=0))
    return made


def measure(made: Settler, site_id: str, battery_wh: float, revision: int = 0) -> None:
    """Five minutes in which the battery gives this in each."""
    for n in range(5):
        window = site_window(
            site_id, START + n * MINUTE, battery_wh, -battery_wh, revision=revision
        )
        made.measured(window, NOW)


def sold(made: Settler, now_ms: int = NOW) -> str:
    """An award of 6 kW and its delivery, 0.05 EUR."""
    made.awarded(award(), now_ms)
    made.delivered(delivery(award(), 6_000.0), now_ms)
    return award().bid_id


def test_an_interval_is_settled_once_nothing_about_it_changes() -> None:
    made = settler()
    measure(made, "home-1", 75.0)
    bid_id = sold(made)
    assert made.ready(NOW + QUIET_MS - 1) == []
    measure(made, "home-2", 25.0)
    assert made.ready(NOW + QUIET_MS) == [AwardJob(bid_id)]
    entries = made.settle(AwardJob(bid_id))
    assert entries is not None
    assert amounts(entries) == {"home-1": 22_500, "home-2": 7_500}
    assert amounts(entries, "operator") == {"": 20_000}
    assert balances(entries)["revenue:sim:north"] == 0
    assert AwardJob(bid_id) not in made.ready(NOW + 2 * QUIET_MS)


def test_a_frame_of_windows_is_settled_as_its_windows_are() -> None:
    by_frame, one_by_one = settler(), settler()
    for n in range(5):
        windows = [site_window(s, START + n * MINUTE, 75.0, -75.0) for s in HOMES]
        by_frame.measured_all(frame_of(windows), NOW)
        for window in windows:
            one_by_one.measured(window, NOW)
    quarter = [site_window(s, START, 1_000.0, -900.0, size_s=900) for s in HOMES]
    by_frame.measured_all(frame_of(quarter), NOW)
    for window in quarter:
        one_by_one.measured(window, NOW)
    for made in (by_frame, one_by_one):
        sold(made)
    jobs = one_by_one.ready(NOW + QUIET_MS)
    assert {type(job) for job in jobs} == {AwardJob, QuarterJob}
    assert by_frame.ready(NOW + QUIET_MS) == jobs
    for job in jobs:
        expected = one_by_one.settle(job)
        assert _rows(by_frame.settle(job)) == _rows(expected)
    # What is known already changes nothing, so nothing is due again.
    before = by_frame.due
    by_frame.measured_all(frame_of(quarter), NOW)
    assert by_frame.due == before


def _rows(entries: pa.RecordBatch | None) -> str:
    """Entries as text: a NaN in them equals another."""
    return str(entries and entries.to_pylist())


def test_a_frame_of_long_ago_or_far_ahead_is_left_out_or_refused() -> None:
    made = settler()
    made.measured_all(frame_of([site_window("home-1", START - 400 * DAY, 75.0)]), NOW)
    assert made.due == 0
    with pytest.raises(RefusedError):
        made.measured_all(frame_of([site_window("home-1", START + 400 * DAY, 75.0)]), NOW)


def test_an_interval_that_changes_all_the_time_is_settled_at_the_latest_after_a_minute() -> None:
    made = settler()
    bid_id = sold(made)
    made.delivered(delivery(award(), 6_001.0), NOW + LATEST_MS - 1)
    assert made.ready(NOW + LATEST_MS - 1) == []
    assert made.ready(NOW + LATEST_MS) == [AwardJob(bid_id)]


def test_a_delivery_without_its_award_waits() -> None:
    made = settler()
    made.delivered(delivery(award(), 6_000.0), NOW)
    assert made.due == 0
    made.awarded(award(), NOW)
    assert made.due == 1


def test_after_a_restart_what_is_published_is_not_published_again() -> None:
    first = settler()
    measure(first, "home-1", 75.0)
    entries = first.settle(AwardJob(sold(first)))
    assert entries is not None
    again = settler()
    for _, part in by_partition(entries):
        again.published(part, NOW)
    measure(again, "home-1", 75.0)
    assert again.settle(AwardJob(sold(again))) is None


def test_what_a_killed_settler_did_not_publish_is_published() -> None:
    first = settler()
    measure(first, "home-1", 75.0)
    entries = first.settle(AwardJob(sold(first)))
    assert entries is not None
    parts = [part for _, part in by_partition(entries)]
    assert len(parts) > 1
    again = settler()
    again.published(parts[0], NOW)
    measure(again, "home-1", 75.0)
    rest = again.settle(AwardJob(sold(again)))
    assert rest is not None
    assert not any(rest.column("reverses").to_pylist())
    assert rest.num_rows == entries.num_rows - parts[0].num_rows


def test_a_late_window_corrects_what_stands() -> None:
    made = settler()
    measure(made, "home-1", 75.0)
    bid_id = sold(made)
    first = made.settle(AwardJob(bid_id))
    assert first is not None
    made.published(first, NOW)
    measure(made, "home-2", 75.0)
    assert made.ready(NOW + QUIET_MS) == [AwardJob(bid_id)]
    correction = made.settle(AwardJob(bid_id))
    assert correction is not None
    after = amounts(correction)
    assert after["home-1"] == -15_000
    assert after["home-2"] == 15_000
    assert balances(correction)["revenue:sim:north"] == 0


def test_a_correction_after_a_month_was_closed_counts_in_the_next_one() -> None:
    made = settler()
    made.closed("2025-11")
    entries = made.settle(AwardJob(sold(made)))
    assert entries is not None
    assert set(entries.column("period").to_pylist()) == {"2025-12"}


def test_a_site_is_paid_if_it_was_active_then_whatever_it_is_now() -> None:
    left = StateChange("suspended", START + DAY)
    made = settler(history=(StateChange("active", 0), left))
    measure(made, "home-1", 75.0)
    entries = made.settle(AwardJob(sold(made)))
    assert entries is not None
    assert amounts(entries)["home-1"] == 30_000
    early = settler(history=(StateChange("planned", 0), StateChange("active", START + 1)))
    measure(early, "home-1", 75.0)
    entries = early.settle(AwardJob(sold(early)))
    assert entries is not None
    assert amounts(entries) == {}
    assert amounts(entries, "operator") == {"": 50_000}


def test_what_somebody_else_asked_for_does_not_count() -> None:
    made = settler()
    measure(made, "home-1", 75.0)
    made.measured(site_window("home-2", START, 900.0, -900.0), NOW)
    bid_id = sold(made)
    taken = {"request_id": bid_id, "region": "north", "by": "an-emergency"}
    made.dispatched(
        msgspec.convert(taken | {"at_ms": START, "state": "outranked"}, RequestEvent), NOW
    )
    made.dispatched(
        msgspec.convert(
            taken | {"at_ms": START + MINUTE, "state": "active", "by": ""}, RequestEvent
        ),
        NOW,
    )
    entries = made.settle(AwardJob(bid_id))
    assert entries is not None
    assert amounts(entries) == {"home-1": 30_000, "home-2": 0}


BY_DAYS = terms(version=2, effective_from_ms=1, baseline="ten_of_ten", per_kwh_micros=100_000)


def similar_days(import_wh: float, count: int) -> SiteWindows:
    """Sundays and Saturdays before, on which homes took this much in each minute."""
    found = SiteWindows()
    weekend = [START - n * DAY for n in (1, 7, 8, 14, 15)][:count]
    for day_ms in weekend:
        for site_id in HOMES:
            for n in range(-4 * 60, 5):
                found.apply(site_window(site_id, day_ms + n * MINUTE, 0.0, import_wh))
    return found


def test_a_site_is_compared_with_similar_days() -> None:
    """On four of them it took 40 Wh a minute; in the event nothing. The day before was an event."""
    made = settler()
    made.agree(BY_DAYS)
    measure(made, "home-1", 0.0)
    job = AwardJob(sold(made))
    need = made.need(job)
    assert need is not None
    assert (need.region, need.site_ids) == ("north", HOMES)
    assert (START - DAY, START - DAY + INTERVAL) in need.spans
    past = Past(similar_days(40.0, 5), {date(2025, 11, 22)})
    entries = made.settle(job, past)
    assert entries is not None
    of_home = {row["site_id"]: row for row in entries.to_pylist() if row["kind"] == "share"}
    assert of_home["home-1"]["delivered_wh"] == pytest.approx(200.0)
    assert amounts(entries) == {"home-1": 30_000, "home-2": 0}
    (event,) = (job for job in later(made) if isinstance(job, EventJob))
    paid = made.settle(event, past)
    assert paid is not None
    assert amounts(paid, "energy") == {"home-1": 20_000, "home-2": 0}


def test_a_site_without_enough_similar_days_is_marked_and_not_paid() -> None:
    made = settler()
    made.agree(BY_DAYS)
    measure(made, "home-1", 75.0)
    entries = made.settle(AwardJob(sold(made)), Past(similar_days(40.0, 3)))
    assert entries is not None
    assert amounts(entries) == {"home-1": 0, "home-2": 0}
    assert amounts(entries, "operator") == {"": 50_000}
    (row,) = (row for row in entries.to_pylist() if row["site_id"] == "home-1")
    assert (row["energy_wh"], row["coverage"]) == (375.0, 1.0)
    assert np.isnan([row["baseline_wh"], row["delivered_wh"]]).all()


def test_no_earlier_day_is_needed_where_no_program_compares_with_them() -> None:
    made = paying()
    assert made.need(AwardJob(sold(made))) is None
    assert made.need(QuarterJob("north", START)) is None


def test_the_share_of_a_program_with_rates_is_settled() -> None:
    made = settler()
    made.agree(terms(per_kwh_micros=50_000, version=2, effective_from_ms=1))
    measure(made, "home-1", 75.0)
    entries = made.settle(AwardJob(sold(made)))
    assert entries is not None
    assert amounts(entries, "energy") == {}
    assert amounts(entries) == {"home-1": 30_000, "home-2": 0}


RATES = terms(
    version=2,
    effective_from_ms=1,
    per_kwh_micros=100_000,
    per_event_micros=250_000,
    per_kw_hour_micros=4_000,
)


def paying(**changes: Any) -> Settler:
    made = settler()
    made.agree(terms(RATES, **changes))
    return made


def gave(
    made: Settler, site_id: str, wh_per_minute: float, minutes: int, revision: int = 0
) -> None:
    for n in range(minutes):
        at_ms = START + n * MINUTE
        window = site_window(site_id, at_ms, wh_per_minute, -wh_per_minute, revision=revision)
        made.measured(window, NOW)


def bought(made: Settler, *energies_w: float) -> None:
    """Awards that follow each other, with their deliveries."""
    for n, energy_w in enumerate(energies_w):
        one = award(START + n * INTERVAL, energy_w=energy_w)
        made.awarded(one, NOW)
        made.delivered(delivery(one, energy_w), NOW)


def later(made: Settler) -> list[Job]:
    made.ready(START + HOUR)
    return made.ready(START + HOUR + QUIET_MS)


def settled_by(made: Settler, now_ms: int, kind: type = EventJob) -> list[pa.RecordBatch]:
    """The records of what is ready, each of which is published."""
    made.ready(now_ms)  # events are found, and due from now on
    found = []
    for job in made.ready(now_ms + QUIET_MS):
        if isinstance(job, kind):
            record = made.settle(job)
            if record is not None:
                made.published(record, now_ms)
                found.append(record)
    return found


def test_events_are_paid_once_nothing_can_be_added_to_them() -> None:
    made = paying()
    gave(made, "home-1", 20.0, 10)
    bought(made, 6_000.0, 6_000.0, -6_000.0)
    made.awarded(award(START + 3 * INTERVAL), NOW)  # nobody knows yet where it goes
    over_ms = START + 3 * INTERVAL
    (discharge,) = settled_by(made, over_ms)
    rows = discharge.to_pylist()
    assert amounts(discharge, "energy") == {"home-1": 20_000, "home-2": 0}
    assert amounts(discharge, "event") == {"home-1": 250_000, "home-2": 0}
    assert {(r["market"], r["start_ms"], r["interval_ms"]) for r in rows} == {
        ("sim", START, 2 * INTERVAL)
    }
    assert balances(discharge)["operator"] == -270_000
    (charge,) = settled_by(made, over_ms + INTERVAL + 2 * HOUR)
    assert amounts(charge, "energy") == {"home-1": 0, "home-2": 0}
    assert settled_by(made, over_ms + 5 * HOUR) == []


def test_a_delivery_that_joins_two_events_takes_the_second_back() -> None:
    made = paying()
    gave(made, "home-1", 20.0, 15)
    bought(made, 6_000.0)
    between, last = award(START + INTERVAL), award(START + 2 * INTERVAL)
    made.awarded(last, NOW)
    made.delivered(delivery(last, 6_000.0), NOW)
    first, second = settled_by(made, START + HOUR)
    made.awarded(between, NOW)
    made.delivered(delivery(between, 6_000.0), NOW)
    corrected = settled_by(made, START + HOUR)
    total = Counter[str]()
    for record in (first, second, *corrected):
        total.update(balances(record))
    assert total["site:home-1"] == 30_000 + 250_000
    assert [r["start_ms"] for r in corrected[-1].to_pylist()] == [START + 2 * INTERVAL] * 4
    assert corrected[-1].column("reverses").to_pylist() == [True] * 4
    again = paying()
    gave(again, "home-1", 20.0, 15)
    for one in (award(), between, last):
        again.awarded(one, NOW)
        again.delivered(delivery(one, 6_000.0), NOW)
    for record in (first, second, *corrected):
        again.published(record, NOW)
    assert settled_by(again, START + HOUR) == []


def order(made: Settler, state: str, at_ms: int) -> None:
    target = Target(
        request_id="order",
        region="north",
        export_w=5_000.0,
        starts_at_ms=START,
        ends_at_ms=START + 15 * MINUTE,
        priority="operator",
        source="operator:ada",
        issued_at_ms=START,
    )
    made.requested(target, NOW)
    fields = {"request_id": "order", "region": "north", "state": state, "at_ms": at_ms}
    made.dispatched(msgspec.convert(fields, RequestEvent), NOW)


def test_a_persons_order_is_an_event_too() -> None:
    made = paying()
    gave(made, "home-1", 20.0, 15)
    order(made, "active", START)
    assert settled_by(made, START + 14 * MINUTE) == []
    order(made, "withdrawn", START + 12 * MINUTE)
    (record,) = settled_by(made, START + 14 * MINUTE)
    assert amounts(record, "energy") == {"home-1": 24_000, "home-2": 0}
    assert {r["market"] for r in record.to_pylist()} == {""}
    gave(made, "home-1", 10.0, 15, revision=1)
    (correction,) = settled_by(made, START + HOUR)
    assert balances(correction) == {"operator": 12_000, "site:home-1": -12_000}


def skipping(*skips: str, after_ms: int = -DAY, paused_until_ms: int = 0) -> Preferences:
    return Preferences(
        site_id="home-1",
        set_at_ms=START + after_ms,
        by="owner:1",
        skips=skips,
        paused_until_ms=paused_until_ms,
    )


def test_an_event_that_an_owner_skips_is_neither_paid_nor_missing() -> None:
    made = paying()
    order(made, "accepted", START - HOUR)
    (left,) = made.decided(skipping("order"), NOW)
    assert (left.from_ms, left.until_ms, left.request_id) == (START, START + 15 * MINUTE, "order")
    gave(made, "home-1", 20.0, 15)
    gave(made, "home-2", 20.0, 15)
    order(made, "active", START)
    (record,) = settled_by(made, START + HOUR)
    assert amounts(record, "energy") == {"home-1": 0, "home-2": 30_000}
    assert amounts(record, "event") == {"home-1": 0, "home-2": 250_000}
    assert {r["coverage"] for r in record.to_pylist()} == {1.0}
    bid_id = sold(made)  # it skipped the order, not what was sold
    award_record = made.settle(AwardJob(bid_id))
    assert award_record is not None
    assert amounts(award_record)["home-1"] == 15_000


def test_an_owner_who_leaves_while_an_event_runs_is_paid_until_then() -> None:
    made = paying()
    gave(made, "home-1", 20.0, 15)
    gave(made, "home-2", 20.0, 15)
    order(made, "active", START)
    pause = skipping(after_ms=5 * MINUTE, paused_until_ms=START + DAY)
    assert len(made.decided(pause, NOW)) == 1
    (record,) = settled_by(made, START + HOUR)
    assert amounts(record, "energy") == {"home-1": 10_000, "home-2": 30_000}
    assert amounts(record, "event") == {"home-1": 0, "home-2": 250_000}


def stood_ready(made: Settler, *coverages: float, site_id: str = "home-1") -> None:
    for n, coverage in enumerate(coverages):
        window = site_window(site_id, START + n * QUARTER, 0.0, 0.0, size_s=900, coverage=coverage)
        made.measured(window, NOW)


def test_availability_is_paid_by_the_quarter_of_an_hour() -> None:
    """5 kW at 0.004 per kW and hour: 0.005 a quarter."""
    made = paying()
    stood_ready(made, 1.0, 0.5)
    first, second = settled_by(made, NOW, QuarterJob)
    assert amounts(first, "availability") == {"home-1": 5_000, "home-2": 0}
    assert amounts(second, "availability") == {"home-1": 2_500, "home-2": 0}
    assert balances(first)["operator"] == -5_000
    pause = skipping(after_ms=3 * MINUTE, paused_until_ms=START + 18 * MINUTE)
    made.decided(pause, NOW)
    one, other = settled_by(made, NOW, QuarterJob)
    assert balances(one) == {"operator": 4_000, "site:home-1": -4_000}
    assert balances(other)["site:home-1"] == -500


def test_an_opt_out_beyond_the_rules_costs_the_availability_of_its_day() -> None:
    made = paying(opt_out_notice_s=3_600)
    stood_ready(made, 1.0, 1.0)
    assert len(settled_by(made, NOW, QuarterJob)) == 2
    made.opted_out(opt_out("home-1", START + 20 * HOUR, START + 21 * HOUR, START + 20 * HOUR), NOW)
    lost = settled_by(made, NOW, QuarterJob)
    assert [balances(record)["site:home-1"] for record in lost] == [-5_000] * 2
    made.opted_out(opt_out("home-1", START + 20 * HOUR, START + 20 * HOUR, START + 20 * HOUR), NOW)
    again = settled_by(made, NOW, QuarterJob)
    assert [balances(record)["site:home-1"] for record in again] == [5_000] * 2


@pytest.mark.parametrize("kind", [EventJob, QuarterJob])
def test_what_a_killed_settler_did_not_publish_of_it_is_published(kind: type) -> None:
    def told() -> Settler:
        made = paying()
        gave(made, "home-1", 20.0, 15)
        gave(made, "home-2", 10.0, 15)
        stood_ready(made, 1.0)
        order(made, "active", START)
        order(made, "completed", START + 15 * MINUTE)
        return made

    (record,) = settled_by(told(), START + HOUR, kind)
    parts = [part for _, part in by_partition(record)]
    assert len(parts) == 2
    for published in parts:
        again = told()
        again.published(published, NOW)
        (rest,) = settled_by(again, START + HOUR, kind)
        assert not any(rest.column("reverses").to_pylist())
        total = Counter(balances(rest))
        total.update(balances(published))
        assert total == balances(record)


def test_an_event_whose_beginning_was_forgotten_is_not_settled_as_another() -> None:
    made = paying()
    gave(made, "home-1", 20.0, 15)
    bought(made, 6_000.0, 6_000.0, 6_000.0)
    later_ms = START + DAY + INTERVAL + 1
    made.forget(later_ms)
    assert settled_by(made, later_ms) == []
    restarted = paying()
    for n in range(3):
        one = award(START + n * INTERVAL)
        restarted.awarded(one, later_ms)
        restarted.delivered(delivery(one, 6_000.0), later_ms)
    assert settled_by(restarted, later_ms) == []


def test_a_time_far_ahead_is_refused() -> None:
    made = settler()
    far_ms = NOW + 400 * DAY
    with pytest.raises(RefusedError, match="a year ahead"):
        made.awarded(award(far_ms), NOW)
    with pytest.raises(RefusedError, match="a year ahead"):
        made.measured(site_window("home-1", far_ms, 1.0), NOW)


def test_old_intervals_are_forgotten() -> None:
    made = settler()
    measure(made, "home-1", 75.0)
    sold(made)
    made.forget(NOW + 2 * DAY)
    assert made.due == 0
    assert made.ready(NOW + 2 * DAY) == []
    sold(made, NOW + 2 * DAY)
    assert made.due == 0
