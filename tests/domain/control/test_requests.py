"""Requests: what is taken, what is refused in which words, and who rules when."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import (
    FINAL_STATES,
    PRIORITIES,
    Request,
    RequestEvent,
)
from schemas.windows import Deliverable
from tests.support.control_requests import MINUTE_MS, T0, hold, limit, target, withdraw
from vpp_streams.domain.control.requests import Book, check, held_w

FEEDERS = {"north": {"f1"}, "coast": set[str]()}
HELD = (Deliverable(900, 300_000.0, 200_000.0), Deliverable(3600, 100_000.0, 80_000.0))
CAPABILITY = {"north": HELD}


def apply(book: Book, *requests: Request, now_ms: int = T0) -> list[RequestEvent]:
    return [e for r in requests for e in book.apply(r, now_ms, FEEDERS, CAPABILITY)]


def states(events: Sequence[RequestEvent]) -> list[tuple[str, str]]:
    return [(e.request_id, e.state) for e in events]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (target(region="nort"), "did you mean north?"),
        (target(region="mars"), "there are coast, north"),
        (target(ends_at_ms=T0), "it ends before it starts"),
        (
            target(starts_at_ms=T0 - 2 * MINUTE_MS, ends_at_ms=T0 - MINUTE_MS),
            "its end is in the past",
        ),
        (target(ends_at_ms=T0 + 8 * 86_400_000), "longer than 7 days"),
        (target(starts_at_ms=T0 + 40 * 86_400_000, ends_at_ms=T0 + 41 * 86_400_000), "30 days"),
        (target(export_w=300_001.0), "north can give 300.0 kW for 15 min now"),
        (target(export_w=-200_001.0), "north can take 200.0 kW for 15 min now"),
        (target(region="coast"), "nothing is known of what coast can give"),
        (limit(import_limit_w=None), "needs import_limit_w, export_limit_w or both"),
        (limit(feeder="f9"), "no feeder 'f9'; there are f1"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_sentence(request_: Request, words: str) -> None:
    book = Book()
    (event,) = apply(book, request_)
    assert event.state == "rejected"
    assert words in event.reason
    assert event.request == request_
    assert book.ruling(request_.region, T0).mode == "idle", "nothing moves"


@pytest.mark.parametrize(
    "request_",
    [
        target(),
        target(export_w=300_000.0),
        target(export_w=1e9, best_effort=True),
        target(export_w=1e9, starts_at_ms=T0 + 60 * MINUTE_MS, ends_at_ms=T0 + 61 * MINUTE_MS),
        target(export_w=None, region="coast"),
        limit(feeder="f1"),
        hold(),
    ],
)
def test_what_can_be_taken_is(request_: Request) -> None:
    assert check(request_, T0, FEEDERS, CAPABILITY) is None


def test_power_that_can_be_held_lies_between_what_is_told() -> None:
    assert held_w(HELD, 60) == (300_000.0, 200_000.0)
    assert held_w(HELD, 900) == (300_000.0, 200_000.0)
    assert held_w(HELD, 3600) == pytest.approx((100_000.0, 80_000.0))
    assert held_w(HELD, 7200) == pytest.approx((50_000.0, 40_000.0))
    up, _ = held_w(HELD, 1800)
    assert up == pytest.approx(100_000 + (1 / 1800 - 1 / 3600) / (1 / 900 - 1 / 3600) * 200_000)
    assert held_w((), 900) == (0.0, 0.0)


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0, 2e4)), min_size=1, max_size=20),
    st.floats(900, 14_400),
)
def test_the_chord_never_promises_too_much(
    batteries: list[tuple[float, float]], seconds: float
) -> None:
    def true_w(s: float) -> float:
        return sum(min(rated, wh * 3600 / s) for rated, wh in batteries)

    told = tuple(Deliverable(d, true_w(d), 0.0) for d in (900, 3600, 14_400))
    assert held_w(told, seconds)[0] <= true_w(seconds) * (1 + 1e-9)


def test_the_higher_priority_rules_and_the_loser_is_told_by_whom_and_why() -> None:
    book = Book()
    apply(book, target("low"), target("high", priority="market", ends_at_ms=T0 + 5 * MINUTE_MS))
    events = book.advance(T0)
    assert states(events) == [("low", "outranked"), ("high", "active")]
    assert events[0].by == "high"
    assert "priority market" in events[0].reason
    ruling = book.ruling("north", T0)
    assert ruling.target is not None
    assert (ruling.target.request_id, ruling.waiting) == ("high", ("low",))
    assert book.advance(T0) == [], "told once"
    later = book.advance(T0 + 5 * MINUTE_MS)
    assert states(later) == [("high", "completed"), ("low", "active")]
    assert states(book.advance(T0 + 15 * MINUTE_MS)) == [("low", "completed")]
    assert book.ruling("north", T0 + 15 * MINUTE_MS).mode == "idle"


def test_of_equals_the_later_rules() -> None:
    book = Book()
    apply(book, target("a", issued_at_ms=T0 + 1), target("b"))
    assert book.ruling("north", T0).target == target("a", issued_at_ms=T0 + 1)


def test_a_hold_stops_everything_until_it_is_withdrawn() -> None:
    book = Book()
    apply(book, target(priority="grid_limit"), limit(), hold())
    assert states(book.advance(T0)) == [
        ("t1", "outranked"),
        ("l1", "outranked"),
        ("h1", "active"),
    ]
    assert book.ruling("north", T0).mode == "hold"
    events = apply(book, withdraw("h1"))
    assert states(events) == [("w1", "completed"), ("h1", "withdrawn")]
    assert states(book.advance(T0)) == [("t1", "active"), ("l1", "active")]


def test_a_withdrawal_of_nothing_or_of_another_region_is_refused() -> None:
    book = Book()
    apply(book, target())
    (nothing,) = apply(book, withdraw("t9"))
    (elsewhere,) = apply(book, withdraw("t1", "w2", region="coast"))
    assert (nothing.state, elsewhere.state) == ("rejected", "rejected")
    assert "no open request 't9'" in nothing.reason
    assert "one of north" in elsewhere.reason
    assert book.ruling("north", T0).mode == "target"


def test_a_repeated_request_says_nothing() -> None:
    book = Book()
    apply(book, target())
    assert apply(book, target(), target(export_w=5.0)) == []
    assert book.ruling("north", T0).target == target()


def test_a_successor_neither_decides_anew_nor_tells_twice() -> None:
    requests: list[Request] = [target("a"), target("b", priority="market"), target("c"), hold()]
    first, second = Book(), Book()
    known: dict[str, str] = {}
    for event in [*apply(first, *requests, withdraw("c")), *first.advance(T0)]:
        known[event.request_id] = event.state
    for request in [*requests, withdraw("c")]:
        second.restore(request, known[request.request_id])
    assert second.advance(T0) == []
    assert second.ruling("north", T0) == first.ruling("north", T0)


def test_what_is_over_is_forgotten_later() -> None:
    book = Book()
    apply(book, target())
    book.advance(T0 + 15 * MINUTE_MS)
    assert book.forget(T0 + 15 * MINUTE_MS) == []
    assert book.forget(T0 + 16 * MINUTE_MS) == ["t1"]
    assert states(apply(book, target(), now_ms=T0)) == [("t1", "accepted")]


requests = st.lists(
    st.one_of(
        st.builds(
            target,
            id_=st.integers(0, 30).map(lambda i: f"t{i}"),
            priority=st.sampled_from(PRIORITIES),
            issued_at_ms=st.integers(T0, T0 + 3),
            starts_at_ms=st.integers(T0, T0 + 10 * MINUTE_MS),
            ends_at_ms=st.integers(T0 + 11 * MINUTE_MS, T0 + 20 * MINUTE_MS),
        ),
        st.builds(hold, id_=st.integers(0, 3).map(lambda i: f"h{i}")),
        st.builds(
            withdraw,
            of=st.sampled_from([f"t{i}" for i in range(31)] + ["h0", "h1"]),
            id_=st.integers(0, 99).map(lambda i: f"w{i}"),
        ),
    ),
    max_size=12,
)


@given(requests)
def test_stories_make_sense_whatever_is_asked(asked: list[Request]) -> None:
    book, told, above = Book(), dict[str, list[str]](), dict[str, str]()
    times = range(T0, T0 + 22 * MINUTE_MS, MINUTE_MS)
    for now_ms, request in itertools.zip_longest(times, asked):
        if now_ms is None:
            break
        events = apply(book, request, now_ms=now_ms) if request else []
        for event in [*events, *book.advance(now_ms)]:
            story = told.setdefault(event.request_id, [])
            assert not (story and story[-1] in FINAL_STATES), "told of after its end"
            again = bool(story) and story[-1] == event.state
            assert not again or above[event.request_id] != event.by, "told twice"
            above[event.request_id] = event.by
            assert event.state != "outranked" or (event.by and event.reason)
            story.append(event.state)
        ruling = book.ruling("north", now_ms)
        active = [id_ for id_, story in told.items() if story[-1] == "active"]
        rules = ruling.hold or ruling.target
        assert (rules is None) or rules.request_id in active
        targets = [id_ for id_ in active if id_.startswith("t")]
        assert len(targets) <= 1
        assert not (ruling.hold and targets)


# What one who waits is told


def test_a_request_that_waits_says_so_when_it_is_accepted() -> None:
    book = Book()
    apply(book, target("award", priority="market", source="market:sim"))
    book.advance(T0)
    (event,) = apply(book, target("mine"))
    assert (event.state, event.by) == ("accepted", "award")
    assert event.reason.startswith("award of market:sim rules until")
    (later,) = apply(
        book, target("later", starts_at_ms=T0 + 60 * MINUTE_MS, ends_at_ms=T0 + 90 * MINUTE_MS)
    )
    assert (later.by, later.reason) == ("", ""), "nobody knows yet who rules then"


def test_who_stands_above_is_told_anew_when_another_does() -> None:
    """F7: it went on to name one that had ended."""
    book = Book()
    first = target("a1", priority="market", ends_at_ms=T0 + 5 * MINUTE_MS)
    second = target(
        "a2", priority="market", starts_at_ms=T0 + 5 * MINUTE_MS, ends_at_ms=T0 + 10 * MINUTE_MS
    )
    apply(book, target("mine"), first, second)
    assert [(e.request_id, e.by) for e in book.advance(T0) if e.state == "outranked"] == [
        ("mine", "a1")
    ]
    told = [e for e in book.advance(T0 + 5 * MINUTE_MS) if e.request_id == "mine"]
    assert [(e.state, e.by) for e in told] == [("outranked", "a2")]
    assert "a2 of operator:ann" in told[0].reason
    assert [e for e in book.advance(T0 + 6 * MINUTE_MS) if e.request_id == "mine"] == []


def test_a_request_that_never_ruled_says_so_at_its_end() -> None:
    """F6: it ended as one that had been delivered."""
    book = Book()
    apply(book, target("award", priority="market"), target("mine", ends_at_ms=T0 + 5 * MINUTE_MS))
    book.advance(T0)
    (event,) = book.advance(T0 + 5 * MINUTE_MS)
    assert (event.request_id, event.state, event.ruled_ms) == ("mine", "completed", 0)
    assert event.reason == "its time is over, and it never ruled: others stood above it"
    (event,) = book.advance(T0 + 15 * MINUTE_MS)
    assert (event.request_id, event.ruled_ms, event.reason) == (
        "award", 15 * MINUTE_MS, "its time is over"
    )  # fmt: skip


def test_the_time_that_a_request_ruled_adds_up_and_is_unknown_after_a_takeover() -> None:
    book = Book()
    apply(book, target("mine"))
    book.advance(T0)
    apply(book, hold(), now_ms=T0 + 2 * MINUTE_MS)
    book.advance(T0 + 2 * MINUTE_MS)
    apply(book, withdraw("h1"), now_ms=T0 + 12 * MINUTE_MS)
    book.advance(T0 + 12 * MINUTE_MS)
    (event,) = book.advance(T0 + 15 * MINUTE_MS)
    assert event.ruled_ms == 5 * MINUTE_MS
    successor = Book()
    successor.restore(target("mine"), "outranked")
    (event,) = successor.advance(T0 + 15 * MINUTE_MS)
    assert (event.state, event.ruled_ms, event.reason) == ("completed", None, "its time is over")
