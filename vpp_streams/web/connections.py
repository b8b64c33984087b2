"""One HTTP connection with limits: time to send a request, time to read the answer, and a place.

uvicorn has a time-out only for a connection between two requests. This is the only module that
depends on the internals of uvicorn's `H11Protocol`.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import h11
import structlog
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from vpp_streams.web.places import BACKLOG, Places

log = structlog.get_logger()
REQUEST_S = 10.0
"""Time for a request, s: from its first byte (of a new connection: its opening) to its last."""
STALL_S = 10.0
"""A connection is closed if its client reads nothing of an answer for this long, s."""
RETRY_S = 5


class DoorConfig(uvicorn.Config):
    """uvicorn's configuration for a server whose connections have limits."""

    def __init__(
        self,
        app: ASGIApp,
        places: Places,
        is_operator: Callable[[Scope], bool],
        *,
        proxies: tuple[str, ...] = (),
        request_s: float = REQUEST_S,
        stall_s: float = STALL_S,
        **more: Any,
    ) -> None:
        """``is_operator`` returns whether a request has an operator's token.

        The client addresses that ``proxies`` report are trusted.
        """
        super().__init__(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            **more,
        )
        self.places, self.is_operator = places, is_operator
        self.request_s, self.stall_s = request_s, stall_s


def open_files() -> int:
    """The number of files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class Connection(H11Protocol):
    """A connection that is closed if it gets no place or exceeds its time."""

    def __init__(self, config: DoorConfig, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self._door = config
        self._served: Any = self.app
        self.app = self._serve
        self._receiving: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Enter the connection into a place and start the time for its first request."""
        super().connection_made(transport)
        # A few bytes that the client does not read start its time, not only the 65,537th. Not 0:
        # over TLS, asyncio would pause at 0 bytes and never resume.
        transport.set_write_buffer_limits(high=1)
        self._door.places.enter(self, self.client[0] if self.client else "")
        if not transport.is_closing():
            self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request; the complete request has to arrive in time."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._watch_request()
        else:
            self._stop_watching_request()

    def pause_writing(self) -> None:
        """Start the time-out of an answer that the client does not read."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._door.stall_s, self._too_slow, "answer")

    def resume_writing(self) -> None:
        """End the time-out of an answer: the client reads it."""
        self._stop_watching_answer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place."""
        self._stop_watching_request()
        self._stop_watching_answer()
        self._door.places.leave(self)
        super().connection_lost(exc)

    def close_now(self) -> None:
        """Close at once, to make room for another connection."""
        self.transport.abort()

    def _watch_request(self) -> None:
        if self._receiving is None:
            self._receiving = self.loop.call_later(self._door.request_s, self._too_slow, "request")

    def _stop_watching_request(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _stop_watching_answer(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _too_slow(self, what: str) -> None:
        client = self.client[0] if self.client else None
        log.info("a connection was closed: its client was too slow", client=client, with_its=what)
        self.transport.abort()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a connection with a place, and any request of an operator."""
        places = self._door.places
        if places.request_received(self) or (
            self._door.is_operator(scope) and places.admit_operator(self)
        ):
            await self._served(scope, receive, send)
        else:
            places.refuse()
            await _no_place(scope, receive, send)


async def _no_place(scope: Scope, receive: Receive, send: Send) -> None:
    problem = {
        "error": "the web process has reached its limit of connections",
        "hint": "try again in some seconds; operators' requests have places of their own",
    }
    headers = {"Retry-After": str(RETRY_S), "Connection": "close", "Cache-Control": "no-store"}
    await JSONResponse(problem, 503, headers)(scope, receive, send)
