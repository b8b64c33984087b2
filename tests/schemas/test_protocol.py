"""The device protocol: golden messages that must decode for ever, and anything else as a value."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.protocol import (
    Ack,
    Backfill,
    BackfillPace,
    Call,
    Drain,
    Error,
    Hello,
    HelloResult,
    Malformed,
    Result,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)
from schemas.wire import (
    decode,
    decode_result,
    encode_call,
    encode_error,
    encode_result,
    encode_send,
)

# What devices in the field send and gateways answer: never change a line, only add.
GOLDEN = {
    b'[2,"1","Hello",{"boot":"b7f2","model":"powerwall3","fw":"24.36","next_seq":90412,'
    b'"oldest_seq":81200,"last_cmd":"c-8841","t":1763855000123}]': Call(
        "1",
        Hello(
            boot="b7f2",
            model="powerwall3",
            fw="24.36",
            next_seq=90412,
            oldest_seq=81200,
            last_cmd="c-8841",
            t=1763855000123,
        ),
        True,
    ),
    b'[6,"90412","Telemetry",{"b":"b7f2","s":90412,"t":1763855001000,"p":-1500,"g":0.5,"pv":2e3,'
    b'"l":500.5,"soc":0.5,"hz":50,"v":230,"tc":21,"isl":false,"iv":500,"new_key":1}]': Call(
        "90412",
        Telemetry(
            b="b7f2",
            s=90412,
            t=1763855001000,
            p=-1500.0,
            g=0.5,
            pv=2000.0,
            l=500.5,
            soc=0.5,
            hz=50.0,
            v=230.0,
            tc=21.0,
            isl=False,
            iv=500,
        ),
        False,
    ),
    b'[6,"5","Telemetry",{"b":"1","s":5,"t":9,"vendor":"fronius","body":{ "a": [1.50, null] }}]': (
        Call(
            "5",
            VendorTelemetry(
                b="1", s=5, t=9, vendor="fronius", body=msgspec.Raw(b'{"a":[1.5,null]}')
            ),
            False,
        )
    ),
    b'[6,"9","Backfill",{"b":"b7f2","from":81200,"cols":["t","soc","p"],'
    b'"rows":[[1763850000000,0.4,null],null],"more":true}]': Call(
        "9",
        Backfill(
            b="b7f2",
            from_=81200,
            cols=["t", "soc", "p"],
            rows=[[1763850000000, 0.4, None], None],
            more=True,
        ),
        False,
    ),
    b'[6,"a77","Ack",{"b":"b7f2","from":90412,"upto":90416,"t":1763855006000}]': Call(
        "a77", Ack(b="b7f2", from_=90412, upto=90416, t=1763855006000), False
    ),
    b'[2,"g9","Drain",{"reconnect_in_ms":[0,60000]}]': Call(
        "g9", Drain(reconnect_in_ms=(0, 60000)), True
    ),
    b'[4,"90412","rate_limited","send it later, as Backfill"]': Error(
        "90412", "rate_limited", "send it later, as Backfill"
    ),
}


@pytest.mark.parametrize("wire", GOLDEN, ids=lambda wire: wire[:24].decode())
def test_golden_message_decodes(wire: bytes) -> None:
    assert decode(wire) == GOLDEN[wire]
    assert decode(wire.decode()) == GOLDEN[wire]


def test_golden_hello_result() -> None:
    wire = (
        b'[3,"1",{"epoch":5531207,"t":1763855000200,"interval_ms":1000,"ack_ms":5000,"idle_s":30,'
        b'"backfill":{"delay_ms":[0,60000],"rows_per_s":50},"status":"accepted"}]'
    )
    result = decode(wire)
    assert isinstance(result, Result)
    expected = HelloResult(
        epoch=5531207,
        t=1763855000200,
        interval_ms=1000,
        ack_ms=5000,
        idle_s=30,
        backfill=BackfillPace((0, 60000), 50),
    )
    assert decode_result(result, HelloResult) == expected
    assert encode_result("1", expected) == wire
    assert isinstance(decode_result(Result("1", msgspec.Raw(b'{"t":1}')), HelloResult), Malformed)


@pytest.mark.parametrize("message", [m for m in GOLDEN.values() if isinstance(m, Call)])
def test_what_we_encode_we_decode(message: Call) -> None:
    encode: Callable[[str, Any], bytes] = encode_call if message.reply else encode_send
    assert decode(encode(message.id, message.payload)) == message


def test_a_body_we_cannot_read_keeps_its_name() -> None:
    message = decode(b'[6,"3","Telemetry",{"b":"1","s":3,"t":"yesterday","p":5}]')
    assert isinstance(message, Call)
    assert isinstance(message.payload, UncheckedTelemetry)
    assert message.payload.body == {"t": "yesterday", "p": 5}
    assert "$.t" in message.payload.detail


@pytest.mark.parametrize(
    ("wire", "id_", "code", "words"),
    [
        (b"{}", "-", "bad_message", "array"),
        (b"[6]", "-", "bad_message", "3 or 4 parts"),
        (b'[5,"1","Hello",{}]', "1", "bad_message", "type 5"),
        (b'[2,"1","Selfdestruct",{}]', "1", "unknown_action", "Selfdestruct"),
        (b'[2,"1","Hello",{"boot":"b7f2"}]', "1", "bad_message", "next_seq"),
        (b'[2,"1","Hello",{"boot":"not hex","next_seq":1}]', "1", "bad_message", "$.boot"),
        (b'[2,"1","Hello",{"boot":"1","next_seq":1,"oldest_seq":2}]', "1", "bad_message", "after"),
        (b'[6,"1","Telemetry",{"b":"1","t":1}]', "1", "bad_message", "`s`"),
        (b'[6,"1","Telemetry",{"b":"1","s":-1,"t":1}]', "1", "bad_message", ">= 0"),
        (b'[6,"1","Telemetry",{"b":"1","s":1,"x":1e999}]', "1", "bad_message", "out of range"),
        (b'[6,"1","Telemetry",{"b":"1","s":1,"x":"\xff"}]', "1", "bad_message", "utf-8"),
        (b'[6,"1","Backfill",{"b":"1","from":1,"cols":["p"],"rows":[[1]]}]', "1", "bad_message",
         "cols"),
        (b'[6,"1","Backfill",{"b":"1","from":1,"cols":["t","t"],"rows":[[1,1]]}]', "1",
         "bad_message", "once each"),
        (b'[6,"1","Backfill",{"b":"1","from":1,"cols":["t"],"rows":[[1,2]]}]', "1", "bad_message",
         "1 values"),
        (b'[6,"1","Backfill",{"b":"1","from":4611686018427387904,"cols":["t"],"rows":[[1],[2]]}]',
         "1", "bad_message", "out of range"),
        (b"[" * 16000, "-", "bad_message", "nested"),
        (b'[6,"1","Telemetry",{"b":"1","s":1,"vendor":"x","body":' + b"[" * 9000 + b"]" * 9000
         + b"}]", "-", "bad_message", "nested"),
        ('["\ud800"]', "-", "bad_message", "utf-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(wire: bytes | str, id_: str, code: str, words: str) -> None:
    message = decode(wire)
    assert isinstance(message, Malformed)
    assert (message.id, message.code) == (id_, code)
    assert words in message.detail
    assert decode(encode_error(message.id, message.code, message.detail)) == Error(
        id_, code, message.detail
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["b", "s", "t", "p", "vendor", "body", "from", "cols", "rows", "boot"]), JSON
)
ACTIONS = st.sampled_from(["Hello", "Telemetry", "Backfill", "Ack", "Drain", "Other"])


@given(
    st.binary(max_size=200)
    | st.text(st.characters(), max_size=100)
    | st.builds(
        lambda *parts: msgspec.json.encode(parts),
        st.sampled_from([2, 3, 4, 6, 7]) | JSON,
        st.text(max_size=3) | JSON,
        ACTIONS | JSON,
        FIELDS | JSON,
    )
)
def test_decode_never_raises(data: bytes | str) -> None:
    message = decode(data)
    assert isinstance(message, Call | Result | Error | Malformed)
    # Whatever we took in can be written again: nothing unparsed is left inside.
    msgspec.json.decode(msgspec.json.encode(message))
