"""The session's rules: by example, and as a state machine that hypothesis tries to break."""

import json
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import wire
from schemas.protocol import (
    Ack,
    Backfill,
    Drain,
    Hello,
    HelloResult,
    Telemetry,
    VendorTelemetry,
)
from schemas.telemetry import NativeBody, VendorBody
from tests.support.compiled_kernels import numpy_only
from tests.support.examples import examples
from tests.support.gateway_session import (
    T0,
    at,
    error_codes,
    lines_of,
    live_session,
    new_session,
    produced,
    reading,
    sent,
)
from vpp_streams.gateway import session as session_module
from vpp_streams.gateway.actions import (
    Close,
    Limits,
    Register,
)
from vpp_streams.kafka import topics


def test_hello_is_answered_once_its_record_stands() -> None:
    session = new_session()
    hello = Hello(boot="b0", next_seq=5)
    assert session.receive(wire.encode_call("h", hello), at(0)) == [Register(hello)]
    assert error_codes(session.receive(reading(5), at(1))) == ["hello_first"]
    (result,) = sent(session.registered(4711, at(2)))
    answer = wire.decode_result(result, HelloResult)
    assert isinstance(answer, HelloResult)
    assert (result.id, answer.epoch, answer.t) == ("h", 4711, T0 + 2)
    assert error_codes(session.receive(wire.encode_call("i", hello), at(3))) == ["bad_message"]


@pytest.mark.parametrize(
    ("boot", "next_seq", "used"),
    [("b0", 13, False), ("b0", 12, True), ("b0", 0, True), ("b1", 0, False)],
)
def test_numbers_that_go_back_within_a_boot_are_told(boot: str, next_seq: int, used: bool) -> None:
    earlier = live_session(next_seq=10)
    for seq in (10, 11, 12):
        earlier.receive(reading(seq), at(1))
    session = new_session()
    session.receive(wire.encode_call("h", Hello(boot=boot, next_seq=next_seq)), at(0))
    assert session.follows(earlier.head) is not used
    (result,) = sent(session.registered(8, at(0)))
    answer = wire.decode_result(result, HelloResult)
    assert isinstance(answer, HelloResult)
    assert answer.boot_used is (used or msgspec.UNSET), "left out where all is well"


def test_no_hello_in_time_closes() -> None:
    session = new_session(Limits(hello_timeout_ms=1000))
    assert error_codes(session.receive(reading(5), at(500))) == ["hello_first"]
    assert session.tick(at(1000)) == []
    assert session.tick(at(1001)) == [Close(1002, "no Hello was received")], (
        "only a Hello ends the wait"
    )
    assert session.receive(reading(5), at(1600)) == []


def test_no_kafka_at_hello_sends_the_device_away() -> None:
    session = new_session()
    session.receive(wire.encode_call("h", Hello(boot="b0", next_seq=5)), at(0))
    actions = session.unavailable()
    assert error_codes(actions) == ["unavailable"]
    assert isinstance(actions[-1], Close)
    assert actions[-1].code == 1013


def test_a_reading_becomes_a_raw_line_of_its_device() -> None:
    session = live_session()
    (produce,) = produced(session.receive(reading(10, pv=5.5, isl=True), at(40)))
    assert (produce.topic, produce.partition) == (topics.RAW_SOLAR, 3)
    (line,) = lines_of(produce)
    assert (line.device_id, line.boot, line.seq, line.received_at_ms) == ("d1", "b0", 10, T0 + 40)
    assert msgspec.json.decode(line.body, type=NativeBody) == NativeBody(t=T0, pv=5.5, isl=True)
    assert b'"iv"' not in bytes(line.body)  # defaults stay off the wire


def test_a_boot_id_is_the_same_number_however_it_is_spelled() -> None:
    session = new_session()
    session.receive(wire.encode_call("h", Hello(boot="00B0", next_seq=10)), at(0))
    session.registered(7, at(0))
    rows = [reading(10, "00B0", soc=0.5), reading(11, "00B0")]
    lines = [lines_of(produced(session.receive(row, at(1)))[0])[0] for row in rows]
    assert [(line.boot, line.seq) for line in lines] == [("b0", 10), ("b0", 11)]
    assert error_codes(session.receive(reading(12, "b0", soc=0.5), at(1))) == ["wrong_boot"]
    message = Backfill(b="00B0", from_=4, cols=["t"], rows=[[T0]])
    (produce,) = produced(session.receive(wire.encode_send("x", message), at(1)))
    assert lines_of(produce)[0].boot == "b0"
    (ack,) = sent(session.stored(produce.receipt, at(2)))
    assert ack.b == "00B0", "the device is answered in its own words"


def test_identity_comes_from_the_connection_not_from_the_payload() -> None:
    session = live_session()
    forged = b'[6,"1","Telemetry",{"b":"b0","s":10,"t":5,"device_id":"d2","site_id":"s2"}]'
    (produce,) = produced(session.receive(forged, at(1)))
    assert lines_of(produce)[0].device_id == "d1"
    assert b"d2" not in produce.readings


def test_vendor_body_is_passed_on_whole() -> None:
    session = live_session()
    message = VendorTelemetry(b="b0", s=10, t=9, vendor="fronius", body=msgspec.Raw(b'{"a":[1]}'))
    (produce,) = produced(session.receive(wire.encode_send("v", message), at(1)))
    body = msgspec.json.decode(lines_of(produce)[0].body, type=VendorBody)
    assert (body.vendor, bytes(body.body), body.t) == ("fronius", b'{"a":[1]}', 9)


def test_unreadable_body_goes_to_ingest_which_tells_why() -> None:
    session = live_session()
    bad = b'[6,"1","Telemetry",{"b":"b0","s":10,"t":"soon\\u000a{}"}]'
    (produce,) = produced(session.receive(bad, at(1)))
    assert msgspec.json.decode(lines_of(produce)[0].body) == {"t": "soon\n{}"}


def test_acks_are_paced_and_cumulative() -> None:
    session = live_session(Limits(ack_ms=1000))
    receipts = [produced(session.receive(reading(s), at(s)))[0].receipt for s in range(10, 14)]
    assert sent(session.stored(receipts[0], at(100))) == [
        Ack(b="b0", from_=10, upto=10, t=T0 + 100)
    ]
    assert session.stored(receipts[1], at(200)) == []
    assert session.stored(receipts[2], at(300)) == []
    assert session.tick(at(1099)) == []
    assert sent(session.tick(at(1100))) == [Ack(b="b0", from_=10, upto=12, t=T0 + 1100)]
    assert session.tick(at(9000)) == []


def test_an_ack_never_covers_a_reading_that_was_lost() -> None:
    session = live_session(Limits(ack_ms=1000))
    receipts = [produced(session.receive(reading(s), at(s)))[0].receipt for s in range(10, 14)]
    session.stored(receipts[0], at(100))
    session.stored(receipts[1], at(110))
    assert error_codes(session.lost(receipts[2])) == ["not_stored"]
    # The hole ends the range: what came before it is acked, and a new range begins.
    assert sent(session.stored(receipts[3], at(130))) == [
        Ack(b="b0", from_=10, upto=11, t=T0 + 130)
    ]
    assert sent(session.tick(at(1130))) == [Ack(b="b0", from_=13, upto=13, t=T0 + 1130)]
    assert error_codes(session.receive(reading(12), at(1200))) == ["seq_not_rising"]


def test_a_number_seen_before_is_not_produced_again() -> None:
    session = live_session(Limits(ack_ms=0))
    (produce,) = produced(session.receive(reading(10), at(1)))
    assert session.receive(reading(10), at(2)) == []  # on its way
    ack = sent(session.stored(produce.receipt, at(3)))
    again = sent(session.receive(reading(10), at(3)))
    assert again == ack
    assert error_codes(session.receive(reading(9), at(4))) == ["seq_not_rising"]
    assert error_codes(session.receive(reading(11, boot="b1"), at(5))) == ["wrong_boot"]


def test_backfill_rows_become_lines_and_one_ack() -> None:
    session = live_session()
    message = Backfill(
        b="af", from_=4, cols=["t", "soc", "p"], rows=[[T0, 0.5, None], None, [T0, "half", 1]]
    )
    (produce,) = produced(session.receive(wire.encode_send("x", message), at(1)))
    assert produce.topic == topics.RAW_BACKFILL
    first, third = lines_of(produce)
    assert (first.seq, first.boot, third.seq) == (4, "af", 6)
    assert msgspec.json.decode(first.body, type=NativeBody) == NativeBody(t=T0, soc=0.5)
    assert msgspec.json.decode(third.body) == {"t": T0, "soc": "half", "p": 1}
    assert sent(session.stored(produce.receipt, at(2))) == [Ack(b="af", from_=4, upto=6, t=T0 + 2)]


def test_backfill_of_nothing_left_is_acked_without_kafka() -> None:
    session = live_session()
    message = Backfill(b="b0", from_=4, cols=["t"], rows=[None, None])
    actions = session.receive(wire.encode_send("x", message), at(1))
    assert produced(actions) == []
    assert sent(actions) == [Ack(b="b0", from_=4, upto=5, t=T0 + 1)]


def test_lost_backfill_is_named_by_its_message() -> None:
    session = live_session()
    message = Backfill(b="b0", from_=4, cols=["t"], rows=[[T0]])
    (produce,) = produced(session.receive(wire.encode_send("x", message), at(1)))
    (error,) = sent(session.lost(produce.receipt))
    assert (error.id, error.code) == ("x", "not_stored")


def test_live_and_backfill_have_budgets_of_their_own() -> None:
    session = live_session(Limits(live_per_s=1, live_burst=2, backfill_burst_rows=3))
    answers = [error_codes(session.receive(reading(s), at(0))) for s in (10, 11, 12)]
    assert answers == [[], [], ["rate_limited"]]
    rows = Backfill(b="b0", from_=1, cols=["t"], rows=[[T0], [T0]])
    answers = [error_codes(session.receive(wire.encode_send("x", rows), at(0))) for _ in range(2)]
    assert answers == [[], ["rate_limited"]]
    assert produced(session.receive(reading(13), at(1000)))  # a second later there is budget


def test_abuse_closes_and_an_unknown_action_alone_does_not() -> None:
    session = live_session(Limits(strikes_burst=3, strikes_per_min=1))
    for i in range(30):
        actions = session.receive(b'[2,"c","Reboot",{}]', at(i * 1000))
        assert error_codes(actions) == ["unknown_action"]
    for i in range(3):
        assert error_codes(session.receive(b"junk", at(30_000 + i))) == ["bad_message"]
    assert session.receive(b"junk", at(30_010)) == [
        Close(1008, "too many refused messages, the last: bad_message")
    ]


def test_silence_closes_unless_the_gateway_itself_does_not_listen() -> None:
    session = live_session(Limits(idle_s=30))
    assert session.tick(at(30_000)) == []
    assert session.tick(at(60_000), listening=False) == []
    assert session.tick(at(90_000)) == []
    assert session.tick(at(90_001)) == [Close(3008, "silent for 30 s")]


def test_draining_tells_the_device_and_acks_at_once() -> None:
    session = live_session()
    receipts = [produced(session.receive(reading(s), at(0)))[0].receipt for s in (10, 11)]
    assert sent(session.drain((0, 9), at(1))) == [Drain(reconnect_in_ms=(0, 9))]
    assert sent(session.stored(receipts[0], at(2))) == [Ack(b="b0", from_=10, upto=10, t=T0 + 2)]
    assert sent(session.stored(receipts[1], at(3))) == [Ack(b="b0", from_=10, upto=11, t=T0 + 3)]
    assert session.receive(b'[3,"drain",{}]', at(4)) == []


VALUES: st.SearchStrategy[object] = st.sampled_from(
    [0, 1, 10, -1, 2**62, 2**70, 0.5, 1e300, True, None, "b0", "B0", "b1", "", "x", "\n", [], {}]
)
KEYS = st.sampled_from([*Telemetry.__struct_fields__, "vendor", "body", "device_id", "\u2028"])
GOOD: st.SearchStrategy[dict[str, object]] = st.builds(
    dict, b=st.just("b0"), s=st.integers(10, 12), t=st.integers(0, T0)
)
MORE = st.dictionaries(KEYS, VALUES, max_size=2)
PAYLOADS = st.builds(lambda good, more: {**good, **more}, GOOD, MORE)
MESSAGES = st.builds(
    lambda type_, id_, action, payload, spaced: json.dumps(
        [type_, id_, action, payload], separators=(" , ", ": ") if spaced else (",", ":")
    ).encode(),
    st.sampled_from([*[6] * 16, 2, 3, 6.0, "6"]),
    st.sampled_from([*["1"] * 16, "", "x" * 64, "x" * 65, 1]),
    st.sampled_from([*["Telemetry"] * 16, "Backfill", "telemetry"]),
    st.one_of(GOOD, PAYLOADS, PAYLOADS, VALUES),
    st.booleans(),
)


@examples(4000, ci=300)
@given(MESSAGES, st.sampled_from([b"", b"", b"", b" ", b"]", b"\xff"]))
def test_a_reading_decoded_the_short_way_is_that_of_the_long_way(data: bytes, end: bytes) -> None:
    short, long = live_session(), live_session()
    with numpy_only():
        with mock.patch.object(session_module, "decode_reading", return_value=None):
            expected = long.receive(data + end, at(5))
        assert short.receive(data + end, at(5)) == expected


def test_a_native_reading_goes_the_short_way() -> None:
    assert wire.decode_reading(reading(10, p=1.5), "b0") is not None
    assert wire.decode_reading(reading(10, p=1.5), "b1") is None
