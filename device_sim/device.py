"""The device's side of ``vpp.v1`` as a state machine without I/O.

A shell tells it what was measured, what came in and what time it is; it answers with the
messages to send. Its promise: a reading is let go of only when an Ack covers it, when the gateway
says that it will never take it, or when the ring is full. Live readings go at once; whatever the
link lost goes as Backfill beside them, at the pace that the gateway told. Commands are answered
at once; what became of them is told until an answer says that it was heard.
"""

import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from device_sim.reports import Reports
from device_sim.ring import Ring
from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
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
from schemas.telemetry import NativeBody, VendorBody
from schemas.wire import decode, decode_result, encode_call, encode_result, encode_send

CHUNK_ROWS = 80
"""Rows of one Backfill: stays under the protocol's message size with every column filled."""
_HELLO_ID = "hello"
_HELD_ROWS = 5
_LEAVE_WITHIN_MS = 2000
_CLOCK_SLACK = 1 / 64
_CLOCK_SET_MS = 120_000
"""A gateway's clock that falls back by more was set: no connection holds a message up for so long.
Else its devices would take every command for expired until they have forgotten the wrong time."""
_KEYS = NativeBody.__struct_fields__


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a device waits, ms."""

    reconnect_first_ms: int = 1000
    """Most before the first attempt; doubles with each one (full jitter: drawn from 0 up)."""
    reconnect_most_ms: int = 60_000
    resend_ms: int = 60_000
    """A reading sent and neither acked nor refused for this long goes again."""
    refused_ms: int = 5_000
    """As above, after an error that says: later."""


class Controls(Protocol):
    """Who acts on commands: see `device_sim.leases.LeaseOf`."""

    @property
    def last_command(self) -> str:
        """Id of the newest command that was taken; "" = none."""

    def offer(
        self, command_id: str, setpoint: Setpoint, now_ms: int, epoch: int | None
    ) -> SetpointResult:
        """A command has come over the connection ``epoch``; ``now_ms`` by the gateway's clock."""

    def take_prices(self, prices: Prices) -> None:
        """The device was told prices."""


class State(Enum):
    """Where the connection is in its life."""

    OFFLINE = auto()
    WAITING_FOR_HELLO = auto()
    LIVE = auto()
    LEAVING = auto()


@dataclass(slots=True)
class Step:
    """What the shell has to do now: send these, then close if it says so."""

    send: list[bytes] = field(default_factory=list)
    close: bool = False


class Device:
    """One device from its start (boot) to its end, over any number of connections.

    ``now_ms`` is a clock that never goes back; readings carry the device's own time.
    ``counters`` (shared by a fleet) count ``made``, ``acked``, ``dropped``,
    ``refused``, ``backfilled``, ``reconnects``, ``setpoint_<status>`` and ``reports_<fate>``,
    among others.
    """

    def __init__(
        self,
        boot: str,
        model: str,
        firmware: str,
        *,
        rng: random.Random,
        counters: Counter[str],
        controls: Controls,
        ring_capacity: int = 3600,
        patience: Patience | None = None,
    ) -> None:
        self.boot = boot
        self.state = State.OFFLINE
        self.interval_ms = 1000
        """Make one reading this often."""
        self.ring = Ring(ring_capacity)
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
        """A new reading; ``vendor`` is the form it takes live (Backfill is always native)."""
        live = self.state is State.LIVE
        seq, dropped = self.ring.add(body, now_ms + self._patience.resend_ms if live else 0)
        self._counters["made"] += 1
        self._counters["dropped"] += dropped
        if self.state not in (State.LIVE, State.WAITING_FOR_HELLO):
            return Step()
        message = self._telemetry(seq, body, vendor)
        if live:
            return Step([message])
        self._held.append((seq, message))
        return Step()

    def report(self, status: CommandStatus, now_ms: int) -> Step:
        """Tell what became of a command: now, or when there is a link."""
        self._counters["reports_dropped"] += self._reports.add(status)
        return Step(self._reports_due(now_ms))

    def gateway_ms(self, now_ms: int) -> int | None:
        """The gateway's clock, ms UTC, as reckoned from what it last told; None = it never did."""
        ahead_ms = self._gateway_ahead_ms
        return None if ahead_ms is None else now_ms + round(ahead_ms)

    def connected(self, utc_ms: int) -> Step:
        """The link is up: say Hello. ``utc_ms`` is the device's own clock."""
        self.state = State.WAITING_FOR_HELLO
        self._epoch = None
        self._held.clear()
        self._counters["reconnects" if self._was_connected else "first_connects"] += 1
        self._was_connected = True
        hello = Hello(
            boot=self.boot,
            next_seq=self.ring.next_seq,
            oldest_seq=self.ring.oldest_seq,
            model=self._model,
            fw=self._firmware,
            last_cmd=self._controls.last_command,
            untold=self._reports.command_ids()[-MAX_UNTOLD:],
            t=utc_ms,
        )
        return Step([encode_call(_HELLO_ID, hello)])

    def disconnected(self, close_code: int | None = None) -> float | None:
        """The link is gone or did not come up; ms to wait before the next try, None = never."""
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
        if close_code in (CLOSE_ABUSE, CLOSE_UNKNOWN_DEVICE):  # sooner would be no better
            return self._rng.uniform(patience.reconnect_most_ms / 2, patience.reconnect_most_ms)
        ceiling = patience.reconnect_first_ms * 2 ** min(self._attempts, 30)
        self._attempts += 1
        return self._rng.uniform(0, min(ceiling, patience.reconnect_most_ms))

    def received(self, data: bytes | str, now_ms: int) -> Step:
        """A message from the gateway; one that makes no sense is counted and left."""
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
                heard = self._reports.forget(id_)
                self._counters["reports_heard" if heard else "not_understood"] += 1
            case Error(id_, code) if id_ == _HELLO_ID:
                self._counters[f"hello_{code}"] += 1
                return Step(close=True)
            case Error() as error:
                self._on_error(error, now_ms)
            case _:
                self._counters["not_understood"] += 1
        return Step()

    def tick(self, now_ms: int) -> Step:
        """Time has passed: what is due to be sent, or the end of a drained connection."""
        if self.state is State.LEAVING:
            return Step(close=now_ms >= self._leave_at_ms or not self._in_flight(now_ms))
        step = Step(self._reports_due(now_ms))
        if self.state is State.LIVE and len(self.ring) and self._backfill_at_ms <= now_ms:
            # Time that was not used is not saved up for longer than a second.
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
        bodies = [self.ring[seq] for seq in run]
        cols = [key for key in _KEYS if any(getattr(body, key) is not None for body in bodies)]
        backfill = Backfill(
            b=self.boot,
            from_=run.start,
            cols=cols,
            rows=[[getattr(body, key) for key in cols] for body in bodies],
            more=bool(self.ring.due_run(now_ms, 1)),
        )
        return encode_send(f"{run.start}-{run.stop - 1}", backfill)

    def _telemetry(self, seq: int, body: NativeBody, vendor: VendorBody | None) -> bytes:
        if vendor is None:
            values = {key: getattr(body, key) for key in _KEYS}
            return encode_send(str(seq), Telemetry(b=self.boot, s=seq, **values))
        wrapped = VendorTelemetry(
            b=self.boot, s=seq, vendor=vendor.vendor, body=vendor.body, t=vendor.t, iv=vendor.iv
        )
        return encode_send(str(seq), wrapped)

    def _on_hello_result(self, result: Result, now_ms: int) -> Step:
        accepted = decode_result(result, HelloResult)
        if isinstance(accepted, Malformed) or self.state is not State.WAITING_FOR_HELLO:
            return Step(close=True)
        self.state = State.LIVE
        self._attempts = 0
        self._epoch = accepted.epoch
        self._gateway_ahead_ms = float(accepted.t - now_ms)
        self.interval_ms = max(accepted.interval_ms, 1)
        self._pace = BackfillPace(accepted.backfill.delay_ms, max(accepted.backfill.rows_per_s, 1))
        self._backfill_at_ms = now_ms + round(self._rng.uniform(*self._pace.delay_ms))
        # What was measured since Hello is still live.
        self._sent([seq for seq, _ in self._held], now_ms)
        return Step([message for _, message in self._held] + self._reports_due(now_ms))

    def _on_setpoint(self, id_: str, setpoint: Setpoint, now_ms: int) -> Step:
        at_ms = self.gateway_ms(now_ms)
        # Before its Hello is answered a device has no epoch, so nothing is taken.
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
            # What came late says less than what came at once: up at once, down slowly.
            off_ms = ack.t - now_ms - self._gateway_ahead_ms
            at_once = off_ms > 0 or off_ms < -_CLOCK_SET_MS
            self._gateway_ahead_ms += off_ms if at_once else off_ms * _CLOCK_SLACK
        if ack.b == self.boot:
            self._counters["acked"] += self.ring.forget(self.ring.within(ack.from_, ack.upto))
        return Step(close=self.state is State.LEAVING and not self._in_flight(now_ms))

    def _on_drain(self, id_: str, drain: Drain, now_ms: int) -> Step:
        """Send no more, wait a little for the acks of what was sent, then leave."""
        self.state = State.LEAVING
        self._leave_at_ms = now_ms + _LEAVE_WITHIN_MS
        self._drained_ms = self._rng.uniform(*drain.reconnect_in_ms)
        return Step([encode_result(id_, {})], close=not self._in_flight(now_ms))

    def _on_error(self, error: Error, now_ms: int) -> None:
        """One of our messages was refused: for good, or until later."""
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
