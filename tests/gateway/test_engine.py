"""The gateway's WebSocket engine against the library's: same bytes in, same everything out."""

import itertools
import math
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol

from schemas.protocol import MAX_MESSAGE_BYTES
from tests.support.gateway_connection import OwnGateway, connected_gateway, reply_to
from tests.support.websocket_frames import (
    KEY,
    NOT_UTF8,
    UPGRADE,
    chunks,
    cuts,
    frame,
    frame_size,
    small,
    streams,
)
from vpp_streams.domain.moments import Now
from vpp_streams.gateway import budget
from vpp_streams.gateway.connection import new_machine
from vpp_streams.gateway.seam import response_of

FUZZ = settings(max_examples=400, derandomize=True, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def frames_for_nothing() -> Iterator[None]:
    """Let a connection receive any number of frames, as the library does, which has no budget."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "FRAMES_BURST", math.inf)
        patch.setattr(budget, "MAX_FRAGMENTS", math.inf)
        yield


class Oracle:
    """The library's state machine, driven as its own asyncio engine drives it, a frame at a time.

    A frame at a time, because text that is not UTF-8 ends the connection before the next frame.
    """

    def __init__(self, machine: ServerProtocol) -> None:
        self.machine = machine
        self.messages: list[bytes] = []
        self.written = b""
        self.ended = False
        self._parts: list[bytes] = []
        self._text = False
        self._opening = machine.state is CONNECTING
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        if self._opening:
            seen = self._waiting + data
            end = seen.find(b"\r\n\r\n")
            size = len(data) if end < 0 else end + 4 - len(self._waiting)
            self._opening, self._waiting = end < 0, seen[-3:] if end < 0 else b""
            self._take(data[:size])
            data = data[size:]
        while data:
            missing = frame_size(self._waiting) - len(self._waiting)
            size = len(data) if self.machine.eof_sent else missing
            self._take(data[:size])
            self._waiting += data[:size]
            if len(self._waiting) == frame_size(self._waiting):
                self._waiting = b""
            data = data[size:]

    def _take(self, data: bytes) -> None:
        self.machine.receive_data(data)
        events = self.machine.events_received()
        self.flush()
        for event in events:
            if isinstance(event, Request):
                reply = reply_to(event)
                answer = response_of(self.machine, reply) if reply else self.machine.accept(event)
                self.machine.send_response(answer)
                self.flush()
            elif cast(Frame, event).opcode in (0, 1, 2):
                self._gather(cast(Frame, event))

    def _gather(self, event: Frame) -> None:
        if not self._parts:
            self._text = event.opcode == 1
        self._parts.append(bytes(event.data))
        if not event.fin:
            return
        message, self._parts = b"".join(self._parts), []
        try:
            message.decode()
        except UnicodeDecodeError:
            if self._text:
                if self.machine.state is OPEN:
                    self.machine.fail(1007, "text must be UTF-8")
                    self.flush()
                return
        self.messages.append(message)

    def eof(self) -> None:
        self.machine.receive_eof()
        self.flush()

    def flush(self) -> None:
        for data in self.machine.data_to_send():
            self.written += data
            self.ended = self.ended or not data

    def send(self, data: bytes) -> None:
        if self.machine.state is OPEN:
            self.machine.send_text(data)
            self.flush()

    def close(self, code: int, reason: str) -> None:
        if self.machine.state is OPEN:
            self.machine.send_close(code, reason)
            self.flush()


def check(ours: OwnGateway, stock: Oracle) -> None:
    assert ours.messages == stock.messages
    assert ours.transport.written == stock.written
    assert ours.transport.ended == stock.ended


SERVER = st.sampled_from(["", "", "", "text", "close"])


SHIFTED = b"\x00" + frame(1, b"y" * 16_385)
"""Its first byte makes hundreds of small frames of the bytes of one large one."""


@FUZZ
@example(SHIFTED, [1], ["close"], False)
@given(streams, cuts, st.lists(SERVER, max_size=14), st.booleans())
async def test_any_bytes_cut_anywhere(
    stream: bytes, at: list[int], server: list[str], eof: bool
) -> None:
    ours, stock = connected_gateway(), Oracle(new_machine(OPEN))
    for i, chunk in enumerate(chunks(stream, at)):
        ours.connection.data_received(chunk)
        stock.feed(chunk)
        check(ours, stock)
        match server[i] if i < len(server) else "":
            case "text":
                for size in (0, 125, 126, 65535, 65536):
                    ours.connection.send_text(b"t" * size)
                    stock.send(b"t" * size)
            case "close":
                ours.connection.close(1001, "why")
                stock.close(1001, "why")
        check(ours, stock)
    if eof:
        ours.connection.eof_received()
        stock.eof()
        check(ours, stock)
    ours.connection.connection_lost(None)
    sent = stock.machine.close_sent
    assert ours.ends == [None if sent is None else sent.code]


@pytest.mark.parametrize("before", [b"", frame(1, b"x" * (MAX_MESSAGE_BYTES - 100), fin=False)])
async def test_every_first_byte_with_every_kind_of_length(before: bytes) -> None:
    lengths = (0, 5, 100, 101, 125, 126, 127)
    for first, masked, length in itertools.product(range(256), (0, 128), lengths):
        ours, stock = connected_gateway(), Oracle(new_machine(OPEN))
        ours.connection.data_received(before)
        stock.feed(before)
        for byte in (first, masked | length, *b"\0\0\x40\x01\0\0\0\x09 up to its end and more"):
            ours.connection.data_received(bytes((byte,)))
            stock.feed(bytes((byte,)))
            check(ours, stock)
        ours.connection.data_received(b"z" * 200)
        stock.feed(b"z" * 200)
        check(ours, stock)


@FUZZ
@given(streams, cuts, st.integers(1, 4))
async def test_what_waits_for_room_is_neither_lost_nor_turned_around(
    stream: bytes, at: list[int], fill_after: int
) -> None:
    ours, stock = connected_gateway(), Oracle(new_machine(OPEN))
    ours.fill_after = fill_after
    for chunk in chunks(stream, at):
        ours.connection.data_received(chunk)
        stock.feed(chunk)
    assert len(ours.messages) <= fill_after
    if len(stock.messages) > fill_after:
        assert ours.transport.paused
    ours.make_room()
    assert not ours.transport.paused
    check(ours, stock)


requests = st.one_of(
    st.just(UPGRADE),
    st.just(UPGRADE.replace(b"/v1/d1", b"/v1/d2")),
    st.just(UPGRADE.replace(b"13", b"12")),
    st.just(UPGRADE.replace(b"GET", b"PUT")),
    st.just(UPGRADE.replace(b"vpp.v1", b"other, vpp.v1")),
    st.just(KEY + b"\r\n"),
    st.just(KEY.replace(b"x", b"x" * 9000)),
    st.just(UPGRADE.replace(b"\r\n", b"\n")),
    st.builds(lambda n, what: UPGRADE[:n] + what + UPGRADE[n:], st.integers(0, 150), small),
    st.binary(max_size=200),
)


def without_date(written: bytes) -> list[bytes]:
    return [line for line in written.split(b"\r\n") if not line.startswith(b"Date:")]


@FUZZ
@given(requests, cuts, streams, cuts)
async def test_any_request_cut_anywhere(
    request: bytes, at: list[int], stream: bytes, at_then: list[int]
) -> None:
    ours, stock = OwnGateway(), Oracle(new_machine(CONNECTING))
    for chunk in [*chunks(request, at), *chunks(stream, at_then)]:
        ours.connection.data_received(chunk)
        stock.feed(chunk)
        assert without_date(ours.transport.written) == without_date(stock.written)
        assert ours.transport.ended == stock.ended
        assert ours.messages == stock.messages


async def test_what_comes_right_behind_the_request_is_read() -> None:
    ours = OwnGateway()
    ours.connection.data_received(UPGRADE + frame(1, b"early") + frame(9, b"p")[:3])
    ours.connection.data_received(frame(9, b"p")[3:])
    assert ours.messages == [b"early"]
    head, _, rest = ours.transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == b"\x8a\x01p"


async def test_nobody_is_let_in_during_a_stop() -> None:
    ours = OwnGateway()
    ours.listening = False
    ours.connection.data_received(UPGRADE)
    assert ours.transport.written.startswith(b"HTTP/1.1 503 ")
    assert ours.transport.ended


@pytest.mark.parametrize("text", NOT_UTF8)
@pytest.mark.parametrize("at", [None, 1])
async def test_text_that_is_not_utf8_ends_with_1007(text: bytes, at: int | None) -> None:
    ours = connected_gateway()
    whole = frame(1, text) if at is None else frame(1, text[:at], fin=False) + frame(0, text[at:])
    ours.connection.data_received(whole + frame(1, b"more"))
    assert ours.transport.written[2:4] == (1007).to_bytes(2, "big")
    assert ours.messages == []
    ours.connection.connection_lost(None)
    assert ours.ends == [1007]


async def test_a_binary_message_need_not_be_text_and_text_may_be_cut_within_a_letter() -> None:
    ours = connected_gateway()
    ours.connection.data_received(frame(2, b"\xff"))
    ours.connection.data_received(frame(1, b"\xce", fin=False) + frame(0, b"\xba"))
    assert ours.messages == [b"\xff", b"\xce\xba"]


async def test_a_close_by_the_session_amid_a_read_understands_what_follows() -> None:
    ours = connected_gateway()
    closing = frame(1, b"close")
    receive = ours.receive

    def receive_and_close(data: bytes, now: Now) -> None:
        receive(data, now)
        ours.connection.close(1008, "")

    ours.receive = receive_and_close  # type: ignore[method-assign]
    ours.connection.data_received(closing[:4])
    ours.connection.data_received(closing[4:] + frame(8, b"\x03\xf0"))
    assert ours.transport.written == b"\x88\x02\x03\xf0"
    assert ours.transport.ended, "the device's answer is seen, so TCP ends at once"


async def test_a_bug_behind_the_connection_ends_it_alone() -> None:
    ours = connected_gateway()
    ours.receive = None  # type: ignore[method-assign, assignment]  # calling it raises
    ours.connection.data_received(frame(1, b"m"))
    assert ours.transport.written == b"\x88\x02\x03\xf3"


async def test_a_close_while_there_is_no_room_sees_the_answer() -> None:
    ours = connected_gateway()
    ours.fill_after = 1
    ours.connection.data_received(frame(1, b"a") + frame(1, b"b"))
    assert ours.transport.paused
    ours.closing = True  # what still comes is for the session to ignore
    ours.connection.close(1001, "")
    assert not ours.transport.paused
    ours.room.set()
    ours.connection.data_received(frame(8, b"\x03\xe9"))
    assert ours.transport.ended
