"""When the intervals of an OpenADR event are, and prices on one grid."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openadr3.entities.models import Event as LibraryEvent

from schemas.bounds import MAX_TIME_MS
from schemas.dispatch import Limit, Target
from tests.support.openadr_events_world import (
    DAY_MS,
    HOUR_MS,
    NOON,
    NOW,
    event,
    mapped,
    ms,
    reasons,
    value,
)
from vpp_streams.domain.openadr.time import later_ms, length_of, moment_ms, timeline
from vpp_streams.domain.openadr.wire import ReadEvent, read_event


def test_randomize_start_moves_a_setpoint_always_the_same_and_no_limit() -> None:
    period = {"start": NOON, "duration": "PT1H", "randomizeStart": "PT10M"}
    payloads = [value("DISPATCH_SETPOINT", 5), value("IMPORT_CAPACITY_LIMIT", 5)]
    starts = {type(r): r for r in mapped(event(payloads, intervalPeriod=period)).requests}
    assert starts[Limit].starts_at_ms == NOW
    assert NOW < starts[Target].starts_at_ms < NOW + 600_000
    assert starts[Target].ends_at_ms - starts[Target].starts_at_ms == HOUR_MS
    again = {type(r): r for r in mapped(event(payloads, intervalPeriod=period)).requests}
    assert again == starts


def test_an_event_s_duration_repeats_a_day_s_prices() -> None:
    hours = [{"id": h, "payloads": [value("PRICE", h / 100)]} for h in range(24)]
    raw = event([value("PRICE", 0)], duration="P9999Y", intervals=hours)
    raw["intervalPeriod"]["start"] = "2024-01-01T00:00:00Z"
    told = mapped(raw)
    assert told.prices is not None
    at = (NOW - told.prices.from_ms) // told.prices.interval_ms
    assert told.prices.per_mwh[at : at + 24] == tuple(
        pytest.approx(10 * (hour % 24)) for hour in range(12, 36)
    )
    assert len(told.prices.per_mwh) * HOUR_MS >= 7 * DAY_MS


def test_an_event_s_shorter_duration_cuts_its_intervals() -> None:
    told = mapped(event([value("DISPATCH_SETPOINT", 5)], duration="PT20M"))
    assert [r.ends_at_ms for r in told.requests] == [NOW + 1_200_000]


def test_uneven_prices_come_on_their_common_grid_and_end_at_a_gap() -> None:
    intervals = [
        {"id": 0, "payloads": [value("PRICE", 0.1)]},
        {"id": 1, "intervalPeriod": {"duration": "PT15M"}, "payloads": [value("PRICE", 0.2)]},
        {
            "id": 2,
            "intervalPeriod": {"start": "2024-06-19T18:00:00Z"},
            "payloads": [value("PRICE", 9)],
        },
    ]
    told = mapped(event([value("PRICE", 0)], intervals=intervals))
    assert told.prices is not None
    assert told.prices.interval_ms == 900_000
    assert told.prices.per_mwh == (100.0, 100.0, 100.0, 100.0, 200.0)
    assert "price_gap" in reasons(told.found)


def test_prices_finer_than_a_week_of_minutes_are_the_next_576() -> None:
    raw = event([value("PRICE", 0.1)], duration="P7D")
    raw["intervalPeriod"] = {"start": "2024-06-19T00:00:00Z", "duration": "PT1M"}
    told = mapped(raw)
    assert told.prices is not None
    assert (len(told.prices.per_mwh), told.prices.from_ms) == (576, NOW)
    assert "many_prices" in reasons(told.found)


def test_a_region_has_one_tariff_and_the_other_program_is_named() -> None:
    dear = event([value("PRICE", 0.9)], id="e2", programID="p2")
    told = mapped(event([value("PRICE", 0.1)]), dear)
    assert told.prices is not None
    assert told.prices.per_mwh == (100.0,)
    assert reasons(told.refused) == ["second_tariff"]
    assert "p2" in told.refused[0].detail


def test_a_second_level_loop_for_ever_is_refused_and_not_spun() -> None:
    raw = event([value("PRICE", 0.1)], duration="P9999Y")
    raw["intervalPeriod"]["duration"] = "PT1S"
    assert reasons(mapped(raw).refused) == ["bad_time"]


clock = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)).map(
    lambda d: d.replace(microsecond=0, tzinfo=UTC)
)
durations = st.builds(
    lambda d, h, m, s: f"P{d}DT{h}H{m}M{s}S",
    st.integers(0, 40), st.integers(0, 30), st.integers(0, 90), st.integers(1, 90),
)  # fmt: skip
periods = st.fixed_dictionaries(
    {}, optional={"start": clock.map(lambda d: d.isoformat()), "duration": durations}
)


@given(clock, durations, st.lists(st.none() | periods, min_size=1, max_size=6))
def test_inherited_times_are_those_of_the_library(
    start: datetime, duration: str, own: list[dict[str, str] | None]
) -> None:
    """Of another's code: `openadr3` resolves clean events too."""
    raw = event([], intervalPeriod={"start": start.isoformat(), "duration": duration})
    raw["intervals"] = [{"id": i, "intervalPeriod": p, "payloads": []} for i, p in enumerate(own)]
    # Where an interval in the middle names its own start, what follows it is not agreed on.
    first = next((i for i, p in enumerate(own) if p and "start" in p), len(own))
    raw["intervals"] = raw["intervals"][: first + 1]
    theirs = [i.interval_period for i in LibraryEvent.from_raw(raw).resolved_intervals()]
    read = read_event(raw)
    assert isinstance(read, ReadEvent)
    for span, other in zip(timeline(read.event, 0).spans, theirs, strict=True):
        assert other is not None
        assert other.period is not None
        begins, ends = other.period
        assert (span.start_ms, span.end_ms) == (
            round(begins.timestamp() * 1000),
            round(ends.timestamp() * 1000),
        )


@given(clock, st.integers(0, 30), st.integers(0, 40), durations)
def test_months_and_years_are_counted_as_the_library_counts_them(
    start: datetime, years: int, months: int, rest: str
) -> None:
    length = length_of(f"P{years}Y{months}M{rest[1:]}")
    plain = length_of(rest)
    assert length is not None
    assert plain is not None
    ours = later_ms(round(start.timestamp() * 1000), length)
    total = start.year * 12 + start.month - 1 + years * 12 + months
    month = datetime(total // 12, total % 12 + 1, 1, tzinfo=UTC)
    after = datetime((total + 1) // 12, (total + 1) % 12 + 1, 1, tzinfo=UTC)
    moved = month.replace(
        day=min(start.day, (after - month).days),
        hour=start.hour, minute=start.minute, second=start.second,
    )  # fmt: skip
    assert ours == round(moved.timestamp() * 1000) + plain.rest_ms


def test_endless_and_far_ends_are_the_last_time_that_there_is() -> None:
    assert length_of("P9999Y") is None
    assert later_ms(NOW, None) == MAX_TIME_MS
    assert later_ms(ms("9998-06-01T00:00:00Z"), length_of("P9Y")) == MAX_TIME_MS
    assert moment_ms("0001-01-01", NOW) == NOW == moment_ms("0001-01-01T00:00:00Z", NOW)


def test_of_two_prices_at_a_time_the_higher_event_s_counts_then_the_newer_one_s() -> None:
    base = event([value("PRICE", 0.1)], priority=3)
    newer = event(
        [value("PRICE", 0.2)], id="e2", priority=3, modificationDateTime="2024-06-02T00:00:00Z"
    )
    higher = event([value("PRICE", 0.3)], id="e3", priority=1)
    for events, price in (((base, newer), 200.0), ((newer, base, higher), 300.0)):
        told = mapped(*events)
        assert told.prices is not None
        assert told.prices.per_mwh == (price,)
