"""A session's inputs and outputs: limits, states, receipts and actions.

The ones created for every reading are structs that the garbage collector does not track:
thousands wait for Kafka at a time, and none is in a cycle.
"""

from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from schemas.protocol import MAX_BACKFILL_ROWS, Hello
from vpp_streams.gateway.commands import CommandOutcome
from vpp_streams.gateway.live_acks import Range
from vpp_streams.kafka.topic import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that a device receives in the answer to Hello and that the gateway enforces."""

    hello_timeout_ms: int = 10_000
    idle_s: int = 30
    interval_ms: int = 1000
    ack_ms: int = 5000
    live_per_s: float = 5.0
    live_burst: float = 60.0
    backfill_rows_per_s: int = 50
    """Announced; the gateway allows twice this, so that jitter is not punished."""
    backfill_burst_rows: int = 2 * MAX_BACKFILL_ROWS
    strikes_per_min: float = 10.0
    strikes_burst: float = 20.0


class State(Enum):
    """The states of a connection, in order."""

    WAITING_FOR_HELLO = auto()
    REGISTERING = auto()
    LIVE = auto()
    DRAINING = auto()
    CLOSED = auto()


class LiveReceipt(msgspec.Struct, frozen=True, gc=False):
    """Identifies a live reading that waits for Kafka's answer."""

    message_id: str
    seq: int


class BackfillReceipt(msgspec.Struct, frozen=True):
    """Identifies the rows of a Backfill that wait for Kafka's answer."""

    message_id: str
    boot: str
    rows: Range


class StatusReceipt(msgspec.Struct, frozen=True):
    """Identifies a device's status of a command that waits for Kafka's answer."""

    message_id: str
    outcome: CommandOutcome


Receipt = LiveReceipt | BackfillReceipt | StatusReceipt


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a text message to the device."""

    data: bytes


class Produce(msgspec.Struct, frozen=True, gc=False):
    """Put readings of a device into a raw frame; answer with `Session.stored` or `Session.lost`."""

    topic: Topic
    partition: int
    device_id: str
    readings: bytes
    """NDJSON without a last newline, or a row."""
    receipt: Receipt
    is_row: bool = False
    """Whether it is one reading as a `vpp_streams.gateway.rows.Row`."""


class Register(msgspec.Struct, frozen=True):
    """Write the connect record; answer with `Session.registered` or `Session.unavailable`."""

    hello: Hello


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close the connection; this is its last action."""

    code: int
    reason: str


class PublishOutcome(msgspec.Struct, frozen=True):
    """Publish the outcome of a command to ``command.events``.

    With a receipt, answer with `Session.stored` or `Session.lost`.
    """

    outcome: CommandOutcome
    receipt: StatusReceipt | None = None


Action = Send | Produce | Register | Close | PublishOutcome
