"""Requests that stand: asked once, changed, withdrawn, and taken by the dispatcher."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import Target, Withdraw
from schemas.encoding import decode_json, encode_json
from tests.support.openadr_events_world import HOUR_MS, NOW, VEN, event, follow, mapped, value
from vpp_streams.domain.control.requests import Book
from vpp_streams.domain.openadr.requests import Ven, request_id
from vpp_streams.domain.openadr.standing import Standing


def test_a_repeated_poll_writes_nothing_and_a_change_asks_anew_then_withdraws() -> None:
    standing = Standing(VEN)
    first = event([value("DISPATCH_SETPOINT", 5)])
    (asked,) = follow(standing, mapped(first))
    assert follow(standing, mapped(first), NOW + 1000) == []
    changed = event([value("DISPATCH_SETPOINT", 6)], modificationDateTime="2024-06-02T00:00:00Z")
    anew, withdrawn = follow(standing, mapped(changed))
    assert isinstance(anew, Target)
    assert anew.export_w == -6000.0
    assert isinstance(withdrawn, Withdraw)
    assert withdrawn.withdraws == asked.request_id
    (gone,) = follow(standing, mapped())
    assert isinstance(gone, Withdraw)
    assert gone.withdraws == anew.request_id


def test_an_event_that_is_over_is_not_withdrawn() -> None:
    standing = Standing(VEN)
    assert len(follow(standing, mapped(event([value("DISPATCH_SETPOINT", 5)])))) == 1
    assert follow(standing, mapped(), NOW + HOUR_MS) == []


def test_what_was_withdrawn_and_is_asked_again_gets_an_id_that_the_dispatcher_takes() -> None:
    standing = Standing(VEN)
    outcome = mapped(event([value("DISPATCH_SETPOINT", 5)]))
    ids = []
    for _ in range(3):
        (asked,) = follow(standing, outcome)
        assert follow(standing, outcome) == []
        ids.append(asked.request_id)
        follow(standing, mapped())
    assert len(set(ids)) == 3


def test_an_operator_s_withdrawal_stands() -> None:
    standing = Standing(VEN)
    outcome = mapped(event([value("DISPATCH_SETPOINT", 5)]))
    (asked,) = follow(standing, outcome)
    standing.on_request(
        "w1",
        Withdraw(
            request_id="w1", region="north", withdraws=asked.request_id, source="operator:ann",
            issued_at_ms=NOW,
        ),
    )  # fmt: skip
    assert follow(standing, outcome) == []


def test_a_restart_reads_what_stands_and_another_ven_s_requests_are_not_its_own() -> None:
    outcome = mapped(event([value("DISPATCH_SETPOINT", 5)]))
    written = follow(Standing(VEN), outcome)
    restarted, other = Standing(VEN), Standing(Ven("vpp-else", "north"))
    for request in written:
        restarted.on_request(request.request_id, request)
        other.on_request(request.request_id, request)
    assert follow(restarted, outcome) == []
    assert follow(other, mapped()) == []
    assert [type(r) for r in follow(restarted, mapped())] == [Withdraw]


@given(st.text(min_size=1, max_size=128))
def test_an_event_s_id_of_any_text_gives_an_id_of_ours(event_id: str) -> None:
    outcome = mapped(event([value("DISPATCH_SETPOINT", 5)], id=event_id))
    (target,) = outcome.requests
    assert decode_json(encode_json(target), Target) == target
    assert request_id(event_id, 1) != request_id(event_id, 2)


def test_the_dispatcher_takes_what_we_ask_change_withdraw_and_ask_again() -> None:
    standing, book = Standing(VEN), Book()
    first = mapped(event([value("DISPATCH_SETPOINT", -5)]))
    changed = mapped(
        event([value("DISPATCH_SETPOINT", -6)], modificationDateTime="2024-06-02T00:00:00Z")
    )
    ruled = []
    for second, outcome in enumerate((first, changed, mapped(), changed, first)):
        now_ms = NOW + second * 1000
        for request in follow(standing, outcome, now_ms):
            events = book.apply(request, now_ms, {"north": ()}, {})
            assert [e.state for e in events if e.state == "rejected"] == []
        book.advance(now_ms)
        target = book.ruling("north", now_ms).target
        ruled.append(None if target is None else target.export_w)
    assert ruled == [5000.0, 6000.0, None, 6000.0, 5000.0]
