"""Signing in: passwords, second factors and links, each checked within a budget of guesses.

An account that does not exist, one that is disabled and a wrong password have the same answer after
the same time. Wrong answers count for the account and for the address; a lock of an account does
not keep out an address from which it was signed in to before.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from schemas.audit import AuditHow
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.errors import InputError
from vpp_streams.serving.client_names import client_of
from vpp_streams.serving.guesses import Guesses
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.budgets import Budget

FREE_TRIES_OF_ACCOUNT = 10
"""Wrong passwords of an account, from any address, before its first lock."""
NEEDS = "X-VPP-Needs"
"""Header of an answer that says what is missing: ``code`` or ``password``."""


class SignIn:
    """Checks who somebody is; the session is opened by the caller."""

    def __init__(
        self,
        accounts: Accounts,
        now_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock_s`` is monotonic, s."""
        self._accounts, self._now_ms, self._clock_s = accounts, now_ms, clock_s
        self._by_client = Guesses()
        self._by_account = Guesses(FREE_TRIES_OF_ACCOUNT)
        # Each check takes 64 MiB and most of a core for a moment.
        self._budget = Budget("sign-ins being checked", running=2, waiting=14, per_client=4)

    async def by_password(self, name: str, password: str, code: str, address: str) -> Account:
        """The account of a name and a password (and a code). Raises `ApiError` (401, 429, 503)."""
        client, key = client_of(address), name.casefold()
        self._check_locks(client, key)
        people = self._accounts.people
        account = people.find("name", name) or people.find("email", name)
        fits = await self._fits(account, password, client)
        if account is None or account.disabled or not fits:
            raise self._failed(client, key, "password", name)
        if account.has_totp:
            if not code:
                raise ApiError(
                    HTTPStatus.UNAUTHORIZED,
                    "enter the code of your authenticator app",
                    "it changes every 30 s",
                    {NEEDS: "code"},
                )
            if not self._accounts.totp.use(account, code, self._now_ms()):
                raise self._failed(client, key, "password", name, code=True)
        stored = people.password(account)
        if stored is not None and self._accounts.passwords.is_outdated(stored):
            people.set_password(account, await asyncio.to_thread(self._hash, password))
        self._by_client.proved(client, key)
        self._by_account.proved(key, client)
        return account

    async def confirm(self, account: Account, password: str, address: str) -> None:
        """Check an account's password again before a change. Raises `ApiError` (403, 429, 503)."""
        client, key = client_of(address), account.name.casefold()
        self._check_locks(client, key)
        if not await self._fits(account, password, client):
            problem = self._failed(client, key, "session", account.name)
            raise ApiError(HTTPStatus.FORBIDDEN, "the password is wrong", problem.hint)

    async def by_link(self, word: str, password: str, address: str) -> tuple[Account, bool]:
        """The account of a link, which is used up; whether it may be signed in now.

        A link for a new password sets it, and ends every session. Raises `ApiError` (401, 422,
        429).
        """
        client, now_ms = client_of(address), self._now_ms()
        self._check_locks(client, "")
        found = self._accounts.sessions.link(word, now_ms)
        if found is None:
            raise self._failed(client, "", "link", "")
        account, purpose = found
        if purpose == "password":
            if not password:
                raise ApiError(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    f"choose a password for {account.name}",
                    "12 characters or more",
                    {NEEDS: "password"},
                )
            hashed = await self.hashed(password)
            with self._accounts.store.together():
                if not self._accounts.sessions.use_link(word):
                    raise self._failed(client, "", "link", "")
                self._accounts.people.set_password(account, hashed)
                self._accounts.sessions.end_all(account)
            return account, not account.has_totp
        if not self._accounts.sessions.use_link(word):
            raise self._failed(client, "", "link", "")
        return account, True

    async def hashed(self, password: str) -> str:
        """The hash of a new password. Raises `ApiError` (422) if it cannot be used."""
        try:
            return await asyncio.to_thread(self._hash, password)
        except InputError as error:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "nothing was changed"
            ) from None

    def _hash(self, password: str) -> str:
        return self._accounts.passwords.hash(password)

    async def _fits(self, account: Account | None, password: str, client: str) -> bool:
        stored = self._accounts.people.password(account)
        async with self._budget.place(client):
            return await asyncio.to_thread(self._accounts.passwords.fits, stored, password)

    def _check_locks(self, client: str, key: str) -> None:
        now_s = self._clock_s()
        for_s = self._by_client.locked_for_s(client, now_s, key)
        if key:
            for_s = max(for_s, self._by_account.locked_for_s(key, now_s, client))
        if not for_s:
            return
        wait_s = max(1, round(for_s))
        raise ApiError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many wrong sign-ins: none is checked for {wait_s} s",
            "`vpp accounts reset NAME`, on the machine of the web process, makes a link that works",
            {"Retry-After": str(wait_s)},
        )

    def _failed(
        self, client: str, key: str, how: AuditHow, name: str, *, code: bool = False
    ) -> ApiError:
        """Count and note a wrong answer; returns the problem to raise."""
        now_s, locks = self._clock_s(), []
        locks.append(self._by_client.failed(client, now_s))
        if key:
            locks.append(self._by_account.failed(key, now_s))
        locked_s = max((lock[1] for lock in locks if lock is not None), default=0.0)
        wrong = "the code" if code else "the link" if how == "link" else "the name or the password"
        self._accounts.audit.note(
            self._now_ms(),
            who=name,
            how=how,
            action="sign_in",
            result="refused",
            address=client,
            detail=f"{wrong} is wrong" + (f"; locked for {locked_s:.0f} s" if locked_s else ""),
        )
        if how == "link":
            return ApiError(
                HTTPStatus.UNAUTHORIZED,
                "this link does not work: it was used, has ended, or was replaced",
                "request a new one (`vpp accounts reset NAME`; `vpp up` prints one at each start)",
            )
        return ApiError(
            HTTPStatus.UNAUTHORIZED,
            "the code is wrong, or was used before"
            if code
            else "the name or the password is wrong",
            "wait for the next code" if code else "`vpp accounts reset NAME` makes a new password",
            {NEEDS: "code"} if code else None,
        )
