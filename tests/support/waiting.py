"""Waiting for a condition that nothing announces."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T]) -> T:
    """Return what the condition returns once that is true; it fails after 30 s."""
    give_up = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition is true, with the loop going on; it fails after 30 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
