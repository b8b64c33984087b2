"""An asyncio loop with real sockets and a virtual clock: nothing waits, and nothing is too late.

Time jumps to the next timer whenever no socket of this process has anything to deliver. All ends of
every connection have to be in the process, on loopback, where what is written can be read at once.
"""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

_STARTS_NS = 1_763_856_000_000_000_000
"""UTC at the start."""
_DELIVERY_S = 0.001
"""How long the kernel may take between the two ends of a connection; real time."""


class _Selector(selectors.DefaultSelector):
    """Waits in virtual time."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        ready = super().select(_DELIVERY_S)
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose time is virtual."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def monotonic_ns(self) -> int:
        return round(self._virtual.now_s * 1e9)

    def utc_ns(self) -> int:
        return _STARTS_NS + self.monotonic_ns()


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; the clocks of `time` that our code uses are virtual too."""
    loop = VirtualTimeLoop()
    with (
        patch.object(time, "time", lambda: loop.utc_ns() / 1e9),
        patch.object(time, "time_ns", loop.utc_ns),
        patch.object(time, "monotonic_ns", loop.monotonic_ns),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        return runner.run(work)
