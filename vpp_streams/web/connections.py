"""One HTTP connection with limits: time for a request, time to read the answer, and a place.

uvicorn has a time-out only for a connection between two requests. This module alone knows how it
is made inside (`H11Protocol`).
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
"""From the first byte (of a new connection: from its opening) to the last byte of a request."""
STALL_S = 10.0
"""A client that takes nothing of its answer for this long is closed."""
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
        """``is_operator`` says whether a request brings an operator's token.

        What ``proxies`` say of their clients' addresses is believed.
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
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class Connection(H11Protocol):
    """A connection that has a place and is in time, or is closed."""

    def __init__(self, config: DoorConfig, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self._door = config
        self._served: Any = self.app
        self.app = self._serve
        self._receiving: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client has connected: it has a place, and so long for its first request."""
        super().connection_made(transport)
        # Any byte that the client does not take starts its time, not only the 65,537th.
        transport.set_write_buffer_limits(high=0)
        self._door.places.enter(self, self.client[0] if self.client else "")
        if not transport.is_closing():
            self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Part of a request has come: all of it comes in time."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._watch_request()
        else:
            self._stop_watching_request()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._door.stall_s, self._too_slow, "answer")

    def resume_writing(self) -> None:
        """The client takes its answer."""
        self._stop_watching_answer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_watching_request()
        self._stop_watching_answer()
        self._door.places.leave(self)
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close at once: another needs the place more."""
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
        log.info("a connection was closed: its client is too slow", client=client, with_its=what)
        self.transport.abort()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a connection with a place, and any request of an operator."""
        places = self._door.places
        if places.speaks(self) or (self._door.is_operator(scope) and places.vouch(self)):
            await self._served(scope, receive, send)
        else:
            places.refuse()
            await _no_place(scope, receive, send)


async def _no_place(scope: Scope, receive: Receive, send: Send) -> None:
    told = {
        "error": "the web process has as many connections as it can serve",
        "hint": "ask again in some seconds; a request with an operator's token is always served",
    }
    headers = {"Retry-After": str(RETRY_S), "Connection": "close", "Cache-Control": "no-store"}
    await JSONResponse(told, 503, headers)(scope, receive, send)
