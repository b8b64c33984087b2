"""Waiting for a condition that nothing announces."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 120
"""A wait that never ends would hang CI; this is far beyond what any wait takes, s.

It is the one patience of all tests: a machine whose cores are busy is several times slower.
"""


def wait_until(condition: Callable[[], T]) -> T:
    """Return what the condition returns once that is true; it fails after `PATIENCE_S`."""
    give_up = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited {PATIENCE_S} s"
        time.sleep(0.01)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition is true, with the loop going on; it fails after `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
