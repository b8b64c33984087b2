"""Who has a token, whichever door it was sent to; who has a session.

Addresses that try wrong tokens are logged and locked out. A lock concerns one client address. It
affects no other address, and nobody whose token was accepted from that address before: a neighbour
who guesses tokens must not keep anybody from the kill switch.
"""

import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import structlog

from schemas.audit import AuditHow, AuditResult
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.domain.access.rights import Principal
from vpp_streams.errors import SettingsError
from vpp_streams.serving.client_names import client_of
from vpp_streams.serving.guesses import Guesses
from vpp_streams.serving.operators import Operator, holder_of, principal_of, read_operators
from vpp_streams.serving.problems import ApiError

log = structlog.get_logger()


class Logins:
    """The operators' file, the accounts, and the addresses that sent wrong tokens."""

    def __init__(
        self,
        operators: Path | None,
        accounts: Accounts,
        counters: Counter[str] | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        """Wrong tokens are counted in ``counters``; ``clock_s`` is monotonic."""
        self.accounts = accounts
        self._path = operators
        self.clock_s, self._now_ms = clock_s, now_ms
        self._known: tuple[tuple[int, ...], tuple[Operator, ...]] | None = None
        self._guesses = Guesses()
        self._counters = Counter() if counters is None else counters

    def holder(self, address: str, token: str) -> Principal:
        """Who has a token that was sent from an address.

        Raises `ApiError`: 401 if nobody has it, 403 if the file of operators cannot be used, 429
        if the address is locked out. File and accounts are checked for each request, so a token
        that is removed from them is refused at once.
        """
        client, now_s, digest = client_of(address), self.clock_s(), digest_of(token)
        holder = self.holder_now(token)
        for_s = self._guesses.locked_for_s(client, now_s, digest)
        if for_s:
            raise _locked(for_s)
        if holder is None:
            self._failed(client, digest, now_s)
            raise unknown("nobody has this token", "it may have ended: request a new one")
        self._guesses.proved(client, digest)
        return holder

    def holder_now(self, token: str) -> Principal | None:
        """Who has a token, without a lock or a guess being counted; None = nobody.

        For requests that last, and are asked about again. Raises `ApiError` (403) if the file of
        operators cannot be used.
        """
        who = self.accounts.sessions.token_holder(token, self._now_ms())
        if who is not None:
            return who
        operator = holder_of(token, self._operators(), self._now_ms())
        return None if operator is None else principal_of(operator)

    def session(self, word: str) -> Principal | None:
        """Who has a session; None once it has ended."""
        return self.accounts.sessions.holder(word, self._now_ms())

    def note(
        self,
        *,
        who: str,
        how: AuditHow,
        action: str,
        result: AuditResult,
        target: str = "",
        address: str = "",
        detail: str = "",
    ) -> None:
        """Note an event of the audit trail now."""
        self.accounts.audit.note(
            self._now_ms(),
            who=who,
            how=how,
            action=action,
            result=result,
            target=target,
            address=address,
            detail=detail,
        )

    def _operators(self) -> tuple[Operator, ...]:
        if self._path is None:
            return ()
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._known is None or self._known[0] != version:
                self._known = version, read_operators(self._path)
        except (SettingsError, OSError) as error:
            self._known = None
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                "no token is accepted: the operators' file cannot be used",
                str(error),
            ) from None
        return self._known[1]

    def _failed(self, client: str, digest: str, now_s: float) -> None:
        self._counters["wrong_tokens"] += 1
        counted = self._guesses.failed(client, now_s, digest)
        if counted is None:
            return
        tries, locked_s = counted
        log.warning(
            "a request had a token that nobody has",
            client=client,
            wrong_tokens=tries.failures,
            locked_out_s=locked_s,
            refused_while_locked=tries.refused,
        )
        self.note(
            who="",
            how="token",
            action="sign_in",
            result="refused",
            address=client,
            detail="nobody has this token"
            + (f"; the address is locked out for {locked_s:.0f} s" if locked_s else ""),
        )


def unknown(error: str, hint: str) -> ApiError:
    """The answer to a request of which it is not known who sends it."""
    return ApiError(HTTPStatus.UNAUTHORIZED, error, hint, {"WWW-Authenticate": "Bearer"})


def _locked(for_s: float) -> ApiError:
    wait_s = max(1, round(for_s))
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"too many wrong tokens from your address: none is checked for {wait_s} s",
        "the right token works from another address; `vpp hold --kafka` needs no web process",
        {"Retry-After": str(wait_s)},
    )
