"""The device protocol ``vpp.v1``: the messages of a device and a gateway over a WebSocket.

Framing is OCPP-J's: a JSON array ``[type, id, ...]`` in one text message::

    [2, id, action, payload]   call, answered by 3 or 4 with the same id
    [3, id, payload]           result
    [4, id, code, detail]      error; also answers a type 6 message that was refused
    [6, id, action, payload]   send without a reply

    device -> gateway   Hello (2), Telemetry (6), Backfill (6), CommandStatus (2)
    gateway -> device   Ack (6), Drain (2), Setpoint (2), Prices (2)

The order of a connection is: Hello; its result; then Telemetry with rising ``s`` and, beside it,
Backfill of readings without an Ack. An Ack says that every reading of ``[from..upto]`` is safe in
Kafka; live acks grow from the connection's ``Hello.next_seq`` and start a new range after a
reading that was refused or lost, so an Ack never covers a hole. The device keeps readings without
an Ack and sends them again as Backfill; an `Error` whose code is in `TRANSIENT` requests just
that, any other code says that the message will never be accepted.

A Setpoint's message id is the command's id. The device answers it with a `SetpointResult` and
reports its outcome with CommandStatus. A Setpoint that repeats a known one is a ``duplicate``; one
of a lower rank than the newest accepted one is ``superseded``; one whose epoch is not that of the
device's newest connection is ``stale_epoch``; one that has ended is ``expired``. A CommandStatus is
answered once Kafka has it; until then the device keeps it, and names its command in the Hello of
the next connection.

``docs/devices.md`` is the specification for authors of clients and gateways: time-outs, the meaning
of each close code, the limits, and the obligations of both sides by number.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec

from schemas.bodies import Boot, NativeBody
from schemas.bounds import (
    MAX_INTERVAL_MS,
    EpochMs,
    Fraction,
    IntervalMs,
    Number,
    Offset,
    Positive,
    Seq,
    Watts,
)
from schemas.commands import Fallback
from schemas.grid import Droop

SUBPROTOCOL = "vpp.v1"
MAX_MESSAGE_BYTES = 16 * 1024
MAX_BACKFILL_ROWS = 1000
MAX_UNTOLD = 16
NATIVE_KEYS = frozenset(NativeBody.__struct_fields__)

CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_ABUSE = 1008
"""Too many refused messages, frames or fragments: reconnect after half a minute to a minute."""
CLOSE_REGISTRY_CHANGED = 1012
"""The device's record changed (site, kind or token): reconnect at once."""
CLOSE_TRY_LATER = 1013
"""Kafka is not available, or a newer connection was made before this one's Hello: back off."""
CLOSE_IDLE = 3008
"""No message for ``idle_s``; pings and pongs do not count."""
CLOSE_REPLACED = 4001
"""A newer connection of the same device took over; do not reconnect."""
CLOSE_UNKNOWN_DEVICE = 4003
"""The device's site was retired, or is only planned, while the device was connected."""
CLOSE_REVOKED = 4004
"""The device's credentials were revoked: only a new one-time code lets it enrol again."""
REFUSED_REVOKED = "revoked"
"""``code`` in the body of the 403 by which such a device is refused when it connects."""
CLOSE_CERTIFICATE_EXPIRED = 4005
"""The certificate that the connection was made with has expired: connect with a renewed one."""

ErrorCode = Literal[
    "bad_message",
    "unknown_action",
    "hello_first",
    "wrong_boot",
    "seq_not_rising",
    "rate_limited",
    "not_stored",
    "unavailable",
    "unknown_command",
]
PERMANENT: frozenset[str] = frozenset({"bad_message", "unknown_action", "unknown_command"})
"""Error codes of messages that will never be accepted: do not send them again."""
TRANSIENT: frozenset[str] = frozenset(get_args(ErrorCode)) - PERMANENT
"""Error codes after which the same readings may be sent again, later, as Backfill."""

MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=64)]
DelayMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTERVAL_MS)]
SpanMs = tuple[DelayMs, DelayMs]
"""[lo, hi] in ms: the device draws its delay from it, so that a fleet is spread over time."""


class Hello(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first message of every connection (call)."""

    boot: Boot
    """Boot id of the live readings of this connection; new at every start of the device."""
    next_seq: Seq
    """Number of the next live reading; everything before it is sent as Backfill."""
    oldest_seq: Seq = 0
    """The oldest reading without an Ack that the device still has."""
    model: Text = ""
    """The device's model, for people."""
    fw: Text = ""
    """Version of its firmware, for people."""
    last_cmd: Text = ""
    """Id of the last command that the device accepted."""
    untold: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MAX_UNTOLD)] = ()
    """Commands of which the device still has an unanswered CommandStatus; the newest ones."""
    measures_only: bool = False
    """Whether the device takes no setpoint: its readings count, and it rejects every command."""
    t: EpochMs = 0
    """Device clock, ms since 1970 UTC."""


class BackfillPace(msgspec.Struct, frozen=True):
    """The pace at which a device may send the readings that it kept."""

    delay_ms: SpanMs
    """Range of the random wait before the first Backfill."""
    rows_per_s: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    """Most rows of Backfill per second."""


class HelloResult(msgspec.Struct, frozen=True):
    """The answer to `Hello`: the connection is live."""

    epoch: Offset
    """Fencing token of this connection: offset of its connect record in topic ``presence``."""
    t: EpochMs
    """Gateway clock, ms since 1970 UTC."""
    interval_ms: DelayMs
    """Interval between readings, ms."""
    ack_ms: DelayMs
    """Shortest time between live acks, ms (a backfill's ack is sent at once)."""
    idle_s: DelayMs
    """The gateway closes a connection on which it receives nothing for this long, s."""
    backfill: BackfillPace
    """The pace of the readings that the device kept."""
    status: Literal["accepted"] = "accepted"
    """Always ``accepted``: a Hello that is not is answered with an error."""
    boot_used: bool | msgspec.UnsetType = msgspec.UNSET
    """True, else left out: this boot has used higher numbers before. A device that has started
    again uses a new boot id in a new connection, or its readings are dropped as repeats."""


class Telemetry(NativeBody, frozen=True, omit_defaults=True, kw_only=True):
    """One live reading in the native form (send): a `NativeBody` with its name."""

    b: Boot
    """Boot id, as in Hello."""
    s: Seq
    """Reading number; rises within the connection."""


class VendorTelemetry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One live reading as a vendor's document (send, action ``Telemetry``)."""

    b: Boot
    """Boot id, as in Hello."""
    s: Seq
    """Reading number; rises within the connection."""
    vendor: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """The normaliser that reads ``body``, for example ``tesla_gateway``."""
    body: msgspec.Raw
    """The vendor's document; decoding has parsed it and encoded it again."""
    t: EpochMs | None = None
    """When the device obtained the document."""
    iv: Annotated[int, msgspec.Meta(gt=0, le=86_400_000)] = 1000
    """The time this reading stands for, ms."""


class UncheckedTelemetry(msgspec.Struct, frozen=True):
    """A live reading with a valid name and a body of neither form.

    The gateway passes it on, so that ingest can reject it with a reason and keep its bytes.
    """

    b: Boot
    s: Seq
    body: dict[str, Any]
    """The payload without ``b`` and ``s``."""
    detail: str
    """The mistake in it."""


class Backfill(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Readings kept from an outage (send). Row i is the reading ``from + i`` of boot ``b``."""

    b: Boot
    """Boot id of these readings; may be an earlier one than Hello's."""
    from_: Seq = msgspec.field(name="from")
    """Number of the first row."""
    cols: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=32)]
    """Keys of `NativeBody`, in the order of each row's values; ``t`` must be one."""
    rows: Annotated[
        list[Annotated[list[Any], msgspec.Meta(max_length=32)] | None],
        msgspec.Meta(min_length=1, max_length=MAX_BACKFILL_ROWS),
    ]
    """null = the device no longer has the reading; a null value = not measured."""
    more: bool = False
    """Whether the device has more to send."""
    t: EpochMs | None = None
    """Device clock when this was sent."""


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Readings ``[from..upto]`` of boot ``b`` are safe in Kafka: the device may forget them."""

    b: Boot
    """Boot id of these readings."""
    from_: Seq = msgspec.field(name="from")
    """The first number."""
    upto: Seq
    """The last number, included."""
    t: EpochMs
    """Gateway clock, ms since 1970 UTC."""


class Drain(msgspec.Struct, frozen=True):
    """This gateway is about to stop (call): close, and reconnect after a random delay."""

    reconnect_in_ms: SpanMs
    """Range of the random wait before the next connection, ms."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A lease (call, id = command id): hold this battery power from ... until ..."""

    epoch: Offset
    """The connection for which it is made, as in `HelloResult`."""
    rank: Seq
    """The newest rank applies."""
    p: Watts | None
    """Battery power, W, + = discharge; null = release: end the lease now."""
    not_before: EpochMs
    """When the lease begins, ms UTC by the gateway's clock."""
    valid_until: EpochMs
    """By the gateway's clock (``t`` of `HelloResult` and `Ack`); the device ends it by itself."""
    ramp_w_s: Positive
    """Largest change of power per second, up and down, also when the lease ends."""
    fallback: Fallback = "self_consumption"
    """What follows the lease: self-consumption, or the newest price series while it lasts."""
    soc_min: Fraction = 0.0
    """Lower limit of discharge; the device keeps the higher of this and its owner's reserve."""
    droop: Droop | None = None
    """Frequency response, armed while the lease holds."""


SetpointStatus = Literal[
    "accepted", "rejected", "duplicate", "expired", "superseded", "stale_epoch"
]


class SetpointResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `Setpoint`."""

    status: SetpointStatus
    """The first that applies, in the order of `docs/devices.md`."""
    reason: Text = ""
    """Why it was rejected: ``opted_out``, ``islanded``, ``unmeasured``, ``refused`` or
    ``no_battery``."""


DeviceCommandState = Literal["applied", "completed", "superseded", "expired", "failed", "opted_out"]


class CommandStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of a command that the device accepted (call; the result is ``{}``)."""

    id: MessageId
    """The command's id."""
    state: DeviceCommandState
    """The outcome, or ``applied`` as a step towards it."""
    t: EpochMs
    """The gateway's clock as the device estimates it."""
    p: Watts | None = None
    """Battery power, W, + = discharge."""
    reason: Text = ""
    """Why it ended so, in a few words."""


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Prices at the connection (call; the result is ``{}``). The device uses them when it has no
    lease and its last one had ``fallback: prices``."""

    from_: EpochMs = msgspec.field(name="from")
    """When the first interval begins, ms UTC."""
    interval_ms: IntervalMs
    """Length of each interval, ms."""
    per_mwh: Annotated[tuple[Number, ...], msgspec.Meta(min_length=1, max_length=576)]
    """One price for each interval, per MWh."""


class Call(msgspec.Struct, frozen=True):
    """A decoded message of type 2 (``reply`` expected) or 6."""

    id: str
    payload: "FromDevice | FromGateway"
    reply: bool


class Result(msgspec.Struct, frozen=True):
    """A decoded message of type 3; `decode_result` reads its payload."""

    id: str
    payload: msgspec.Raw


class Error(msgspec.Struct, frozen=True):
    """A decoded message of type 4."""

    id: str
    code: str
    detail: str


class Malformed(msgspec.Struct, frozen=True):
    """A message that is not valid, as a value: answer it with `encode_error`."""

    id: str
    """The message's id, or ``-`` if it cannot be read."""
    code: ErrorCode
    detail: str
    """One sentence for people."""


FromDevice = Hello | Telemetry | VendorTelemetry | UncheckedTelemetry | Backfill | CommandStatus
FromGateway = Ack | Drain | Setpoint | Prices
Message = Call | Result | Error | Malformed
