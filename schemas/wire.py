"""``vpp.v1`` as bytes: encoding and decoding of the messages of `schemas.protocol`.

Decoding never raises, whatever is received: the result for a bad message is a `Malformed`.
"""

from typing import Any, Literal, TypeVar

import msgspec

from schemas.bodies import Boot, NativeBody
from schemas.bounds import MAX_SEQ, Seq
from schemas.protocol import (
    NATIVE_KEYS,
    SUBPROTOCOL,
    Ack,
    Backfill,
    Call,
    CommandStatus,
    Drain,
    Error,
    ErrorCode,
    Hello,
    Malformed,
    Message,
    MessageId,
    Prices,
    Result,
    Setpoint,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)

CALL, RESULT, ERROR, SEND = 2, 3, 4, 6
NO_ID = "-"

T = TypeVar("T")
_SIMPLE: dict[str, msgspec.json.Decoder[Any]] = {
    t.__name__: msgspec.json.Decoder(t)
    for t in (Hello, Backfill, Ack, Drain, Setpoint, CommandStatus, Prices)
}
_encoder = msgspec.json.Encoder()
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_int = msgspec.json.Decoder(int)
_id = msgspec.json.Decoder(MessageId)
_str = msgspec.json.Decoder(str)
_native = msgspec.json.Decoder(Telemetry)
_vendor = msgspec.json.Decoder(VendorTelemetry)
_object = msgspec.json.Decoder(dict[str, Any])

# DecodeError covers bad JSON and values out of range; text that is not UTF-8 and nesting deeper
# than the interpreter allows have errors of their own.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class _Name(msgspec.Struct, frozen=True):
    """The required keys of every Telemetry, and the key that distinguishes the two forms."""

    b: Boot
    s: Seq
    vendor: Any = msgspec.UNSET


_name = msgspec.json.Decoder(_Name)


class _Reading(NativeBody, frozen=False, omit_defaults=True, kw_only=True, gc=False):  # type: ignore[misc]  # msgspec allows it
    """A native Telemetry's payload; its name can be removed, which leaves the body."""

    b: str | msgspec.UnsetType = msgspec.UNSET
    s: Seq | msgspec.UnsetType = msgspec.UNSET
    vendor: Any = msgspec.UNSET


class _ReadingMessage(msgspec.Struct, array_like=True, gc=False):
    type: Literal[6]
    id: MessageId
    action: Literal["Telemetry"]
    payload: _Reading


_reading = msgspec.json.Decoder(_ReadingMessage)
_READING_BEGINS = f"[{SEND},".encode()


def encode_call(id_: str, payload: Hello | Drain | Setpoint | CommandStatus | Prices) -> bytes:
    """``[2, id, action, payload]``; the action is the payload's class."""
    return _encoder.encode((CALL, id_, type(payload).__name__, payload))


def encode_send(id_: str, payload: Telemetry | VendorTelemetry | Backfill | Ack) -> bytes:
    """``[6, id, action, payload]``; the action is the payload's class."""
    action = "Telemetry" if isinstance(payload, VendorTelemetry) else type(payload).__name__
    return _encoder.encode((SEND, id_, action, payload))


def encode_result(id_: str, payload: Any) -> bytes:
    """``[3, id, payload]``"""
    return _encoder.encode((RESULT, id_, payload))


def encode_error(id_: str, code: ErrorCode, detail: str) -> bytes:
    """``[4, id, code, detail]``"""
    return _encoder.encode((ERROR, id_, code, detail))


def decode(data: bytes | str) -> Message:
    """Decode one message of either direction. Never raises: a bad message gives a `Malformed`."""
    id_ = NO_ID
    try:
        parts = _parts.decode(data)
        if len(parts) < 3:
            return Malformed(id_, "bad_message", "a message is [type, id, ...] of 3 or 4 parts")
        type_ = _int.decode(parts[0])
        id_ = _id.decode(parts[1])
        if type_ == RESULT and len(parts) == 3:
            return Result(id_, parts[2])
        if len(parts) != 4 or type_ not in (CALL, ERROR, SEND):
            return Malformed(id_, "bad_message", f"no message of type {type_} with {len(parts)}")
        if type_ == ERROR:
            return Error(id_, _str.decode(parts[2]), _str.decode(parts[3]))
        return _decode_call(id_, type_ == CALL, _str.decode(parts[2]), parts[3])
    except UNREADABLE as error:
        return Malformed(id_, "bad_message", _reason(error))


def decode_reading(data: bytes, boot: str) -> tuple[str, int, NativeBody] | None:
    """Message id, number and body of a native `Telemetry` of this boot, in one pass.

    None says only that `decode` has to be used. Never raises.
    """
    if not data.startswith(_READING_BEGINS):
        return None
    try:
        message = _reading.decode(data)
    except UNREADABLE:
        return None
    body = message.payload
    seq = body.s
    if body.b != boot or seq is msgspec.UNSET or body.vendor is not msgspec.UNSET:
        return None
    body.b = body.s = msgspec.UNSET
    return message.id, seq, body


def decode_result(result: Result, type_: type[T]) -> T | Malformed:
    """Read a result's payload as the type that its call requires. Never raises."""
    try:
        return msgspec.json.decode(result.payload, type=type_)
    except UNREADABLE as error:
        return Malformed(result.id, "bad_message", _reason(error))


def _decode_call(id_: str, reply: bool, action: str, payload: msgspec.Raw) -> Call | Malformed:
    if action == "Telemetry":
        return Call(id_, _decode_telemetry(payload), reply)
    decoder = _SIMPLE.get(action)
    if decoder is None:
        return Malformed(id_, "unknown_action", f"no action {action[:64]!r} in {SUBPROTOCOL}")
    message = decoder.decode(payload)
    problem = _problem(message)
    return Malformed(id_, "bad_message", problem) if problem else Call(id_, message, reply)


def _problem(message: object) -> str | None:
    """A mistake that the types cannot express: in how the fields of one message fit together."""
    match message:
        case Hello() if message.oldest_seq > message.next_seq:
            return "oldest_seq is after next_seq"
        case Backfill():
            cols = message.cols
            if "t" not in cols or len(set(cols)) < len(cols) or not set(cols) <= NATIVE_KEYS:
                return f"cols must be t and others of {', '.join(sorted(NATIVE_KEYS))}, once each"
            if any(row is not None and len(row) != len(cols) for row in message.rows):
                return f"each row must be null or {len(cols)} values, one per column"
            if message.from_ + len(message.rows) - 1 > MAX_SEQ:
                return "the last row's number is out of range"
    return None


def _decode_telemetry(payload: msgspec.Raw) -> Telemetry | VendorTelemetry | UncheckedTelemetry:
    name = _name.decode(payload)
    try:
        if name.vendor is msgspec.UNSET:
            return _native.decode(payload)
        vendor = _vendor.decode(payload)
        parsed = _encoder.encode(msgspec.json.decode(vendor.body))
        return msgspec.structs.replace(vendor, body=msgspec.Raw(parsed))
    except msgspec.ValidationError as error:
        body = _object.decode(payload)
        body.pop("b")
        body.pop("s")
        return UncheckedTelemetry(name.b, name.s, body, _reason(error))


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
