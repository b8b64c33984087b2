"""The ledger for the web process: read in threads of its own, in limited time and number."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

import structlog
from starlette.types import Scope

from vpp_streams.errors import VppError
from vpp_streams.serving.problems import ApiError
from vpp_streams.statements.reading import READ_S, LedgerReader
from vpp_streams.web.budgets import statement_budgets
from vpp_streams.web.callers import known

log = structlog.get_logger()
T = TypeVar("T")
_ANSWER_S = 2 * READ_S
"""After this time an answer is given up: to connect and to read have `READ_S` each."""


class LedgerAccess:
    """Reads a ledger without holding up the event loop."""

    def __init__(self, ledger: LedgerReader, counters: Counter[str]) -> None:
        self.ledger = ledger
        self._counters = counters
        self._budgets = statement_budgets()
        # Threads of its own: a database that does not answer holds up nothing else.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ledger")

    async def read(self, scope: Scope, work: Callable[[LedgerReader], T]) -> T:
        """What ``work`` reads. Raises `ApiError`: 429 or 503, with the way out."""
        async with self._budgets.place(scope):
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await loop.run_in_executor(self._threads, work, self.ledger)
            except TimeoutError:
                raise self._problem(scope, "the ledger does not answer in time") from None
            except VppError as error:
                raise self._problem(scope, str(error)) from None

    def close(self) -> None:
        """Wait for no thread: each one ends at its own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _problem(self, scope: Scope, reason: str) -> ApiError:
        self._counters["ledger_reads_failed"] += 1
        log.warning("the ledger cannot be read", reason=reason)
        # An owner has no use for the address of a database, and others might.
        hint = (
            reason
            if known(scope).gives_orders
            else "nothing is lost, and all else works: try again later, or ask your operator"
        )
        return ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be read at the moment", hint
        )
