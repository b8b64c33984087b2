"""An asyncio loop whose time jumps to the next timer: days pass in seconds. No sockets, no threads.

What is sent to a thread runs at once, in the loop, so that the same work gives the same result.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class _Jumps(selectors.DefaultSelector):
    """Never waits."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for something that nobody does")
        self.now_s += max(timeout, 0.0)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop that begins at a moment and has a clock of its own."""

    def __init__(self, starts_ms: int) -> None:
        self._jumps = _Jumps()
        self._starts_ms = starts_ms
        super().__init__(self._jumps)

    def time(self) -> float:
        """Time since the start, s: a small number, to which a nanosecond can be added."""
        return self._jumps.now_s

    def now_ms(self) -> int:
        """Time since 1970 UTC, ms."""
        return self._starts_ms + round(self.time() * 1000)

    def run_in_executor(  # type: ignore[override]  # typeshed's has another kind of type variable
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> Any:
        """Run it now."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # it is the awaiting task's
            done.set_exception(error)
        return done


def in_jumping_time(
    starts_ms: int, main: Callable[[Callable[[], int]], Coroutine[Any, Any, T]]
) -> T:
    """Run ``main(now_ms)`` to its end, on a clock that begins at ``starts_ms``.

    `time.monotonic`, by which decisions are given up, is that clock too.
    """
    loop = JumpingLoop(starts_ms)
    with (
        patch.object(time, "monotonic", loop.time),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        return runner.run(main(loop.now_ms))
