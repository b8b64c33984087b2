"""Events: which intervals are one, what corrections and missing minutes do to them."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.settle_world import BERLIN
from tests.support.site_entries import FIVE, START, entry
from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.statements.past_events import PastEvent, past_events

MIDNIGHT_MS = 1_764_025_200_000
"""25 November 2025 in Berlin."""


def past_events_of(entries: Sequence[SiteEntry]) -> list[PastEvent]:
    return past_events(entries, BERLIN)


def test_availability_is_one_event_for_each_local_day() -> None:
    """A quarter of an hour before midnight in Berlin, and two after it."""
    quarter_ms = 900_000
    ready: dict[str, Any] = {
        "kind": "availability",
        "interval_ms": quarter_ms,
        "market": "",
        "micros": 5_000,
    }
    entries = [
        entry(start_ms=MIDNIGHT_MS + n * quarter_ms, delivered_wh=1_250.0, **ready)
        for n in (-1, 0, 1)
    ]
    today, yesterday = past_events_of(entries)
    assert (today.start_ms, today.end_ms) == (MIDNIGHT_MS, MIDNIGHT_MS + 2 * quarter_ms)
    assert today.amount.micros == 10_000
    assert (yesterday.end_ms, yesterday.why) == (MIDNIGHT_MS, "availability")


def test_intervals_that_follow_each_other_are_one_event() -> None:
    (event,) = past_events_of([entry(0), entry(1), entry(2, price_per_mwh=50.0, micros=4_000)])
    assert (event.start_ms, event.end_ms) == (START, START + 3 * FIVE)
    assert (event.why, event.direction, event.market) == ("award", "gave", "sim")
    assert (event.delivered_wh, event.energy_wh, event.baseline_wh) == (300, 450, 150)
    assert event.price_per_kwh == pytest.approx(0.25 / 3)
    assert event.amount.micros == 20_000
    assert event.correction is None
    assert event.coverage_said == ""


@pytest.mark.parametrize(
    "other",
    [
        entry(2),
        entry(1, market="other"),
        entry(1, program_version=2),
        entry(1, delivered_wh=-100.0, micros=-8_000),
        entry(1, kind="energy", market=""),
    ],
    ids=["gap", "market", "terms", "direction", "kind"],
)
def test_what_differs_is_another_event(other: SiteEntry) -> None:
    events = past_events_of([entry(0), other])
    assert len(events) == 2
    assert events[0].start_ms >= events[1].start_ms


def test_payments_for_the_same_time_are_one_event() -> None:
    span: dict[str, Any] = {"interval_ms": 12 * FIVE, "market": "", "share": math.nan}
    (event,) = past_events_of(
        [entry(kind="energy", micros=30_000, **span), entry(kind="event", micros=250_000, **span)]
    )
    assert [payment.kind for payment in event.payments] == ["energy", "event"]
    assert (event.why, event.amount.micros, event.delivered_wh) == ("event", 280_000, 100)


def test_missing_minutes_are_said_and_a_home_that_did_nothing_has_no_event() -> None:
    three = [entry(n, coverage=0.8) for n in range(3)]
    (event,) = past_events_of(three)
    assert event.coverage_said == "12 of 15 minutes were measured; the rest was not paid."
    (unmeasured,) = past_events_of([entry(delivered_wh=math.nan, coverage=0.0, micros=0)])
    assert unmeasured.delivered_wh is None
    assert unmeasured.coverage_said == "Nothing was measured, so nothing was paid."
    assert past_events_of([entry(delivered_wh=0.0, micros=0)]) == []


def test_a_correction_is_in_the_amount_and_stated() -> None:
    back = entry(reverses=True, micros=-8_000, period="2025-11")
    again = entry(revision=1, micros=9_000, delivered_wh=112.5, period="2025-11")
    (event,) = past_events_of([entry(), back, again])
    assert (event.amount.micros, event.delivered_wh) == (9_000, 112.5)
    assert event.correction is not None
    assert event.correction.micros == 1_000
    (gone,) = past_events_of([entry(), back])
    assert (gone.amount.micros, gone.delivered_wh) == (0, None), "all was taken back"
