"""Waiting for a condition in tests that are not asynchronous."""

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
