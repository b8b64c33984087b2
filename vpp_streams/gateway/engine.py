"""The gateway's own WebSocket engine; see `vpp_streams.gateway.connection` for how it works."""

import asyncio
import ssl
from collections import deque

from vpp_streams.gateway.connection import Connection
from vpp_streams.gateway.seam import BACKLOG, CLOSE_TIMEOUT_S, OPEN_TIMEOUT_S, Door, Receiver
from vpp_streams.settings import Settings


class OwnEngine:
    """Listens, and holds what its connections share."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.port = 0
        self.listening = False
        self._server: asyncio.Server | None = None
        self._connections = 0
        self._ends: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        """No connection is left, and none whose end the gateway still sees to."""
        self._quiet.set()
        self._waiting: deque[Connection] = deque()
        self._resuming: asyncio.Task[None] | None = None

    async def listen(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        """Take connections from here on. Raises `OSError` where the port cannot be had."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            settings.host,
            settings.gateway_port,
            ssl=tls,
            ssl_handshake_timeout=OPEN_TIMEOUT_S if tls else None,
            ssl_shutdown_timeout=CLOSE_TIMEOUT_S if tls else None,
            # Several processes share one port if asked to; the kernel spreads connections.
            reuse_port=settings.gateway_share_port,
            backlog=BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.listening = True

    def stop_listening(self) -> None:
        """Take no new connections."""
        self.listening = False
        if self._server is not None:
            self._server.close()

    async def wait_closed(self) -> None:
        """Wait until every connection is over and the gateway has seen to its end."""
        await self._quiet.wait()

    # As the owner of its connections

    def connection_opened(self) -> None:
        """A connection is there."""
        self._connections += 1
        self._quiet.clear()

    def wait_for_room(self, connection: Connection) -> None:
        """Call ``has_room`` of this connection once there is room."""
        self._waiting.append(connection)
        if self._resuming is None:
            self._resuming = asyncio.create_task(self._resume())

    def connection_closed(self, receiver: Receiver | None, close_code_sent: int | None) -> None:
        """A connection is over."""
        self._connections -= 1
        if receiver is not None:
            end = asyncio.create_task(receiver.closed(close_code_sent))
            self._ends.add(end)
            end.add_done_callback(self._ended)
        self._check_quiet()

    def _ended(self, end: asyncio.Task[None]) -> None:
        self._ends.discard(end)
        self._check_quiet()

    def _check_quiet(self) -> None:
        if not self._connections and not self._ends:
            self._quiet.set()

    async def _resume(self) -> None:
        """One after the other: the first few may take all the room there is."""
        while self._waiting:
            await self.door.room.wait()
            self._waiting.popleft().has_room()
            await asyncio.sleep(0)
        self._resuming = None
