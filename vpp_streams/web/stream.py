"""The live stream: each second the summary and the regions that changed, to any number of pages.

Nothing is queued for a client: each is given what is true when it is ready for more, so a slow
one costs no memory and misses states, never the newest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

import msgspec

from vpp_streams.web.problems import ApiError
from vpp_streams.web.readmodel import ReadModel

MAX_CLIENTS = 200


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
        self.clients = 0

    def check_room(self) -> None:
        """Raise `ApiError` (503) when as many clients listen as we can serve."""
        if self.clients >= MAX_CLIENTS:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{MAX_CLIENTS} live streams are open already",
                "close one, or poll /api/v1/summary",
            )

    async def events(self) -> AsyncIterator[bytes]:
        """Events ``update`` until the client leaves or the server stops."""
        self.clients += 1
        try:
            yield b"retry: 2000\n\n"
            told = 0
            while not self._stopping():
                regions = self._read_model.regions
                told, since = regions.changes, told
                yield self._update(since)
                await asyncio.sleep(self._interval_s)
        finally:
            self.clients -= 1

    def _update(self, since: int) -> bytes:
        now = self._now_ms()
        summary = msgspec.structs.replace(
            self._read_model.summary(now),
            regions=self._read_model.regions.now(now, changed_since=since),
            processes=[],
        )
        return b"event: update\ndata: " + msgspec.json.encode(summary) + b"\n\n"
