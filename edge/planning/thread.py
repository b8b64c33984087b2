"""Makes a home's plans in a thread, so that a slow computer misses no beat."""

import asyncio
import logging
from collections import Counter

from edge.home import Home
from edge.planning.own_plan import Planned

_log = logging.getLogger(__name__)


class Planning:
    """The plan that is being made, if any; ``plans`` and ``plans_failed`` are counted."""

    def __init__(self, home: Home, counters: Counter[str]) -> None:
        self._home = home
        self._counters = counters
        self._task: asyncio.Task[Planned] | None = None

    def keep(self, now_ms: int) -> None:
        """Take a plan that is ready, and begin the next one if it is due."""
        if self._task is not None:
            if not self._task.done():
                return
            self._take(self._task)
            self._task = None
        if (make := self._home.plan_due(now_ms)) is not None:
            self._task = asyncio.create_task(asyncio.to_thread(make))

    def _take(self, task: asyncio.Task[Planned]) -> None:
        # Whatever is wrong with a plan, leases and the reserve are kept without one.
        if (error := task.exception()) is not None:
            self._counters["plans_failed"] += 1
            _log.error("no plan could be made", exc_info=error)
            return
        self._counters["plans"] += 1
        self._home.own.accept(task.result())
