"""What the gateway and a WebSocket engine are to each other, and nothing else of either.

There are two engines: `vpp_streams.gateway.engine`, which carries devices, and
`vpp_streams.gateway.stock_engine`, the library's own. Both drive the library's `ServerProtocol`,
so what is refused before the upgrade is refused in the same words.
"""

import asyncio
import json
import logging
import ssl
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from websockets import Request, Response
from websockets.server import ServerProtocol

from vpp_streams.domain.moments import Now
from vpp_streams.gateway.admission import Admitted
from vpp_streams.settings import Settings

OPEN_TIMEOUT_S = 5.0
"""From the TCP connection to the end of the handshake; once more for that of TLS."""
CLOSE_TIMEOUT_S = 1.0
"""From our close frame to the end of the connection; then it is cut."""

MAX_UNSENT_BYTES = 64 * 1024
"""A device that leaves more than this unread, whatever it is of, is dropped without a word."""

BACKLOG = 4096
"""Connections that wait to be accepted: a fleet returns all at once, and who finds no place is late
by a second or more."""


class Socket(Protocol):
    """One WebSocket connection, as a `vpp_streams.gateway.link.Link` uses it."""

    def send_text(self, data: bytes) -> None:
        """Send a text message; none goes out once the connection is closing."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; the connection is cut if it takes too long."""

    def abort(self) -> None:
        """Drop the connection without a word."""

    def unsent_bytes(self) -> int:
        """What was sent and the kernel has not taken yet."""


class Receiver(Protocol):
    """What an engine hands a connection's messages to."""

    def receive(self, data: bytes, now: Now) -> None:
        """Handle a complete message, text or binary, as the bytes that were received."""

    def too_much(self, why: str) -> None:
        """The device has sent more than its budget of frames; the connection is to be closed."""

    def does_not_read(self) -> None:
        """The device reads nothing of what it is sent; the connection is to be dropped."""

    async def closed(self, close_code_sent: int | None) -> None:
        """The connection is over."""


class Reply(NamedTuple):
    """An HTTP answer in place of the upgrade."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it


class Door(Protocol):
    """The gateway, as an engine sees it."""

    room: asyncio.Event
    """While it is not set, no connection hands on another message, save one that we close."""

    def answer(self, request: Request, transport: asyncio.BaseTransport) -> Admitted | Reply:
        """Decide on an upgrade from its request."""

    def opened(self, admitted: Admitted, socket: Socket) -> Receiver:
        """A handshake is done; the receiver gets what the connection brings."""


class Engine(Protocol):
    """A listening socket and its connections."""

    port: int
    """The port it listens on, once it does."""

    async def listen(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        """Take connections from here on. Raises `OSError` where the port cannot be had."""

    def stop_listening(self) -> None:
        """Take no new connections."""

    async def wait_closed(self) -> None:
        """Wait until every connection is over and the gateway has seen to its end."""


def response_of(protocol: ServerProtocol, reply: Reply) -> Response:
    """A reply as the JSON response that goes out."""
    response = protocol.reject(HTTPStatus(reply.status), json.dumps(reply.body) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response


def engine_log() -> logging.Logger:
    """The engine's log without its lines at every start and stop."""
    log = logging.getLogger("vpp_streams.gateway.engine")
    log.setLevel(logging.WARNING)
    return log
