"""Budgets for expensive answers: some run at a time, a few wait, and operators have their own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.types import Scope

from vpp_streams.serving.client_names import client_of
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.callers import client_address, principal_of_request

RETRY_S = 5


class Budget:
    """Limits how many run, how many wait and how many one client has; others are refused."""

    def __init__(self, what: str, running: int, waiting: int, per_client: int) -> None:
        self._what = what
        self._most = running + waiting
        self._per_client = per_client
        self._running = asyncio.Semaphore(running)
        self._clients: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Hold a place during the body. Raises `ApiError` (429, 503) if no place is free."""
        if self._clients[client] >= self._per_client:
            self._refuse(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"your address already has {self._per_client} {self._what}",
            )
        if self._clients.total() >= self._most:
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, f"there are already {self._most} {self._what}"
            )
        self._clients[client] += 1
        try:
            async with self._running:
                yield
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def _refuse(self, status: HTTPStatus, error: str) -> None:
        raise ApiError(
            status,
            error,
            "try again in some seconds; requests of those who give orders have places of their own",
            {"Retry-After": str(RETRY_S)},
        )


class Budgets:
    """One budget for everybody, and one for operators that others cannot use up."""

    def __init__(self, everybody: Budget, operators: Budget) -> None:
        self._everybody, self._operators = everybody, operators

    @asynccontextmanager
    async def place(self, scope: Scope) -> AsyncIterator[None]:
        """Hold a place for a request. Raises `ApiError` (429, 503) at once if no place is free."""
        who = principal_of_request(scope)
        if who is not None and who.gives_orders:
            place = self._operators.place(who.name)
        else:
            place = self._everybody.place(client_of(client_address(scope)))
        async with place:
            yield


def stream_budgets(per_client: int) -> Budgets:
    """Budgets of live streams: none waits, and half of a client's connections stay free."""
    each = max(1, per_client // 2)
    return Budgets(
        Budget("live streams", running=200, waiting=0, per_client=each),
        Budget("live streams of operators", running=50, waiting=0, per_client=25),
    )


def statement_budgets() -> Budgets:
    """Budgets of answers from the ledger: each reads up to a month of a site's entries."""
    return Budgets(
        Budget("statements being read", running=3, waiting=12, per_client=6),
        Budget("statements of operators being read", running=1, waiting=14, per_client=8),
    )


def story_budgets() -> Budgets:
    """Budgets of device stories; each reads a partition of two topics, a month in seconds."""
    return Budgets(
        Budget("stories being read", running=2, waiting=6, per_client=4),
        Budget("stories of operators being read", running=2, waiting=14, per_client=8),
    )


def report_budgets() -> Budgets:
    """Budgets of reports; each may read years of files, and use two cores for seconds."""
    return Budgets(
        Budget("reports being made", running=2, waiting=6, per_client=4),
        Budget("reports of operators being made", running=2, waiting=14, per_client=8),
    )
