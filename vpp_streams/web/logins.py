"""Whose token a request brings; whoever tries tokens is logged, and locked out for a while.

A lock is that of a client address. It does not touch other addresses, nor an operator whose token
was accepted from that address before: nobody may be kept from the kill switch by a neighbour who
guesses.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import structlog
from starlette.types import Scope

from vpp_streams.errors import SettingsError
from vpp_streams.web.callers import bearer_of, client_address
from vpp_streams.web.operators import MAKE_ONE, Operator, digest_of, holder_of, read_operators
from vpp_streams.web.places import client_of
from vpp_streams.web.problems import ApiError

log = structlog.get_logger()
FREE_TRIES = 5
"""Wrong tokens of an address before it is locked out."""
FIRST_LOCK_S, LONGEST_LOCK_S = 30.0, 900.0
"""Each lock of an address is twice as long as the one before."""
FORGET_S = 3600.0
"""An address that has brought no wrong token for this long is as any other."""
_MAX_CLIENTS, _MAX_PROVEN = 10_000, 1_000


@dataclass(slots=True)
class _Tries:
    """Wrong tokens that came from an address."""

    failures: int = 0
    digest: str = ""
    """That of the last one: the same again is no other guess."""
    last_s: float = 0.0
    lock_s: float = FIRST_LOCK_S
    locked_until_s: float = 0.0
    refused: int = 0
    """Requests that were refused unread while it was locked."""


class Logins:
    """The operators' file, and who has failed to name one of them."""

    def __init__(
        self,
        operators: Path | None,
        proxies: Collection[str] = (),
        counters: Counter[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrong tokens are counted in ``counters``."""
        self._path = operators
        self._proxies = frozenset(proxies)
        self._clock = clock
        self._known: tuple[tuple[int, ...], tuple[Operator, ...]] | None = None
        self._tries: dict[str, _Tries] = {}
        self._proven: dict[tuple[str, str], None] = {}
        """(client, digest) of tokens that were accepted, the newest last."""
        self._counters = Counter() if counters is None else counters

    def holder(self, address: str, token: str) -> Operator:
        """Who holds the token that came from an address.

        Raises `ApiError`: 401 where it is nobody's, 403 where nobody may order, 429 where the
        address is locked out. The file is looked at for each request: a token that was taken out
        is out at once.
        """
        client, now_s = client_of(address), self._clock()
        operators = self._operators()
        proven = (client, digest_of(token)) in self._proven
        tries = self._tries.get(client)
        if tries is not None and now_s < tries.locked_until_s and not proven:
            tries.refused += 1
            raise _locked(tries.locked_until_s - now_s)
        holder = holder_of(token, operators)
        if holder is None:
            self._failed(client, digest_of(token), now_s)
            raise unknown("nobody has this token", "it may have been replaced: ask for a new one")
        self._prove(client, token)
        return holder

    def comes_with(self, scope: Scope) -> bool:
        """Whether a request brings an operator's token; one that does not is logged, not told."""
        address, token = client_address(scope), bearer_of(scope)
        if token is None:
            return False
        try:
            if address in self._proxies:
                # One of its many clients is wrong, not all: `holder` will know which.
                return holder_of(token, self._operators()) is not None
            return self.holder(address, token) is not None
        except ApiError:
            return False

    @property
    def may_anybody(self) -> bool:
        """Whether there is a file of operators at all."""
        return self._path is not None

    def _operators(self) -> tuple[Operator, ...]:
        if self._path is None:
            raise ApiError(HTTPStatus.FORBIDDEN, "nobody may order here", MAKE_ONE)
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._known is None or self._known[0] != version:
                self._known = version, read_operators(self._path)
        except (SettingsError, OSError) as error:
            self._known = None
            raise ApiError(
                HTTPStatus.FORBIDDEN, "nobody may order: the operators' file is broken", str(error)
            ) from None
        return self._known[1]

    def _failed(self, client: str, digest: str, now_s: float) -> None:
        tries = self._tries.pop(client, None)
        if tries is None or now_s - tries.last_s > FORGET_S:
            tries = _Tries()
        self._tries[client] = tries  # the newest is last
        while len(self._tries) > _MAX_CLIENTS:
            del self._tries[next(iter(self._tries))]
        self._counters["wrong_tokens"] += 1
        tries.last_s = now_s
        if digest == tries.digest:
            return
        tries.failures, tries.digest = tries.failures + 1, digest
        locked_s = 0.0
        if tries.failures >= FREE_TRIES:
            locked_s, tries.lock_s = tries.lock_s, min(LONGEST_LOCK_S, 2 * tries.lock_s)
            tries.locked_until_s = now_s + locked_s
        log.warning(
            "a request brought a token that is no operator's",
            client=client,
            wrong_tokens=tries.failures,
            locked_out_s=locked_s,
            refused_while_locked=tries.refused,
        )

    def _prove(self, client: str, token: str) -> None:
        proof = client, digest_of(token)
        self._proven.pop(proof, None)
        self._proven[proof] = None
        while len(self._proven) > _MAX_PROVEN:
            del self._proven[next(iter(self._proven))]


def unknown(error: str, hint: str) -> ApiError:
    """The answer to a request without a token that is an operator's."""
    return ApiError(HTTPStatus.UNAUTHORIZED, error, hint, {"WWW-Authenticate": "Bearer"})


def _locked(for_s: float) -> ApiError:
    wait_s = max(1, round(for_s))
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"too many wrong tokens came from your address: none is looked at for {wait_s} s",
        "from another address the right one works; `vpp hold --kafka` needs no web process",
        {"Retry-After": str(wait_s)},
    )
