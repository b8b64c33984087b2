"""The library's own WebSocket engine behind the gateway's seam: a task per connection.

What the gateway's own engine is measured and tested against, and what to fall back on
(``VPP_GATEWAY_ENGINE=stock``).
"""

import asyncio
import ssl
from weakref import WeakKeyDictionary

from websockets import Request, Response
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from schemas.protocol import MAX_MESSAGE_BYTES, SUBPROTOCOL
from vpp_streams.gateway.admission import Admitted
from vpp_streams.gateway.clock import now
from vpp_streams.gateway.seam import (
    BACKLOG,
    CLOSE_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    Door,
    Reply,
    engine_log,
    response_of,
)
from vpp_streams.settings import Settings


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
            reuse_port=True,
            backlog=BACKLOG,
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
        receiver = self._door.opened(self._admitted[connection], StockSocket(connection))
        sent: int | None = None
        try:
            while True:
                # Reading stops here while Kafka is slow: the library's small queue fills, it
                # pauses the transport, and TCP tells the device.
                await self._door.room.wait()
                receiver.receive(await connection.recv(decode=False), now())
        except ConnectionClosed as closed:
            sent = closed.sent.code if closed.sent is not None else None
        finally:
            await receiver.closed(sent)
