"""One WebSocket connection of the gateway's own engine: an `asyncio.Protocol`, no task.

A message in one whole, sound frame, which is what devices send, is read here and handed on at
once. All else (handshakes, control frames, fragments, whatever is wrong, closing) is left to the
library's `ServerProtocol`, the *machine*, so the rules are the library's. A machine lives only as
long as it is needed: between two messages an open connection has no other state, so a new one
that begins open goes on where the last one ended. It is given whole frames, and is so known to
stand between two, until it has *the last word*: from the first byte that is not sound or the
first close frame on, all bytes are its.

A text message that is not UTF-8 ends the connection with 1007, as RFC 6455 has it.

Every frame takes from the connection's budget (`vpp_streams.gateway.budget`), also those that come
after our close frame. When it is empty, the device is sent a close frame and nothing more is read.
"""

import asyncio
from typing import Protocol, cast

import structlog
from websockets import Request
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.protocol import CLOSING, CONNECTING, OPEN, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from schemas.protocol import MAX_MESSAGE_BYTES, SUBPROTOCOL
from vpp_streams.clock import now
from vpp_streams.gateway.budget import (
    EXTRA_COST,
    TOO_MANY_FRAGMENTS,
    TOO_MANY_FRAMES,
    FrameBudget,
    FrameMeter,
)
from vpp_streams.gateway.framing import (
    LENGTH,
    MASKED,
    SOUND,
    WHOLE,
    WHOLE_TEXT,
    Fragments,
    is_utf8,
    only_text,
    text_frame,
    unmasked,
)
from vpp_streams.gateway.seam import (
    CLOSE_TIMEOUT_S,
    MAX_UNSENT_BYTES,
    OPEN_TIMEOUT_S,
    Door,
    Receiver,
    Reply,
    engine_log,
    response_of,
)

log = structlog.get_logger()

CLOSE_INTERNAL_ERROR = 1011
CLOSE_NOT_UTF8 = 1007


class Owner(Protocol):
    """What connections share."""

    door: Door
    listening: bool

    def connection_opened(self) -> None:
        """Handle the start of a connection."""

    def wait_for_room(self, connection: "Connection") -> None:
        """Call ``has_room`` of this connection once there is room."""

    def connection_closed(self, receiver: Receiver | None, close_code_sent: int | None) -> None:
        """Handle the end of a connection."""


class Connection(asyncio.Protocol):
    """One device's WebSocket; a `vpp_streams.gateway.seam.Socket`."""

    __slots__ = (
        "_budget",
        "_discards",
        "_ending",
        "_fragments",
        "_last_word",
        "_machine",
        "_meter",
        "_owner",
        "_paused",
        "_receiver",
        "_rest",
        "_timer",
        "_transport",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport = cast(asyncio.Transport, None)  # until connection_made
        self._receiver: Receiver | None = None  # until the handshake is done
        self._machine: ServerProtocol | None = new_machine(CONNECTING)
        self._last_word = False
        self._rest = b""  # of data: the beginning of a frame, or what waits for room
        self._fragments: Fragments | None = None
        self._budget = FrameBudget(now().mono_ms)
        self._meter: FrameMeter | None = None  # of bytes received after our close frame
        self._discards = False  # nothing more is read
        self._ending = False  # the end has its time, which nothing puts off
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    # As a Socket

    def send_text(self, data: bytes) -> None:
        """Send a text message; none goes out once the connection is closing."""
        if not self._is_open():
            return
        self._transport.write(text_frame(data))

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; the connection is cut if that takes too long."""
        if not self._is_open():
            return
        machine = self._machine or new_machine(OPEN)
        machine.send_close(code, reason)
        self._last_word = True
        if self._paused:  # or we would not see the answer
            self._paused = False
            self._transport.resume_reading()
        rest, self._rest = self._rest, b""
        self._feed(machine, rest)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self._transport.abort()

    def unsent_bytes(self) -> int:
        """What was sent and the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def _is_open(self) -> bool:
        machine = self._machine
        return (machine is None or machine.state is OPEN) and not self._transport.is_closing()

    # As an asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, and TLS if there is any, stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._cut_in(OPEN_TIMEOUT_S)
        self._owner.connection_opened()

    def data_received(self, data: bytes) -> None:
        """Bytes, cut anywhere."""
        try:
            if self._discards:
                return
            if self._last_word:
                self._feed(self._machine or new_machine(OPEN), data)
            elif self._receiver is None:
                self._shake_hands(data)
            elif self._paused:
                self._rest += data
            else:
                if self._rest:
                    # Taken out: whoever closes meanwhile must not find bytes that were read.
                    data, self._rest = self._rest + data, b""
                if not self._read_one(self._receiver, data):
                    self._read(self._receiver, data)
        except Exception:
            log.exception("bug: a connection could not take its data")
            self.close(CLOSE_INTERNAL_ERROR, "") if self._is_open() else self.abort()

    def eof_received(self) -> None:
        """The device sends no more; the transport closes by itself after this."""
        machine = self._machine or new_machine(OPEN)
        if self._receiver is not None and self._rest:
            machine.receive_data(self._rest)
        machine.receive_eof()
        self._last_word = True
        self._feed(machine)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is over, whoever ended it."""
        if self._timer is not None:
            self._timer.cancel()
        sent = self._machine and self._machine.close_sent
        receiver, self._receiver = self._receiver, None
        self._paused, self._last_word = False, True
        self._owner.connection_closed(receiver, int(sent.code) if sent else None)

    def has_room(self) -> None:
        """There is room again: take in what had to wait, and read on."""
        if not self._paused:
            return
        self._paused = False
        rest, self._rest = self._rest, b""
        self.data_received(rest)
        if not self._paused:
            self._transport.resume_reading()

    # Frames

    def _read_one(self, receiver: Receiver, data: bytes) -> bool:
        """Hand on a read that is one whole message.

        False says only that `_read` has to be used; nothing has changed then.
        """
        budget = self._budget
        if self._machine is not None or budget.tokens < 1 or not self._owner.door.room.is_set():
            return False
        message = only_text(data)
        if message is None:
            return False
        budget.tokens -= 1
        receiver.receive(message, now())
        return True

    # One loop, because each call for each frame is paid by every reading (ADR 11).
    def _read(self, receiver: Receiver, data: bytes) -> None:  # noqa: C901, PLR0912, PLR0915
        """Hand on the messages in ``data``, which begins between two frames."""
        room, moment, budget = self._owner.door.room, now(), self._budget
        left, cost, why = budget.tokens, 0, ""
        limit = MAX_MESSAGE_BYTES if self._machine is None else self._limit()
        at, size = 0, len(data)
        while size - at >= 2 and not self._last_word:
            if not room.is_set():
                self._pause()
                break
            first, second, begin = data[at], data[at + 1], at + 6
            if first not in SOUND or second < MASKED:
                self._last_word = True
                break
            length = second & LENGTH
            if length >= 126:
                begin += 2 if length == 126 else 8
                if begin - 4 > size:
                    break
                length = int.from_bytes(data[at + 2 : begin - 4], "big")
            if length > limit:
                self._last_word = True
                break
            end = begin + length
            if end > size:
                break
            whole = first in WHOLE
            cost += 1 if whole else EXTRA_COST
            if cost > left:
                left = budget.refill(moment.mono_ms)
                if cost > left:
                    why = TOO_MANY_FRAMES
                    break
            if whole and self._machine is None:
                at = end
                message = unmasked(data[begin:end], data[begin - 4 : begin])
                if not message.isascii() and first == WHOLE_TEXT and not is_utf8(message):
                    self._fail(new_machine(OPEN), CLOSE_NOT_UTF8, "text must be UTF-8")
                    break
                receiver.receive(message, moment)
            elif budget.another(first):
                self._feed(self._machine or new_machine(OPEN), data[at:end])
                at, limit = end, self._limit()
            else:
                why = TOO_MANY_FRAGMENTS
                break
        if at == 0 and size and not (why or self._paused or self._last_word):
            cost += 1  # a read without a whole frame
            if cost > left and cost > budget.refill(moment.mono_ms):
                why = TOO_MANY_FRAMES
        if why:
            self._cut_off(receiver, why)
            return
        budget.tokens -= cost
        if self._last_word:
            self._feed(self._machine or new_machine(OPEN), data[at:])
        else:
            self._rest = data[at:]

    def _cut_off(self, receiver: Receiver, why: str) -> None:
        """Too much: say so and read nothing more, or its closing would cost as much again."""
        receiver.too_much(why)
        self._discards, self._rest = True, b""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self._end_soon()

    def _fail(self, machine: ServerProtocol, code: int, reason: str) -> None:
        """End the connection for what the device sent, as the machine does for unsound frames."""
        machine.fail(code, reason)
        self._last_word = True
        self._feed(machine)

    def _limit(self) -> int:
        """The longest frame that may come next."""
        so_far = 0 if self._machine is None else self._machine.current_size or 0
        return MAX_MESSAGE_BYTES - so_far

    def _feed(self, machine: ServerProtocol, data: bytes = b"") -> None:
        """Feed bytes to the machine, and act on its events."""
        self._machine = machine
        if (
            data
            and machine.state is CLOSING
            and not machine.eof_sent
            and not self._within_budget(data)
        ):
            self._discards = True
            self._transport.abort()
            return
        if data:
            machine.receive_data(data)
        self._write(machine)
        for event in machine.events_received():
            if isinstance(event, Frame) and event.opcode in (0, 1, 2):
                self._gather(event)
        if machine.state is not OPEN:
            self._last_word = True
            if machine.close_expected():
                self._end_soon()
        elif not self._last_word and machine.current_size is None:
            self._machine = None

    def _within_budget(self, data: bytes) -> bool:
        """Whether the budget has room for bytes received after our close frame."""
        if self._meter is None:
            self._meter = FrameMeter(self._budget)
        return self._meter.allow(data, now().mono_ms) == len(data)

    def _gather(self, frame: Frame) -> None:
        """Hand on a message once all its fragments are there."""
        if self._fragments is None:
            self._fragments = Fragments(frame)
        is_text, message = self._fragments.is_text, self._fragments.add(frame)
        if message is None:
            return
        self._fragments = None
        machine = self._machine
        if is_text and not is_utf8(message) and machine is not None:
            if machine.state is OPEN:
                self._fail(machine, CLOSE_NOT_UTF8, "text must be UTF-8")
        elif self._receiver is not None:
            self._receiver.receive(message, now())

    def _write(self, machine: ServerProtocol) -> None:
        for data in machine.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                try:
                    self._transport.write_eof()
                except (OSError, RuntimeError):  # the device was faster
                    self._transport.abort()
            else:
                self._transport.close()  # TLS cannot close one side only
        # Pongs that nobody reads are no other than messages that nobody reads.
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._receiver.does_not_read() if self._receiver is not None else self.abort()

    # The rest of a connection's life

    def _shake_hands(self, data: bytes) -> None:
        """Give the machine no byte beyond the request: it then stands between two frames."""
        assert self._machine is not None
        machine, seen = self._machine, self._rest + data
        end = seen.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end + 4 - len(self._rest)
        self._rest = seen[-3:]
        machine.receive_data(data[:size])
        for event in machine.events_received():
            assert isinstance(event, Request)
            self._answer(machine, event)
        self._write(machine)
        if machine.state is OPEN:
            self._machine, self._rest = None, b""
            self.data_received(data[size:])
        elif machine.eof_sent:
            self._last_word = True
            self._end_soon()

    def _answer(self, machine: ServerProtocol, request: Request) -> None:
        door = self._owner.door
        answer = door.answer(request, self._transport)
        if isinstance(answer, Reply):
            machine.send_response(response_of(machine, answer))
            return
        response: Response = machine.accept(request)
        if response.status_code == 101 and not self._owner.listening:
            response = machine.reject(503, "Server is shutting down.\n")
        machine.send_response(response)
        if machine.state is OPEN:
            self._write(machine)
            assert self._timer is not None
            self._timer.cancel()
            self._timer = None
            self._receiver = door.opened(answer, self)

    def _pause(self) -> None:
        self._paused = True
        self._transport.pause_reading()
        self._owner.wait_for_room(self)

    def _end_soon(self) -> None:
        """Cut the connection after a time if it does not end by itself."""
        if not self._ending:
            self._ending = True
            self._cut_in(CLOSE_TIMEOUT_S)

    def _cut_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)


def new_machine(state: State) -> ServerProtocol:
    """A machine of the gateway's rules, before the handshake or between two messages."""
    return ServerProtocol(
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        state=state,
        max_size=MAX_MESSAGE_BYTES,
        logger=engine_log(),
    )
