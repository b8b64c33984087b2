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

from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.web.budgets import Budgets

log = structlog.get_logger()
STALL_S = 10.0
_ALARMS_SHOWN = 20


class Stream:
    """Server-sent events from a read model, each with what its receiver may see at that moment."""

    def __init__(
        self,
        read_model: ReadModel,
        now_ms: Callable[[], int],
        stopping: Callable[[], bool],
        again: Callable[[Scope], Principal | None],
        *,
        interval_s: float = 1.0,
    ) -> None:
        """``again`` finds out once more who sent a request; None = its session has ended."""
        self._read_model = read_model
        self._now_ms = now_ms
        self._stopping = stopping
        self._again = again
        self._interval_s = interval_s

    async def events(self, scope: Scope) -> AsyncGenerator[bytes, None]:
        """Events ``update`` and ``control`` for the sender of a request.

        They end when the client leaves, when its session or token ends, when it has lost the right,
        and when the server stops.
        """
        yield b"retry: 2000\n\n"
        sent = sent_control = 0
        before: Principal | None = None
        while not self._stopping():
            who = self._again(scope)
            if who is None or not who.may("read_region"):
                return
            if before is not None and who != before:
                sent = sent_control = 0  # other regions are in sight now: all are sent again
            before = who
            seen, model, now = Seen(self._read_model, who), self._read_model, self._now_ms()
            sent, since = model.regions.changes, sent
            summary = msgspec.structs.replace(seen.summary(now, since), processes=[])
            yield _event("update", summary)
            sent_control, since = model.dispatches.changes, sent_control
            yield _event("control", seen.control(now, since, _ALARMS_SHOWN))
            await asyncio.sleep(self._interval_s)


def _event(name: str, content: msgspec.Struct) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(content))


class LiveResponse(StreamingResponse):
    """A client's events; ends when the client reads nothing for ``stall_s`` seconds."""

    media_type = "text/event-stream"

    def __init__(
        self, stream: Stream, scope: Scope, budgets: Budgets, *, stall_s: float = STALL_S
    ) -> None:
        self._events = stream.events(scope)
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
