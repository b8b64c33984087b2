"""The live stream: each second the summary and the regions that changed, to any number of pages.

Nothing is queued for a client: it receives the newest state when it is ready for more. A slow
client costs no memory and misses older states, never the newest; one that reads nothing loses its
place.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from vpp_streams.web.budgets import Budgets
from vpp_streams.web.control_views import ControlUpdate
from vpp_streams.web.readmodel import ReadModel

log = structlog.get_logger()
STALL_S = 10.0
_ALARMS_SHOWN = 20


class Stream:
    """Server-sent events from a read model."""

    def __init__(
        self,
        read_model: ReadModel,
        now_ms: Callable[[], int],
        stopping: Callable[[], bool],
        interval_s: float = 1.0,
    ) -> None:
        self._read_model = read_model
        self._now_ms = now_ms
        self._stopping = stopping
        self._interval_s = interval_s

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Events ``update`` and ``control`` until the client leaves or the server stops."""
        yield b"retry: 2000\n\n"
        sent = sent_control = 0
        while not self._stopping():
            model = self._read_model
            sent, since = model.regions.changes, sent
            yield self._update(since)
            sent_control, since = model.dispatches.changes, sent_control
            yield self._control(since)
            await asyncio.sleep(self._interval_s)

    def _update(self, since: int) -> bytes:
        now = self._now_ms()
        summary = msgspec.structs.replace(
            self._read_model.summary(now),
            regions=self._read_model.regions_now(now, changed_since=since),
            processes=[],
        )
        return b"event: update\ndata: " + msgspec.json.encode(summary) + b"\n\n"

    def _control(self, since: int) -> bytes:
        now = self._now_ms()
        update = ControlUpdate(
            at_ms=now,
            regions=self._read_model.dispatches.now(now, changed_since=since),
            alarms=self._read_model.alarms(now, _ALARMS_SHOWN),
            standings=self._read_model.standings(now),
        )
        return b"event: control\ndata: " + msgspec.json.encode(update) + b"\n\n"


class LiveResponse(StreamingResponse):
    """A client's events; ends when the client reads nothing for ``stall_s`` seconds."""

    media_type = "text/event-stream"

    def __init__(self, stream: Stream, budgets: Budgets, stall_s: float = STALL_S) -> None:
        self._events = stream.events()
        self._budgets = budgets
        self._stall_s = stall_s
        # Without the second header a proxy would buffer events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._events, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold a place while the stream runs. Raises `ApiError` (429, 503) if none is free."""
        async with self._budgets.place(scope):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the events one by one, each within the time-out."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stall_s):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.info("a live stream was ended: its client reads nothing", stall_s=self._stall_s)
        finally:
            await self._events.aclose()
