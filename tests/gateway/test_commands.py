"""Commands of a connection: what is sent, what an answer makes of it, and what moves nothing."""

from collections import Counter

import pytest

from schemas import wire
from schemas.protocol import (
    MAX_UNTOLD,
    CommandStatus,
    Hello,
    Prices,
    Result,
    Setpoint,
    SetpointResult,
)
from tests.support.gateway_session import T0, at, error_codes, live_session, new_session, sent
from vpp_streams.gateway.actions import Action, Close, PublishOutcome, StatusReceipt
from vpp_streams.gateway.commands import ANSWER_MS, REMEMBERED, CommandOutcome
from vpp_streams.gateway.session import Session

PARTITION = 3
"""Of the sessions here."""
ID = "c0-5"
SETPOINT = Setpoint(
    epoch=7, rank=5, p=1500.0, not_before=0, valid_until=2_000_000_000_000, ramp_w_s=500.0
)


def outcomes(actions: list[Action]) -> list[tuple[str, str, str]]:
    tells = [action.outcome for action in actions if isinstance(action, PublishOutcome)]
    return [(t.command_id, t.state, t.reason) for t in tells]


def receipt(actions: list[Action]) -> StatusReceipt:
    (found,) = [a.receipt for a in actions if isinstance(a, PublishOutcome)]
    assert found is not None
    return found


def commanded(*, last_cmd: str = "", untold: tuple[str, ...] = ()) -> Session:
    session = new_session()
    hello = Hello(boot="b0", next_seq=1, last_cmd=last_cmd, untold=untold)
    session.receive(wire.encode_call("h", hello), at(0))
    session.registered(7, at(0))
    session.command(ID, SETPOINT, at(0))
    return session


def answered(session: Session, status: str, reason: str = "", id_: str = ID) -> list[Action]:
    result = SetpointResult(status, reason)  # type: ignore[arg-type]  # the tests name statuses
    return session.receive(wire.encode_result(id_, result), at(10))


def status(
    session: Session, state: str, id_: str = ID, p: float | None = None, reason: str = ""
) -> list[Action]:
    told_ = CommandStatus(id_, state, 1, p, reason)  # type: ignore[arg-type]  # as above
    return session.receive(wire.encode_call("s", told_), at(20))


def test_a_command_goes_out_and_is_told_as_delivered() -> None:
    session = live_session()
    actions = session.command(ID, SETPOINT, at(0))
    assert sent(actions) == [SETPOINT]
    assert outcomes(actions) == [(ID, "delivered", "")]


def test_nothing_goes_to_a_connection_that_is_not_live() -> None:
    assert new_session().command(ID, SETPOINT, at(0)) == []
    draining = live_session()
    draining.drain((0, 1), at(0))
    assert draining.command(ID, SETPOINT, at(0)) == []


@pytest.mark.parametrize(
    ("answer", "reason", "becomes"),
    [
        ("accepted", "", ("accepted", "")),
        ("duplicate", "", ("accepted", "")),
        ("rejected", "islanded", ("rejected", "islanded")),
        ("rejected", "opted_out", ("opted_out", "opted_out")),
        ("expired", "", ("expired", "it arrived too late")),
        ("superseded", "", ("superseded", "the device has a newer one")),
        ("stale_epoch", "", ("failed", "stale epoch")),
    ],
)
def test_each_answer_has_its_state(answer: str, reason: str, becomes: tuple[str, str]) -> None:
    assert outcomes(answered(commanded(), answer, reason)) == [(ID, *becomes)]


def test_an_answer_counts_once_and_only_where_it_was_asked_for() -> None:
    session = commanded()
    answered(session, "accepted")
    assert answered(session, "rejected") == []
    assert answered(session, "accepted", id_="c0-9") == []
    assert session.receive(wire.encode_error("c0-9", "bad_message", "no"), at(0)) == []


def test_answers_to_nothing_are_abuse() -> None:
    for answer in (wire.encode_result("x", {}), wire.encode_error("x", "bad_message", "no")):
        session = commanded()
        actions = [action for _ in range(60) for action in session.receive(answer, at(0))]
        assert [type(action) for action in actions] == [Close]
        assert actions[0].code == 1008


def test_answers_that_come_late_are_no_abuse() -> None:
    session = commanded()
    session.tick(at(ANSWER_MS))
    late = [action for _ in range(60) for action in answered(session, "accepted")]
    assert late == []


def test_an_error_or_an_unreadable_answer_is_a_failure() -> None:
    refused = commanded().receive(wire.encode_error(ID, "bad_message", "what?"), at(0))
    assert outcomes(refused) == [(ID, "failed", "bad_message: what?")]
    (unreadable,) = outcomes(
        commanded().receive(wire.encode_result(ID, {"status": "so so"}), at(0))
    )
    assert unreadable[:2] == (ID, "failed")


def test_no_answer_and_no_connection_are_told() -> None:
    session = commanded()
    assert outcomes(session.tick(at(ANSWER_MS - 1))) == []
    assert outcomes(session.tick(at(ANSWER_MS))) == [(ID, "failed", "no answer")]
    assert outcomes(commanded().ended()) == [(ID, "failed", "disconnected")]
    answered_one = commanded()
    answered(answered_one, "accepted")
    assert outcomes(answered_one.ended()) == []


def test_a_commands_life_is_told_step_by_step() -> None:
    session = commanded()
    answered(session, "accepted")
    applied = status(session, "applied", p=1490.0)
    assert [a.outcome for a in applied if isinstance(a, PublishOutcome)] == [
        CommandOutcome(ID, "applied", "", 1490.0)
    ]
    assert outcomes(status(session, "completed")) == [(ID, "completed", "")]


def test_a_status_is_answered_once_kafka_has_it() -> None:
    session = commanded()
    answered(session, "accepted")
    applied = status(session, "applied")
    assert sent(applied) == []
    assert status(session, "applied") == [], "sent again meanwhile: one answer is enough"
    (reply,) = sent(session.stored(receipt(applied), at(30)))
    assert isinstance(reply, Result)
    assert reply.id == "s"
    (again,) = sent(status(session, "applied"))
    assert again.id == "s", "Kafka has it already"


def test_a_status_that_kafka_did_not_take_is_told_again() -> None:
    session = commanded()
    answered(session, "accepted")
    actions = session.lost(receipt(status(session, "completed")))
    assert error_codes(actions) == ["not_stored"]
    assert outcomes(status(session, "completed")) == [(ID, "completed", "")]


def test_the_answer_to_an_overtaken_status_moves_nothing() -> None:
    session = commanded()
    answered(session, "accepted")
    applied = receipt(status(session, "applied"))
    completed = receipt(status(session, "completed"))
    assert error_codes(session.lost(applied)) == ["not_stored"]
    assert status(session, "completed") == [], "still on its way"
    assert error_codes(status(session, "applied")) == ["bad_message"], (
        "its outcome is published: naming it again has no effect"
    )
    session.stored(completed, at(30))
    assert isinstance(sent(status(session, "completed"))[0], Result)


@pytest.mark.parametrize("id_", ["c0-6", "c1-5", "x"])
def test_a_forged_status_is_refused_and_moves_nothing(id_: str) -> None:
    session = commanded()
    answered(session, "accepted")
    actions = status(session, "completed", id_=id_)
    assert error_codes(actions) == ["unknown_command"]
    assert outcomes(actions) == []


def test_a_status_before_the_command_was_taken_is_refused() -> None:
    actions = status(commanded(), "applied")
    assert error_codes(actions) == ["unknown_command"]
    assert outcomes(actions) == []


def test_a_replayed_status_moves_nothing() -> None:
    session = commanded()
    answered(session, "accepted")
    status(session, "applied")
    again = status(session, "applied")
    assert (error_codes(again), outcomes(again)) == ([], [])
    status(session, "completed")
    for state in ("applied", "superseded", "failed"):
        back = status(session, state)
        assert (error_codes(back), outcomes(back)) == (["bad_message"], [])


def test_a_refused_command_cannot_be_told_to_act() -> None:
    session = commanded()
    answered(session, "rejected", "refused")
    assert outcomes(status(session, "applied")) == []


def earlier(seconds: int, partition: int = PARTITION) -> str:
    """Id of a command that was made so long ago."""
    return f"c{partition}-{T0 - 1000 * seconds}"


def test_the_end_of_an_earlier_connections_command_may_be_told() -> None:
    session = commanded(last_cmd=earlier(4))
    assert outcomes(status(session, "expired", id_=earlier(4))) == [(earlier(4), "expired", "")]


def test_the_ends_that_nobody_answered_before_the_connection_broke_may_be_told() -> None:
    session = commanded(last_cmd=earlier(4), untold=(earlier(5), earlier(4)))
    assert outcomes(status(session, "superseded", id_=earlier(5))) == [
        (earlier(5), "superseded", "")
    ]
    assert outcomes(status(session, "expired", id_=earlier(4))) == [(earlier(4), "expired", "")]
    assert error_codes(status(session, "expired", id_=earlier(3))) == ["unknown_command"]


def test_each_of_all_the_commands_that_a_hello_can_name_may_be_told() -> None:
    names = tuple(earlier(100 - i) for i in range(MAX_UNTOLD))
    session = commanded(last_cmd=earlier(1), untold=names)
    for name in (*names, earlier(1)):
        assert outcomes(status(session, "superseded", id_=name)) == [(name, "superseded", "")]


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "<script>",
        earlier(5, PARTITION + 1),
        earlier(5) + "0",
        f"c{PARTITION}-0{T0}",
        f"c{PARTITION}-{T0 + 3_600_000}",
        f"c{PARTITION}-5",
        earlier(31 * 86_400),
        "c3-" + "9" * 60,
    ],
)
def test_a_command_that_was_never_made_cannot_be_told_by_naming_it(name: str) -> None:
    session = commanded(last_cmd=name, untold=(name, name))
    actions = status(session, "completed", id_=name)
    assert outcomes(actions) == []
    assert error_codes(actions) == ["unknown_command"]


def test_memory_is_bounded() -> None:
    session = live_session()
    for rank in range(REMEMBERED + 5):
        session.command(f"c0-{rank}", SETPOINT, at(0))
        answered(session, "accepted", id_=f"c0-{rank}")
    assert error_codes(status(session, "applied", id_="c0-0")) == ["unknown_command"]
    assert outcomes(status(session, "applied", id_="c0-9")) == [("c0-9", "applied", "")]


def test_statuses_without_end_are_abuse() -> None:
    session = commanded()
    seen = Counter(type(a).__name__ for i in range(60) for a in status(session, "applied", f"x{i}"))
    assert seen["Close"] == 1
    assert seen["PublishOutcome"] == 0


def test_prices_go_to_a_live_device() -> None:
    prices = Prices(from_=1, interval_ms=60_000, per_mwh=(10.0, 20.0))
    assert sent(live_session().prices(prices)) == [prices]
    assert new_session().prices(prices) == []
