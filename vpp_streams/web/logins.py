"""Whose token a request brings; addresses that try wrong tokens are logged and locked out.

A lock concerns one client address. It affects no other address, and no operator whose token was
accepted from that address before: a neighbour who guesses tokens must not keep anybody from the
kill switch.
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
"""Wrong tokens from an address before it is locked out."""
FIRST_LOCK_S, LONGEST_LOCK_S = 30.0, 900.0
"""Each lock of an address is twice as long as its previous one, s."""
FORGET_S = 3600.0
"""The wrong tokens of an address are forgotten after this long without another, s."""
_MAX_CLIENTS, _MAX_PROVEN = 10_000, 1_000


@dataclass(slots=True)
class _Tries:
    """Wrong tokens that an address sent."""

    failures: int = 0
    digest: str = ""
    """Digest of the last one: the same token again is not counted as another guess."""
    last_s: float = 0.0
    lock_s: float = FIRST_LOCK_S
    locked_until_s: float = 0.0
    refused: int = 0
    """Requests refused without a check while it was locked."""


class Logins:
    """The operators' file, and the addresses that sent wrong tokens."""

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
        """The operator who has the token, which was sent from an address.

        Raises `ApiError`: 401 if no operator has it, 403 if there is no usable file of operators,
        429 if the address is locked out. The file is checked for each request, so a token that is
        removed from it is refused at once.
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
            raise unknown(
                "no operator has this token", "it may have been replaced: request a new one"
            )
        self._prove(client, token)
        return holder

    def has_operator_token(self, scope: Scope) -> bool:
        """Whether a request has an operator's token; a wrong one is only logged here."""
        address, token = client_address(scope), bearer_of(scope)
        if token is None:
            return False
        try:
            if address in self._proxies:
                # Only one of the proxy's clients is wrong: `holder` finds out which.
                return holder_of(token, self._operators()) is not None
            return self.holder(address, token) is not None
        except ApiError:
            return False

    @property
    def has_operators(self) -> bool:
        """Whether there is a file of operators."""
        return self._path is not None

    def _operators(self) -> tuple[Operator, ...]:
        if self._path is None:
            raise ApiError(HTTPStatus.FORBIDDEN, "nobody may give orders here", MAKE_ONE)
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._known is None or self._known[0] != version:
                self._known = version, read_operators(self._path)
        except (SettingsError, OSError) as error:
            self._known = None
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                "nobody may give orders: the operators' file cannot be used",
                str(error),
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
            "a request had a token that no operator has",
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
    """The answer to a request without an operator's token."""
    return ApiError(HTTPStatus.UNAUTHORIZED, error, hint, {"WWW-Authenticate": "Bearer"})


def _locked(for_s: float) -> ApiError:
    wait_s = max(1, round(for_s))
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"too many wrong tokens from your address: none is checked for {wait_s} s",
        "the right token works from another address; `vpp hold --kafka` needs no web process",
        {"Retry-After": str(wait_s)},
    )
