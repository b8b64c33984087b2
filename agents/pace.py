"""How long a loop rests between two rounds of work, so that the rest of the event loop has a share.

Only work of our own counts: the thread's CPU time between the awaits. Waiting for Kafka is no
work, and a loop that rested in proportion would sleep for minutes after Kafka is back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Rests of one loop. Work is measured in ``with pace.work():``, which must contain no await."""

    def __init__(
        self,
        share: float,
        longest_s: float,
        every_s: float = 0.0,
        wall: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = time.thread_time,
    ) -> None:
        self._rest_per_work = 1 / share - 1
        self._longest_s = longest_s
        self._every_s = every_s
        self._wall = wall
        self._own = own
        self._worked_s = 0.0
        self._began_s = wall()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count the body as work of this round."""
        began_s = self._own()
        try:
            yield
        finally:
            self._worked_s += self._own() - began_s

    def begin(self) -> None:
        """Begin a round."""
        self._worked_s, self._began_s = 0.0, self._wall()

    def rest_s(self) -> float:
        """The rest after this round, s: rounds come ``every_s``, and work has at most its share.

        Never more than ``longest_s``, whatever happened in between.
        """
        to_next_s = self._every_s - (self._wall() - self._began_s)
        return min(max(to_next_s, self._worked_s * self._rest_per_work, 0.0), self._longest_s)
