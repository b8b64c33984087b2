"""Flow of a stateless agent: an event is done once what it gave rise to is safe; and lag."""

import asyncio
from collections import deque
from collections.abc import Awaitable

import faust

from agents.in_order import InOrder


class InFlight:
    """Events whose outputs are on their way to Kafka, done strictly in order of arrival."""

    def __init__(self, in_order: InOrder, most: int = 1000) -> None:
        self._in_order = in_order
        self._most = most
        self._pending: deque[tuple[faust.EventT, list[Awaitable[object]]]] = deque()
        self._settling = asyncio.Lock()

    async def add(self, event: faust.EventT, outputs: list[Awaitable[object]]) -> None:
        """Take over an event; waits when too many are on their way."""
        self._pending.append((event, outputs))
        if len(self._pending) > self._most:
            await self.settle()

    async def settle(self) -> None:
        """Await the outputs of all that is pending now. Raises what a send raised."""
        async with self._settling:
            for _ in range(len(self._pending)):
                event, outputs = self._pending[0]
                await asyncio.gather(*outputs)
                self._pending.popleft()
                self._in_order.done(event)


def lag(app: faust.App, *topics: str, partition: int | None = None) -> int:
    """Records of these topics that are in the log and were not read by this worker yet."""
    consumer = app.consumer
    behind = 0
    for tp in consumer.assignment():
        if tp.topic in topics and partition in (None, tp.partition):
            end, read = consumer.highwater(tp), consumer._read_offset.get(tp)
            behind += max(end - (read + 1 if read is not None else 0), 0) if end else 0
    return behind
