"""The library's own WebSocket engine behind the gateway's seam: a task per connection.

What the gateway's own engine is measured and tested against, and what to fall back on
(``VPP_GATEWAY_ENGINE=stock``). It holds the same budgets (`vpp_streams.gateway.budget`): bytes
are metered before the library parses them.
"""

import asyncio
import ssl
from typing import Any
from weakref import WeakKeyDictionary

from websockets import Request, Response
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from schemas.protocol import MAX_MESSAGE_BYTES, SUBPROTOCOL
from vpp_streams.clock import now
from vpp_streams.gateway.admission import Admitted
from vpp_streams.gateway.budget import FrameBudget, FrameMeter
from vpp_streams.gateway.seam import (
    BACKLOG,
    CLOSE_TIMEOUT_S,
    MAX_UNSENT_BYTES,
    OPEN_TIMEOUT_S,
    Door,
    Receiver,
    Reply,
    engine_log,
    response_of,
)
from vpp_streams.settings import Settings


class MeteredConnection(ServerConnection):
    """The library's connection with a budget of frames."""

    def __init__(self, protocol: ServerProtocol, server: Server, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        self.receiver: Receiver | None = None
        """Set once the handshake is done."""
        self._meter = FrameMeter(FrameBudget(now().mono_ms))
        self._request: bytes | None = b""
        """The last bytes of the request that have come; None = all of it has."""

    def data_received(self, data: bytes) -> None:
        """Bytes, cut anywhere; what the budget has no room for is left out."""
        if self._meter.why:
            return
        begin = self._end_of_request(data)
        frames = data[begin:]
        if self.protocol.eof_sent or self._request is not None:
            allowed = len(frames)  # parsed no more, or by nobody yet
        else:
            allowed = self._meter.allow(frames, now().mono_ms) if frames else 0
        super().data_received(data[: begin + allowed])
        if allowed < len(frames):
            self._cut_off()
        elif self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.receiver.does_not_read() if self.receiver else self.transport.abort()

    def _end_of_request(self, data: bytes) -> int:
        """Where frames begin in ``data``."""
        if self._request is None:
            return 0
        seen = self._request + data
        end = seen.find(b"\r\n\r\n")
        if end < 0:
            self._request = seen[-3:]
            return len(data)
        begin = end + 4 - len(self._request)
        self._request = None
        return begin

    def _cut_off(self) -> None:
        if self.protocol.state is OPEN and self.receiver is not None:
            self.receiver.too_much(self._meter.why)
        else:
            self.transport.abort()


class StockSocket:
    """One connection of the library, as a `vpp_streams.gateway.seam.Socket`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._closing: asyncio.Task[None] | None = None

    def send_text(self, data: bytes) -> None:
        """Send a text message; none goes out once the connection is closing."""
        # The library's one call that writes without a task.
        broadcast([self._connection], data, text=True)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; the connection is cut if that takes too long."""
        self._closing = asyncio.create_task(self._connection.close(code, reason))

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._connection.transport.abort()

    def unsent_bytes(self) -> int:
        """What was sent and the kernel has not taken yet."""
        return self._connection.transport.get_write_buffer_size()


class StockEngine:
    """Listens by way of `websockets.asyncio.server.serve`."""

    def __init__(self, door: Door) -> None:
        self.port = 0
        self._door = door
        self._server: Server | None = None
        self._admitted: WeakKeyDictionary[ServerConnection, Admitted] = WeakKeyDictionary()

    async def listen(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        """Take connections from here on. Raises `OSError` where the port cannot be had."""
        self._server = await serve(
            self._serve_device,
            settings.host,
            settings.gateway_port,
            ssl=tls,
            reuse_port=settings.gateway_share_port,
            backlog=BACKLOG,
            create_connection=MeteredConnection,
            process_request=self._answer,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=4,
            ping_interval=None,  # a device that is silent for idle_s is closed by its session
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            server_header=None,
            logger=engine_log(),
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close(close_connections=False)

    async def wait_closed(self) -> None:
        """Wait until every connection is over and the gateway has seen to its end."""
        if self._server is not None:
            await self._server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        answer = self._door.answer(request, connection.transport)
        if isinstance(answer, Reply):
            return response_of(connection.protocol, answer)
        self._admitted[connection] = answer
        return None

    async def _serve_device(self, connection: ServerConnection) -> None:
        assert isinstance(connection, MeteredConnection)
        receiver = self._door.opened(self._admitted[connection], StockSocket(connection))
        connection.receiver = receiver
        sent: int | None = None
        try:
            while True:
                # Reading stops here while Kafka is slow: the library's small queue fills, it
                # pauses the transport, and TCP tells the device.
                await self._door.room.wait()
                # Text is decoded here so that what is not UTF-8 ends the connection with 1007.
                message = await connection.recv()
                data = message.encode() if isinstance(message, str) else message
                receiver.receive(data, now())
        except ConnectionClosed as closed:
            sent = closed.sent.code if closed.sent is not None else None
        finally:
            await receiver.closed(sent)
