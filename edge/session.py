"""The device's side of ``vpp.v1`` as a state machine without I/O.

A shell passes it measurements, received messages and the time; it returns the messages to send.
It keeps a reading until an Ack covers it, the gateway refuses it for good, or the ring is full.
Live readings are sent at once; readings that were lost with a link are sent as Backfill at the
pace that the gateway announced. Commands are answered at once; their outcomes are reported until
an answer confirms them.
"""

import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from edge.reports import Reports
from edge.ring import Ring
from schemas.bodies import NativeBody, VendorBody
from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
    CLOSE_REVOKED,
    CLOSE_UNKNOWN_DEVICE,
    MAX_UNTOLD,
    PERMANENT,
    Ack,
    Backfill,
    BackfillPace,
    Call,
    CommandStatus,
    Drain,
    Error,
    Hello,
    HelloResult,
    Malformed,
    Prices,
    Result,
    Setpoint,
    SetpointResult,
    Telemetry,
    VendorTelemetry,
)
from schemas.wire import decode, decode_result, encode_call, encode_result, encode_send

CHUNK_ROWS = 80
"""Rows of one Backfill, so that it stays within the message size with every column filled."""
_HELLO_ID = "hello"
_HELD_ROWS = 5
_LEAVE_WITHIN_MS = 2000
_FOR_LATER = (CLOSE_ABUSE, CLOSE_UNKNOWN_DEVICE, CLOSE_REVOKED)
"""Close codes after which trying soon would not help."""
_CLOCK_SLACK = 1 / 64
_CLOCK_SET_MS = 120_000
"""A gateway's clock that falls back by more than this was set: no connection delays a message so
long. Without this rule its devices would treat every command as expired for a long time."""
_KEYS = NativeBody.__struct_fields__
_OTHERS = [key for key in _KEYS if key != "t"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The waiting times of a device, ms."""

    reconnect_first_ms: int = 1000
    """Longest wait before the first attempt; doubles with each (full jitter: drawn from 0)."""
    reconnect_most_ms: int = 60_000
    resend_ms: int = 60_000
    """A reading that was sent and neither acked nor refused for this long is sent again."""
    refused_ms: int = 5_000
    """The same after an error that is not permanent."""


class Controls(Protocol):
    """The part of a device that executes commands: see `edge.leases.LeaseOf`."""

    @property
    def measures_only(self) -> bool:
        """Whether the device can take no setpoint at all."""

    @property
    def last_command(self) -> str:
        """Id of the newest accepted command; "" = none."""

    def offer(
        self, command_id: str, setpoint: Setpoint, now_ms: int, epoch: int | None
    ) -> SetpointResult:
        """Answer a command from the connection ``epoch``; ``now_ms`` is by the gateway's clock."""

    def take_prices(self, prices: Prices) -> None:
        """Store a price series."""


class State(Enum):
    """The states of the connection, in order."""

    OFFLINE = auto()
    WAITING_FOR_HELLO = auto()
    LIVE = auto()
    LEAVING = auto()


@dataclass(slots=True)
class Step:
    """Instructions to the shell: send these messages, then close if ``close``."""

    send: list[bytes] = field(default_factory=list)
    close: bool = False


class Device:
    """One device over any number of connections. Its readings are kept in ``ring``.

    ``now_ms`` is a monotonic clock; readings carry the device's own time.
    ``counters`` (shared by a fleet) count ``made``, ``acked``, ``dropped``,
    ``refused``, ``backfilled``, ``reconnects``, ``boots_renewed``, ``setpoint_<status>`` and
    ``reports_<fate>``, among others.
    """

    def __init__(
        self,
        ring: Ring,
        model: str,
        firmware: str,
        *,
        rng: random.Random,
        counters: Counter[str],
        controls: Controls,
        patience: Patience | None = None,
    ) -> None:
        self.ring = ring
        self.state = State.OFFLINE
        self.interval_ms = 1000
        """Interval between readings, set by the gateway."""
        self._boot = ring.boot
        """Boot id of this connection's live readings, as its Hello says."""
        self._model, self._firmware = model, firmware
        self._rng = rng
        self._counters = counters
        self._controls = controls
        self._reports = Reports()
        self._epoch: int | None = None
        self._gateway_ahead_ms: float | None = None
        self._patience = patience or Patience()
        self._held: deque[tuple[int, bytes]] = deque(maxlen=_HELD_ROWS)
        self._pace = BackfillPace((0, 0), 1)
        self._backfill_at_ms = 0
        self._leave_at_ms = 0
        self._attempts = 0
        self._was_connected = False
        self._drained_ms: float | None = None

    def measured(self, body: NativeBody, now_ms: int, vendor: VendorBody | None = None) -> Step:
        """Accept a new reading; ``vendor`` is its form if sent live (Backfill is native)."""
        live = self.state is State.LIVE
        seq, dropped = self.ring.add(body, now_ms + self._patience.resend_ms if live else 0)
        self._counters["made"] += 1
        self._counters["dropped"] += dropped
        if self.state not in (State.LIVE, State.WAITING_FOR_HELLO):
            return Step()
        if self.ring.boot != self._boot:  # live readings carry Hello's boot: it takes a new Hello
            return Step(close=True)
        message = self._telemetry(seq, body, vendor)
        if live:
            return Step([message])
        self._held.append((seq, message))
        return Step()

    @property
    def last_command(self) -> str:
        """Id of the newest accepted command; "" = none."""
        return self._controls.last_command

    def report(self, status: CommandStatus, now_ms: int) -> Step:
        """Report the outcome of a command: now, or once there is a link."""
        self._counters["reports_dropped"] += self._reports.add(status)
        return Step(self._reports_due(now_ms))

    def gateway_ms(self, now_ms: int) -> int | None:
        """The gateway's clock, ms UTC, estimated from its last message; None = not known."""
        ahead_ms = self._gateway_ahead_ms
        return None if ahead_ms is None else now_ms + round(ahead_ms)

    def connected(self, utc_ms: int) -> Step:
        """The link is connected: send Hello. ``utc_ms`` is the device's own clock."""
        self.state = State.WAITING_FOR_HELLO
        self._epoch = None
        self._boot = self.ring.boot
        self._held.clear()
        self._counters["reconnects" if self._was_connected else "first_connects"] += 1
        self._was_connected = True
        hello = Hello(
            boot=self._boot,
            next_seq=self.ring.next_seq,
            oldest_seq=self.ring.oldest_seq,
            model=self._model,
            fw=self._firmware,
            last_cmd=self._controls.last_command,
            untold=self._reports.command_ids()[-MAX_UNTOLD:],
            measures_only=self._controls.measures_only,
            t=utc_ms,
        )
        return Step([encode_call(_HELLO_ID, hello)])

    def disconnected(self, close_code: int | None = None) -> float | None:
        """The link was lost or not established; ms to wait before a retry, None = no retry."""
        self.state = State.OFFLINE
        self.ring.all_due()
        self._reports.all_due()
        if close_code == CLOSE_REPLACED:
            return None
        if self._drained_ms is not None:
            wait_ms, self._drained_ms = self._drained_ms, None
            return wait_ms
        patience = self._patience
        if close_code == CLOSE_REGISTRY_CHANGED:
            return self._rng.uniform(0, patience.reconnect_first_ms)
        if close_code in _FOR_LATER:
            return self._rng.uniform(patience.reconnect_most_ms / 2, patience.reconnect_most_ms)
        ceiling = patience.reconnect_first_ms * 2 ** min(self._attempts, 30)
        self._attempts += 1
        return self._rng.uniform(0, min(ceiling, patience.reconnect_most_ms))

    def received(self, data: bytes | str, now_ms: int) -> Step:
        """Handle a message from the gateway; one that makes no sense is counted and ignored."""
        match decode(data):
            case Call(_, Ack() as ack):
                return self._on_ack(ack, now_ms)
            case Call(id_, Setpoint() as setpoint):
                return self._on_setpoint(id_, setpoint, now_ms)
            case Call(id_, Prices() as prices):
                self._controls.take_prices(prices)
                return Step([encode_result(id_, {})])
            case Call(id_, Drain() as drain):
                return self._on_drain(id_, drain, now_ms)
            case Result(id_) as result if id_ == _HELLO_ID:
                return self._on_hello_result(result, now_ms)
            case Result(id_):
                known = self._reports.forget(id_)
                self._counters["reports_heard" if known else "not_understood"] += 1
            case Error(id_, code) if id_ == _HELLO_ID:
                self._counters[f"hello_{code}"] += 1
                return Step(close=True)
            case Error() as error:
                self._on_error(error, now_ms)
            case _:
                self._counters["not_understood"] += 1
        return Step()

    def tick(self, now_ms: int) -> Step:
        """Messages that are due now, or the end of a drained connection."""
        if self.state is State.LEAVING:
            return Step(close=now_ms >= self._leave_at_ms or not self._in_flight(now_ms))
        step = Step(self._reports_due(now_ms))
        if self.state is State.LIVE and len(self.ring) and self._backfill_at_ms <= now_ms:
            # Unused time is saved for at most a second.
            self._backfill_at_ms = max(self._backfill_at_ms, now_ms - 1000)
            while self._backfill_at_ms <= now_ms and (message := self._backfill(now_ms)):
                step.send.append(message)
        return step

    def _backfill(self, now_ms: int) -> bytes | None:
        run = self.ring.due_run(now_ms, min(CHUNK_ROWS, self._pace.rows_per_s))
        if not run:
            return None
        self.ring.set_due(run, now_ms + self._patience.resend_ms)
        self._backfill_at_ms += 1000 * len(run) // self._pace.rows_per_s
        self._counters["backfilled"] += len(run)
        bodies = self.ring.bodies(run)
        had = [body for body in bodies if body is not None]
        cols = ["t", *(key for key in _OTHERS if any(getattr(b, key) is not None for b in had))]
        backfill = Backfill(
            b=self.ring.boot_of(run.start),
            from_=run.start,
            cols=cols,
            rows=[None if b is None else [getattr(b, key) for key in cols] for b in bodies],
            more=bool(self.ring.due_run(now_ms, 1)),
        )
        return encode_send(f"{run.start}-{run.stop - 1}", backfill)

    def _telemetry(self, seq: int, body: NativeBody, vendor: VendorBody | None) -> bytes:
        if vendor is None:
            values = {key: getattr(body, key) for key in _KEYS}
            return encode_send(str(seq), Telemetry(b=self._boot, s=seq, **values))
        wrapped = VendorTelemetry(
            b=self._boot, s=seq, vendor=vendor.vendor, body=vendor.body, t=vendor.t, iv=vendor.iv
        )
        return encode_send(str(seq), wrapped)

    def _on_hello_result(self, result: Result, now_ms: int) -> Step:
        accepted = decode_result(result, HelloResult)
        if isinstance(accepted, Malformed) or self.state is not State.WAITING_FOR_HELLO:
            return Step(close=True)
        if accepted.boot_used is True:  # our numbers went back: the memory is older than the last
            self.ring.renew(f"{self._rng.getrandbits(32):08x}")
            self._counters["boots_renewed"] += 1
            return Step(close=True)
        self.state = State.LIVE
        self._attempts = 0
        self._epoch = accepted.epoch
        self._gateway_ahead_ms = float(accepted.t - now_ms)
        self.interval_ms = max(accepted.interval_ms, 1)
        self._pace = BackfillPace(accepted.backfill.delay_ms, max(accepted.backfill.rows_per_s, 1))
        self._backfill_at_ms = now_ms + round(self._rng.uniform(*self._pace.delay_ms))
        # Readings measured since Hello are still live.
        self._sent([seq for seq, _ in self._held], now_ms)
        return Step([message for _, message in self._held] + self._reports_due(now_ms))

    def _on_setpoint(self, id_: str, setpoint: Setpoint, now_ms: int) -> Step:
        at_ms = self.gateway_ms(now_ms)
        # Before its Hello is answered a device has no epoch, so it accepts nothing.
        answer = self._controls.offer(id_, setpoint, at_ms or 0, self._epoch)
        self._counters[f"setpoint_{answer.status}"] += 1
        return Step([encode_result(id_, answer)])

    def _reports_due(self, now_ms: int) -> list[bytes]:
        if self.state is not State.LIVE:
            return []
        due = self._reports.due(now_ms, now_ms + self._patience.resend_ms)
        return [encode_call(id_, report) for id_, report in due]

    def _on_ack(self, ack: Ack, now_ms: int) -> Step:
        if self._gateway_ahead_ms is not None:
            # A late message says less about the clock than a fast one: quick up, slow down.
            off_ms = ack.t - now_ms - self._gateway_ahead_ms
            at_once = off_ms > 0 or off_ms < -_CLOCK_SET_MS
            self._gateway_ahead_ms += off_ms if at_once else off_ms * _CLOCK_SLACK
        acked = self.ring.within(ack.from_, ack.upto)
        ours = [seq for seq in acked if self.ring.boot_of(seq) == ack.b]
        self._counters["acked"] += self.ring.forget(ours)
        return Step(close=self.state is State.LEAVING and not self._in_flight(now_ms))

    def _on_drain(self, id_: str, drain: Drain, now_ms: int) -> Step:
        """Send no more, wait a little for outstanding acks, then close."""
        self.state = State.LEAVING
        self._leave_at_ms = now_ms + _LEAVE_WITHIN_MS
        self._drained_ms = self._rng.uniform(*drain.reconnect_in_ms)
        return Step([encode_result(id_, {})], close=not self._in_flight(now_ms))

    def _on_error(self, error: Error, now_ms: int) -> None:
        """Handle the refusal of one of our messages: permanent, or until later."""
        wait_ms = round(self._patience.refused_ms * self._rng.uniform(0.5, 1.5))
        if self._reports.later(error.id, now_ms + wait_ms):
            if error.code in PERMANENT:
                self._reports.forget(error.id)
                self._counters["reports_refused"] += 1
            return
        first, _, last = error.id.partition("-")
        if not first.isdecimal():
            self._counters["not_understood"] += 1
            return
        seqs = self.ring.within(int(first), int(last) if last.isdecimal() else int(first))
        if error.code in PERMANENT:
            self._counters["refused"] += self.ring.forget(seqs)
        else:
            self.ring.set_due(seqs, now_ms + wait_ms)

    def _sent(self, seqs: Sequence[int], now_ms: int) -> None:
        self.ring.set_due(seqs, now_ms + self._patience.resend_ms)

    def _in_flight(self, now_ms: int) -> bool:
        return self.ring.waiting(now_ms) < len(self.ring)
