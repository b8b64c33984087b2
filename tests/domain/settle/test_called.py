"""Events of requests: the complete minutes in which each applied to its region."""

from typing import Any

import msgspec
import pytest

from schemas.dispatch import DispatchStatus, RequestEvent, Target
from tests.support.settle_world import BERLIN, HOUR, MINUTE, START
from vpp_streams.domain.settle.called import Called
from vpp_streams.domain.settle.events import Event

NOON = START + 11 * HOUR
"""In Berlin."""
ORDER = Target(
    request_id="order",
    region="north",
    export_w=5_000.0,
    starts_at_ms=START + 30_000,
    ends_at_ms=START + 15 * MINUTE + 30_000,
    priority="operator",
    source="operator:ada",
    issued_at_ms=START,
)


def state(name: str, at_ms: int, **changes: Any) -> RequestEvent:
    fields = {"request_id": "order", "region": "north", "state": name, "at_ms": at_ms}
    return msgspec.convert(fields | changes, RequestEvent)


def found(*states: RequestEvent, target: Target = ORDER) -> list[Event]:
    called = Called(BERLIN)
    called.target(target)
    events: dict[int, Event] = {}
    for one in states:
        events = {event.span[0]: event for event in called.apply(one)}
    return list(events.values())


def test_an_event_has_the_complete_minutes_of_its_request() -> None:
    applied = state("active", START + 30_000), state("completed", START + 15 * MINUTE + 30_100)
    (event,) = found(*applied)
    assert event == Event("north", (START + MINUTE, START + 15 * MINUTE), 1, "", ("order",))


def test_a_request_that_was_outranked_for_a_while_is_one_event_with_a_gap() -> None:
    (event,) = found(
        state("active", START + MINUTE),
        state("outranked", START + 4 * MINUTE + 1, by="emergency"),
        state("active", START + 6 * MINUTE + 1),
        state("completed", START + 15 * MINUTE),
    )
    assert event.span == (START + MINUTE, START + 15 * MINUTE)
    assert event.without == ((START + 4 * MINUTE, START + 7 * MINUTE),)


@pytest.mark.parametrize(
    "changes",
    [{"source": "market:sim"}, {"export_w": None}, {"export_w": 0.0}],
    ids=["award", "self-consumption", "nothing"],
)
def test_what_calls_no_battery_is_no_event(changes: dict[str, Any]) -> None:
    target = msgspec.structs.replace(ORDER, **changes)
    assert found(state("active", START + MINUTE), target=target) == []


def test_a_request_across_noon_is_two_events() -> None:
    target = msgspec.structs.replace(
        ORDER, starts_at_ms=NOON - HOUR, ends_at_ms=NOON + HOUR, export_w=-1.0
    )
    events = found(
        state("active", NOON - HOUR), state("withdrawn", NOON + 30 * MINUTE), target=target
    )
    assert [event.span for event in events] == [(NOON - HOUR, NOON), (NOON, NOON + 30 * MINUTE)]
    assert {event.towards for event in events} == {-1}


def test_of_a_request_whose_beginning_is_not_known_only_later_half_days_are() -> None:
    """After a restart: otherwise its event would have another start, and be paid again."""
    target = msgspec.structs.replace(ORDER, ends_at_ms=NOON + 2 * HOUR)
    status = msgspec.convert(
        {
            "region": "north",
            "at_ms": NOON - HOUR,
            "mode": "target",
            "request_id": "order",
            "measured_w": 0.0,
            "net_load_w": 0.0,
            "capability": (),
            "states": {},
            "partitions_expected": 8,
            "partitions_heard": 8,
        },
        DispatchStatus,
    )
    called = Called(BERLIN)
    called.target(target)
    assert [event.span for event in called.apply(status)] == [(NOON, NOON + 2 * HOUR)]
    events = called.apply(state("completed", NOON + HOUR))
    assert [event.span for event in events] == [(NOON, NOON + HOUR)]
    early = Called(BERLIN)
    early.target(target)
    early.apply(status)
    assert early.apply(state("completed", NOON - MINUTE)) == ()


def test_nothing_can_be_added_to_an_event_once_its_request_has_ended() -> None:
    called = Called(BERLIN)
    called.target(ORDER)
    (running,) = called.apply(state("active", START + MINUTE))
    assert called.over_ms(running) == ORDER.ends_at_ms
    (ended,) = called.apply(state("withdrawn", START + 5 * MINUTE))
    assert called.over_ms(ended) == ended.span[1] == START + 5 * MINUTE
    assert called.event_at("north", START + MINUTE) == ended
    assert called.in_minute("north", START + 3 * MINUTE) == START + MINUTE
    called.forget(START + HOUR)
    assert called.event_at("north", START + MINUTE) is None


def test_a_request_without_end_in_sight_is_none() -> None:
    target = msgspec.structs.replace(ORDER, ends_at_ms=2**47)
    assert found(state("active", START), target=target) == []
