"""What a session is told and what it answers with: time, limits, states, actions.

Those that are made for every reading are structs that the garbage collector does not look at:
thousands wait for Kafka at a time, and none is in a cycle.
"""

from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from schemas.protocol import MAX_BACKFILL_ROWS, Hello
from vpp_streams.gateway.commands import CommandOutcome
from vpp_streams.gateway.live_acks import Range
from vpp_streams.kafka import topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a device is told at Hello, and what it is held to."""

    hello_timeout_ms: int = 10_000
    idle_s: int = 30
    interval_ms: int = 1000
    ack_ms: int = 5000
    live_per_s: float = 5.0
    live_burst: float = 60.0
    backfill_rows_per_s: int = 50
    """Announced; held to twice this, so that a device's jitter costs it nothing."""
    backfill_burst_rows: int = 2 * MAX_BACKFILL_ROWS
    strikes_per_min: float = 10.0
    strikes_burst: float = 20.0


class State(Enum):
    """Where a connection is in its life."""

    WAITING_FOR_HELLO = auto()
    REGISTERING = auto()
    LIVE = auto()
    DRAINING = auto()
    CLOSED = auto()


class LiveReceipt(msgspec.Struct, frozen=True, gc=False):
    """Names one live reading on its way to Kafka."""

    message_id: str
    seq: int


class BackfillReceipt(msgspec.Struct, frozen=True):
    """Names one Backfill's rows on their way to Kafka."""

    message_id: str
    boot: str
    rows: Range


class StatusReceipt(msgspec.Struct, frozen=True):
    """Names a device's word on a command on its way to Kafka."""

    message_id: str
    told: CommandOutcome


Receipt = LiveReceipt | BackfillReceipt | StatusReceipt


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a text message to the device."""

    data: bytes


class Produce(msgspec.Struct, frozen=True, gc=False):
    """Put these lines into a raw frame; answer with `Session.stored` or `Session.lost`."""

    topic: topics.Topic
    partition: int
    lines: bytes
    """NDJSON without a last newline."""
    receipt: Receipt


class Register(msgspec.Struct, frozen=True):
    """Write the connect record; answer with `Session.registered` or `Session.unavailable`."""

    hello: Hello


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close the connection; nothing comes after it."""

    code: int
    reason: str


class Tell(msgspec.Struct, frozen=True):
    """Write what became of a command to ``command.events``.

    With a receipt, answer with `Session.stored` or `Session.lost`.
    """

    told: CommandOutcome
    receipt: StatusReceipt | None = None


Action = Send | Produce | Register | Close | Tell
