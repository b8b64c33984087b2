"""One device's connection as a state machine without I/O.

A shell feeds it messages, time and Kafka's answers, and carries out the actions it returns, in
order. Rules:

- Hello is first, within a time limit. Nothing is accepted before the connect record's offset (the
  epoch) is known.
- Live sequence numbers rise. A repeated one is not produced again: if it is stored, it is acked
  again; if Kafka has not answered yet, its ack will follow; otherwise it must be sent as Backfill.
- A reading with a valid name and an unreadable body is passed on (parsed and encoded again), so
  that ingest rejects it with a reason and its bytes; a message without a valid name is refused.
- An Ack covers only readings that Kafka has, or (in a Backfill) that the device says it no longer
  has.
- Each refused message is a strike; too many strikes close the connection. An unknown action is
  not a strike: a newer device may try what this gateway does not know yet.
"""

from collections import Counter

import msgspec

from schemas.assets import Device, Site
from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_IDLE,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_TRY_LATER,
    Backfill,
    BackfillPace,
    Call,
    CommandStatus,
    Drain,
    Error,
    ErrorCode,
    Hello,
    HelloResult,
    Malformed,
    Message,
    Prices,
    Result,
    Setpoint,
    SpanMs,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)
from schemas.wire import (
    decode,
    decode_reading,
    encode_call,
    encode_error,
    encode_result,
)
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.actions import (
    Action,
    BackfillReceipt,
    Close,
    Limits,
    LiveReceipt,
    Produce,
    PublishOutcome,
    Receipt,
    Register,
    Send,
    State,
    StatusReceipt,
)
from vpp_streams.gateway.bucket import TokenBucket
from vpp_streams.gateway.commands import (
    CommandOutcome,
    Commands,
    StatusRefusal,
    UnexpectedAnswer,
    may_exist,
)
from vpp_streams.gateway.lines import Body, body_of, lines_of
from vpp_streams.gateway.live_readings import Head, LiveReadings
from vpp_streams.gateway.rows import Row, read_row
from vpp_streams.kafka import topics

LIVE, CLOSED = State.LIVE, State.CLOSED
WAITING_FOR_HELLO = State.WAITING_FOR_HELLO
READY = (State.LIVE, State.DRAINING)


class Session:
    """The connection of one device, from the accepted upgrade to its end."""

    # A gateway holds tens of thousands: what many of them never need is created on first use.
    __slots__ = (
        "_backfill",
        "_backfill_delay_ms",
        "_boot_used",
        "_commands",
        "_counters",
        "_earlier",
        "_hello_id",
        "_limits",
        "_live",
        "_received_ms",
        "_strikes",
        "device",
        "partition",
        "site",
        "state",
    )

    def __init__(
        self,
        device: Device,
        site: Site,
        partition: int,
        limits: Limits,
        *,
        backfill_delay_ms: SpanMs,
        counters: Counter[str],
        now: Now,
    ) -> None:
        self.device = device
        self.site = site
        self.partition = partition
        self.state = State.WAITING_FOR_HELLO
        self._limits = limits
        self._backfill_delay_ms = backfill_delay_ms
        self._counters = counters
        self._received_ms = now.mono_ms
        self._boot_used = False
        self._hello_id = ""
        self._live = LiveReadings(
            device.device_id,
            topics.RAW_BY_KIND[device.kind],
            partition,
            limits,
            counters=counters,
            now=now,
        )
        self._backfill: TokenBucket | None = None
        self._strikes: TokenBucket | None = None
        self._commands: Commands | None = None
        self._earlier: tuple[str, ...] = ()
        """Commands of earlier connections whose outcome may still arrive."""

    @property
    def head(self) -> Head:
        """The newest sequence number of this connection's boot."""
        return self._live.head

    def follows(self, earlier: Head) -> bool:
        """Compare a new Hello with an earlier connection; False = its numbers go back."""
        head = self.head
        back = head.boot == earlier.boot and head.seq < earlier.seq
        self._boot_used = back
        return not back

    # Inputs

    def receive(self, data: bytes | str, now: Now) -> list[Action]:
        """Handle a complete message from the device."""
        state = self.state
        if state is CLOSED:
            return []
        if state is not WAITING_FOR_HELLO:  # nothing but a Hello ends that wait
            self._received_ms = now.mono_ms
        if isinstance(data, bytes):
            live = self._live
            found: tuple[str, int, Body | Row] | None
            found = read_row(data, live.boot, live.boot_number, now.utc_ms)
            if found is not None or (found := decode_reading(data, live.boot)) is not None:
                id_, seq, body = found
                # A new reading within its rate, as nearly all messages are, without another call.
                if state is LIVE and seq > live.last_seq and live.rate.take(1, now.mono_ms):
                    return [live.produce(id_, seq, body, now)]
                return self._on_telemetry(id_, live.boot, seq, body, now)
        return self._on_message(decode(data), now)

    def _on_message(self, message: Message, now: Now) -> list[Action]:  # a case per message
        match message:
            case Malformed(id_, code, detail):
                return self._refuse(id_, code, detail, now)
            case Call(id_, Backfill() as backfill, False):
                return self._on_backfill(id_, backfill, now)
            case Call(id_, Hello() as hello, True):
                return self._on_hello(id_, hello, now)
            case Call(
                id_, Telemetry() | VendorTelemetry() | UncheckedTelemetry() as reading, False
            ):
                return self._on_telemetry(id_, reading.b, reading.s, body_of(reading), now)
            case Call(id_, CommandStatus() as status, True):
                return self._on_status(id_, status, now)
            case Call(id_, payload, _):
                is_hello = isinstance(payload, Hello)
                what = "Hello as type 6" if is_hello else "a message of that type"
                return self._refuse(id_, "bad_message", f"a gateway takes no {what}", now)
            case Result() as result:
                return self._on_answer(self._device_commands().answered(result), now)
            case Error(id_, code, detail):
                return self._on_answer(self._device_commands().refused(id_, code, detail), now)
        return []

    def registered(self, epoch: int, now: Now) -> list[Action]:
        """The connect record is stored at this offset: the device may send."""
        if self.state is not State.REGISTERING:
            return []
        self.state = State.LIVE
        self._received_ms = now.mono_ms
        limits = self._limits
        result = HelloResult(
            epoch=epoch,
            t=now.utc_ms,
            interval_ms=limits.interval_ms,
            ack_ms=limits.ack_ms,
            idle_s=limits.idle_s,
            backfill=BackfillPace(self._backfill_delay_ms, limits.backfill_rows_per_s),
            boot_used=self._boot_used or msgspec.UNSET,
        )
        return [Send(encode_result(self._hello_id, result))]

    def unavailable(self) -> list[Action]:
        """The connect record could not be written: the device must reconnect later."""
        if self.state is not State.REGISTERING:
            return []
        detail = "the gateway cannot reach Kafka"
        return [
            Send(encode_error(self._hello_id, "unavailable", detail)),
            *self.close(CLOSE_TRY_LATER, detail),
        ]

    def stored(self, receipt: Receipt, now: Now) -> list[Action]:
        """Kafka has these readings, or this status (acks=all)."""
        if self.state is State.CLOSED:
            return []
        if not isinstance(receipt, LiveReceipt):
            return [self._other_stored(receipt, now)]
        return [*self._live.stored(receipt.seq, now), *self._acks_if_due(now)]

    def noted(self, seq: int, mono_ms: int) -> bool:
        """Note that Kafka has a live reading, if no action follows from it, as is the rule.

        False says only that `stored` has to be used; nothing has changed then.
        """
        return self.state is LIVE and self._live.noted(seq, mono_ms)

    def _other_stored(self, receipt: BackfillReceipt | StatusReceipt, now: Now) -> Send:
        if isinstance(receipt, BackfillReceipt):
            return self._live.ack(receipt.boot, receipt.rows, now)
        self._device_commands().stored(receipt.outcome)
        return Send(encode_result(receipt.message_id, {}))

    def lost(self, receipt: Receipt) -> list[Action]:
        """Kafka did not take it: the device still has it."""
        if self.state is State.CLOSED:
            return []
        if isinstance(receipt, LiveReceipt):
            self._live.lost(receipt.seq)
        elif isinstance(receipt, StatusReceipt):
            self._device_commands().lost(receipt.outcome)
        return [Send(encode_error(receipt.message_id, "not_stored", "Kafka did not take it"))]

    def tick(self, now: Now, listening: bool = True) -> list[Action]:
        """Time has passed. ``listening`` is False while the gateway itself does not read."""
        if not listening:
            self._received_ms = now.mono_ms
        silent_ms = now.mono_ms - self._received_ms
        if self.state in READY:
            if silent_ms > self._limits.idle_s * 1000:
                due = self._live.acks_now(now)
                return [*due, *self.close(CLOSE_IDLE, f"silent for {self._limits.idle_s} s")]
            if self._commands is None:
                return self._acks_if_due(now)
            late = [PublishOutcome(outcome) for outcome in self._commands.overdue(now.mono_ms)]
            return [*late, *self._acks_if_due(now)]
        if self.state is State.WAITING_FOR_HELLO and silent_ms > self._limits.hello_timeout_ms:
            return self.close(CLOSE_PROTOCOL_ERROR, "no Hello was received")
        return []

    def drain(self, reconnect_in_ms: SpanMs, now: Now) -> list[Action]:
        """The gateway is about to stop; from here on acks are sent at once."""
        if self.state is not State.LIVE:
            return []
        self.state = State.DRAINING
        return [Send(encode_call("drain", Drain(reconnect_in_ms))), *self._live.acks_now(now)]

    def close(self, code: int, reason: str) -> list[Action]:
        """End the connection from this side. The device keeps whatever has not been acked."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        return [Close(code, reason)]

    def ended(self) -> list[Action]:
        """The connection has ended; publish the outcomes of its unanswered commands."""
        self.state = State.CLOSED
        return (
            [PublishOutcome(outcome) for outcome in self._commands.ended()]
            if self._commands
            else []
        )

    def command(self, id_: str, setpoint: Setpoint, now: Now) -> list[Action]:
        """Send a command to the device, and publish that it was delivered."""
        if self.state is not State.LIVE:
            return []
        outcome = self._device_commands().sent(id_, setpoint, now.mono_ms)
        return [Send(encode_call(id_, setpoint)), PublishOutcome(outcome)]

    def prices(self, prices: Prices) -> list[Action]:
        """Send prices to the device."""
        return [Send(encode_call("prices", prices))] if self.state is State.LIVE else []

    # One method per message

    def _on_hello(self, id_: str, hello: Hello, now: Now) -> list[Action]:
        if self.state is not State.WAITING_FOR_HELLO:
            return self._refuse(id_, "bad_message", "one Hello per connection", now)
        self.state = State.REGISTERING
        self._hello_id = id_
        self._live.begin(hello.boot, hello.next_seq)
        named = (*hello.untold, hello.last_cmd) if hello.last_cmd else hello.untold
        self._earlier = tuple(name for name in named if may_exist(name, self.partition, now.utc_ms))
        self._counters["untold_refused"] += len(named) - len(self._earlier)
        return [Register(hello)]

    def _on_telemetry(
        self, id_: str, boot: str, seq: int, body: Body | Row, now: Now
    ) -> list[Action]:
        if self.state not in READY:
            return self._refuse(id_, "hello_first", "wait for the answer to Hello", now)
        live = self._live
        if boot != live.boot:
            return self._refuse(id_, "wrong_boot", f"Hello said boot {live.boot}", now)
        seen = seq <= live.last_seq
        if not seen:
            live.last_seq = seq  # one refused below must be sent as Backfill
        if not live.rate.take(1, now.mono_ms):
            return self._rate_limited(id_, 1, now)
        if seen:
            return self._on_seen(id_, seq, now)
        if isinstance(body, dict):
            self._counters["bad_bodies"] += 1
        return [live.produce(id_, seq, body, now)]

    def _on_seen(self, id_: str, seq: int, now: Now) -> list[Action]:
        if self._live.on_its_way(seq):
            return []
        if self._live.again(seq):
            return self._acks_if_due(now)
        return self._refuse(id_, "seq_not_rising", f"{seq} must be sent as Backfill", now)

    def _on_backfill(self, id_: str, backfill: Backfill, now: Now) -> list[Action]:
        if self.state not in READY:
            return self._refuse(id_, "hello_first", "wait for the answer to Hello", now)
        limits = self._limits
        if self._backfill is None:
            rows_per_s = 2 * limits.backfill_rows_per_s
            self._backfill = TokenBucket(rows_per_s, limits.backfill_burst_rows, now.mono_ms)
        if not self._backfill.take(len(backfill.rows), now.mono_ms):
            return self._rate_limited(id_, len(backfill.rows), now)
        first = backfill.from_
        covered = (first, first + len(backfill.rows) - 1)
        device_id = self.device.device_id
        found = lines_of(device_id, now.utc_ms, backfill)
        if not found.lines:
            return [self._live.ack(backfill.b, covered, now)]
        self._counters["backfill_in"] += len(found.lines)
        if found.bad_bodies:
            self._counters["bad_bodies"] += found.bad_bodies
        receipt = BackfillReceipt(id_, backfill.b, covered)
        lines = b"\n".join(found.lines)
        return [Produce(topics.RAW_BACKFILL, self.partition, device_id, lines, receipt)]

    def _on_status(self, id_: str, status: CommandStatus, now: Now) -> list[Action]:
        if self.state not in READY:
            return self._refuse(id_, "hello_first", "wait for the answer to Hello", now)
        match self._device_commands().status(status):
            case StatusRefusal(code, detail):
                return self._refuse(id_, code, detail, now)
            case CommandOutcome() as outcome:
                return [PublishOutcome(outcome, StatusReceipt(id_, outcome))]
            case True:
                return [Send(encode_result(id_, {}))]
            case False:
                return []  # Kafka's answer to the first will serve both

    def _on_answer(self, answer: CommandOutcome | UnexpectedAnswer, now: Now) -> list[Action]:
        match answer:
            case CommandOutcome() as outcome:
                return [PublishOutcome(outcome)]
            case UnexpectedAnswer.UNKNOWN:  # an answer gets no answer: it is a strike only
                return [] if self._strikes_left(now) else self._abuse("an answer to nothing")
            case UnexpectedAnswer.LATE:
                return []

    def _device_commands(self) -> Commands:
        if self._commands is None:
            self._commands = Commands(self._earlier, self._counters)
        return self._commands

    # Outputs

    def _refuse(self, id_: str, code: ErrorCode, detail: str, now: Now) -> list[Action]:
        self._counters["bad_messages"] += 1
        if code == "unknown_action" and self._live.rate.take(1, now.mono_ms):
            return [Send(encode_error(id_, code, detail))]
        return self._strike(id_, code, detail, now)

    def _rate_limited(self, id_: str, readings: int, now: Now) -> list[Action]:
        self._counters["rate_limited"] += readings
        return self._strike(id_, "rate_limited", "send it later, as Backfill", now)

    def _strike(self, id_: str, code: ErrorCode, detail: str, now: Now) -> list[Action]:
        if not self._strikes_left(now):
            return self._abuse(code)
        return [Send(encode_error(id_, code, detail))]

    def _strikes_left(self, now: Now) -> bool:
        if self._strikes is None:
            per_s = self._limits.strikes_per_min / 60
            self._strikes = TokenBucket(per_s, self._limits.strikes_burst, now.mono_ms)
        return self._strikes.take(1, now.mono_ms)

    def _abuse(self, last: str) -> list[Action]:
        return self.close(CLOSE_ABUSE, f"too many refused messages, the last: {last}")

    def _acks_if_due(self, now: Now) -> list[Action]:
        return [*self._live.acks_if_due(now, at_once=self.state is State.DRAINING)]
