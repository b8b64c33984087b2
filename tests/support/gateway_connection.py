"""One device's connection to a gateway, in memory: our WebSocket engine and the library's."""

import asyncio
from typing import Any

from websockets.http11 import Request
from websockets.protocol import CONNECTING

from schemas.assets import Device, Site
from tests.support.websocket_frames import (
    UPGRADE,
)
from vpp_streams.domain.moments import Now
from vpp_streams.gateway import stock_engine
from vpp_streams.gateway.admission import Admitted
from vpp_streams.gateway.connection import Connection, new_machine
from vpp_streams.gateway.seam import Door, Receiver, Reply, Socket

ADMITTED = Admitted(Device("d1", "solar"), Site("s1", "north"))
"""The only device that these gateways let in."""


class Transport(asyncio.Transport):
    """A TCP connection that keeps what is written to it; it fails where reading is paused twice."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


class OwnGateway:
    """A gateway with one connection of our own engine; it keeps the messages it receives."""

    def __init__(self) -> None:
        self.door: Door = self
        self.room = asyncio.Event()
        self.room.set()
        self.listening = True
        self.closing = False
        self.messages: list[bytes] = []
        self.fill_after: int | None = None
        """There is no room once this many messages have come."""
        self.waiting: list[Connection] = []
        self.ends: list[int | None] = []
        self.transport = Transport()
        self.connection = Connection(self)
        self.connection.connection_made(self.transport)

    def connection_opened(self) -> None: ...

    def wait_for_room(self, connection: Connection) -> None:
        self.waiting.append(connection)

    def connection_closed(self, receiver: Receiver | None, close_code_sent: int | None) -> None:
        self.ends.append(close_code_sent)

    def answer(self, request: Request, transport: asyncio.BaseTransport) -> Admitted | Reply:
        return reply_to(request) or ADMITTED

    def opened(self, admitted: Admitted, socket: Socket) -> "OwnGateway":
        return self

    def receive(self, data: bytes, now: Now) -> None:
        assert self.room.is_set() or self.closing
        self.messages.append(data)
        if self.fill_after is not None and len(self.messages) >= self.fill_after:
            self.room.clear()

    async def closed(self, close_code_sent: int | None) -> None: ...

    def too_much(self, why: str) -> None:
        self.connection.close(1008, why)

    def does_not_read(self) -> None:
        self.connection.abort()

    def make_room(self) -> None:
        """Accept messages again, and let the connections that waited for that go on."""
        self.fill_after = None
        self.room.set()
        for connection in self.waiting:
            connection.has_room()


def reply_to(request: Request) -> Reply | None:
    """Return the refusal of a request, or None for the one path that is open."""
    return None if request.path == "/v1/d1" else Reply(404, {"error": "no"}, {"X-Why": "test"})


def connected_gateway() -> OwnGateway:
    """Return a gateway of our engine whose connection is open, with nothing written yet."""
    peer = OwnGateway()
    peer.connection.data_received(UPGRADE)
    assert peer.transport.written.startswith(b"HTTP/1.1 101 ")
    peer.transport.written = b""
    return peer


class Clock:
    """A clock that stands still until the test sets it."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> Now:
        return Now(self.ms, self.ms)


class StubServer:
    """The part of the library's server that one connection needs."""

    def __init__(self) -> None:
        self.handler_tasks: set[Any] = set()

    def is_serving(self) -> bool:
        return True

    async def handler(self, connection: stock_engine.MeteredConnection) -> None:
        await connection.handshake(None, None, None)


class StockTransport(Transport):
    """A TCP connection as the library's engine uses it, which may pause reading twice."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class StockGateway:
    """A gateway with one connection of the library's engine; it keeps the reasons of floods."""

    def __init__(self) -> None:
        self.transport = StockTransport()
        self.floods: list[str] = []
        server: Any = StubServer()
        self.connection = stock_engine.MeteredConnection(new_machine(CONNECTING), server)
        self.connection.connection_made(self.transport)

    async def open(self) -> "StockGateway":
        """Complete the WebSocket handshake and forget what was written for it."""
        self.connection.data_received(UPGRADE)
        await asyncio.gather(*self.connection.server.handler_tasks)
        assert self.transport.written.startswith(b"HTTP/1.1 101 ")
        self.transport.written = b""
        self.connection.receiver = self
        return self

    def receive(self, data: bytes, now: Now) -> None: ...

    async def closed(self, close_code_sent: int | None) -> None: ...

    def too_much(self, why: str) -> None:
        self.floods.append(why)

    def does_not_read(self) -> None:
        self.transport.abort()
