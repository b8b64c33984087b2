"""Calls of a driver that cannot hold up the agent, whatever the hardware does.

Each call has a deadline. One that does not end is cancelled, and its result does not count; while
it still has not ended, no other call begins (hardware answers one request at a time). A driver
whose cancelled call does not end for `STUCK_S` is beyond help: a new process is needed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from edge.clock import monotonic_ms
from edge.driver import Driver, DriverError, Identity, Readings

T = TypeVar("T")

READ_S, APPLY_S, IDENTIFY_S = 3.0, 3.0, 20.0
"""Deadlines of the calls."""
STUCK_S = 120.0
_GRACE_S = 0.5
"""How long the next call waits for a cancelled one to end."""
_log = logging.getLogger(__name__)


class DriverStuckError(Exception):
    """A cancelled call of the driver does not end."""


class DriverCalls:
    """A driver with deadlines. ``counters`` count ``driver_<call>_<fate>``."""

    def __init__(self, driver: Driver, counters: Counter[str]) -> None:
        self.driver = driver
        self.trouble = ""
        """The newest failure, in one sentence; "" = the last call succeeded."""
        self._counters = counters
        self._pending: asyncio.Task[Any] | None = None
        self._pending_since_ms = 0

    async def identify(self) -> Identity | None:
        """See `Driver.identify`; None = it failed."""
        return await self._call("identify", self.driver.identify, IDENTIFY_S)

    async def read(self) -> Readings | None:
        """See `Driver.read`; None = it failed."""
        return await self._call("read", self.driver.read, READ_S)

    async def apply(self, power_w: float, until_ms: int) -> bool:
        """See `Driver.apply`; False = it failed."""

        async def apply() -> bool:
            await self.driver.apply(power_w, until_ms)
            return True

        return await self._call("apply", apply, APPLY_S) or False

    async def release(self) -> bool:
        """See `Driver.release`; False = it failed."""

        async def release() -> bool:
            await self.driver.release()
            return True

        return await self._call("release", release, APPLY_S) or False

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._call("close", self.driver.close, APPLY_S)

    async def _call(
        self, name: str, begin: Callable[[], Coroutine[Any, Any, T]], deadline_s: float
    ) -> T | None:
        if self._pending is not None and not self._pending.done():
            await asyncio.wait({self._pending}, timeout=_GRACE_S)
        if self._pending is not None and not self._pending.done():
            self._counters["driver_busy"] += 1
            if monotonic_ms() - self._pending_since_ms > STUCK_S * 1000:
                raise DriverStuckError("a cancelled call of the driver has not ended")
            return None
        self._pending = task = asyncio.create_task(begin())
        try:
            await asyncio.wait({task}, timeout=deadline_s)
        finally:
            if not task.done():
                self._pending_since_ms = monotonic_ms()
                task.add_done_callback(_ignore_result)
                task.cancel()
        if not task.done():
            self._failed(name, "timeout", f"no answer within {deadline_s:g} s")
            return None
        return self._result(name, task)

    def _result(self, name: str, task: "asyncio.Task[T]") -> T | None:
        try:
            value = task.result()
        except (DriverError, OSError, TimeoutError) as error:
            self._failed(name, "error", str(error) or type(error).__name__)
            return None
        self._counters[f"driver_{name}_ok"] += 1
        if self.trouble:
            _log.info("the driver works again")
        self.trouble = ""
        return value

    def _failed(self, name: str, fate: str, words: str) -> None:
        self._counters[f"driver_{name}_{fate}"] += 1
        trouble = f"{name}: {words}"
        if trouble != self.trouble:  # a device that is off for a night is one line
            _log.warning("the driver fails: %s", trouble)
        self.trouble = trouble


def _ignore_result(task: "asyncio.Task[Any]") -> None:
    """Take note of how a cancelled call ended, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
