"""The running transcript of a check, and waiting for what it has to contain, with a deadline."""

import asyncio
import time
from collections.abc import Callable

from vpp_streams.conformance.transcript import Event


class Journal:
    """All events so far. `until` waits for a condition on them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._happened = asyncio.Event()

    @staticmethod
    def now_ms() -> int:
        """The check's monotonic clock, ms."""
        return time.monotonic_ns() // 1_000_000

    @staticmethod
    def utc_ms() -> int:
        """The clock of the machine that the check runs on, ms since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def utc_ahead_ms(self) -> int:
        """UTC less the monotonic clock, ms."""
        return self.utc_ms() - self.now_ms()

    def note(self, event: Event) -> None:
        """Add an event, and let conditions be looked at."""
        self.events.append(event)
        self._happened.set()

    async def until(self, condition: Callable[[], bool], within_ms: float) -> bool:
        """Wait for a condition on the events; False if it does not hold within this time."""
        ends_ms = self.now_ms() + within_ms
        while not condition():
            left_s = (ends_ms - self.now_ms()) / 1000
            if left_s <= 0:
                return False
            self._happened.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._happened.wait()
            except TimeoutError:
                continue
        return True
