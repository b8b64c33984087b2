"""Which intervals are settled when, and what is published of them."""

from typing import Any

import msgspec
import pytest

from schemas.assets import StateChange
from schemas.dispatch import RequestEvent
from schemas.programs import Enrolment
from tests.support.settle_world import (
    BERLIN,
    DAY,
    INTERVAL,
    MINUTE,
    SHARE_60,
    START,
    amounts,
    award,
    delivery,
    home,
    site_window,
    terms,
)
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.corrections import balances, by_partition
from vpp_streams.domain.settle.due import LATEST_MS, QUIET_MS
from vpp_streams.domain.settle.settler import AwardJob, Settler
from vpp_streams.errors import RefusedError

HOMES = ("home-1", "home-2")
NOW = START + INTERVAL + MINUTE


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


def test_a_program_that_the_role_cannot_settle_is_refused_and_nothing_is_guessed() -> None:
    made = settler()
    other = terms(program_id="days", baseline="ten_of_ten")
    made.agree(other)
    made.agree(
        Enrolment(site_id="home-1", program_id=SHARE_60.program_id, effective_from_ms=0, until_ms=1)
    )
    made.agree(Enrolment(site_id="home-1", program_id="days", effective_from_ms=1))
    with pytest.raises(RefusedError, match="keeps one day"):
        made.settle(AwardJob(sold(made)))


def test_the_share_of_a_program_with_rates_is_settled() -> None:
    made = settler()
    made.agree(terms(per_kwh_micros=50_000, version=2, effective_from_ms=1))
    measure(made, "home-1", 75.0)
    entries = made.settle(AwardJob(sold(made)))
    assert entries is not None
    assert amounts(entries, "energy") == {}
    assert amounts(entries) == {"home-1": 30_000, "home-2": 0}


def test_old_intervals_are_forgotten() -> None:
    made = settler()
    measure(made, "home-1", 75.0)
    sold(made)
    made.forget(NOW + 2 * DAY)
    assert made.due == 0
    assert made.ready(NOW + 2 * DAY) == []
    sold(made, NOW + 2 * DAY)
    assert made.due == 0
