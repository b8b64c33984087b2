"""Accounts for tests of the web process: cheap password hashes, and tokens by role."""

from collections.abc import Callable
from pathlib import Path

from argon2 import PasswordHasher

from tests.support.web_records import NOW_MS
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.accounts.secrets import Passwords
from vpp_streams.domain.access.rights import ACTIONS, grant_of
from vpp_streams.serving.logins import Logins

PASSWORD = "correct horse battery"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PAGE = {"X-VPP-Page": "1"}
"""The header that pages of ours send with a change."""


class Entrance:
    """Accounts, and what it takes to get in; the clock is the test's."""

    def __init__(
        self,
        operators: Path | None = None,
        *,
        now_ms: Callable[[], int] = lambda: NOW_MS,
        clock_s: Callable[[], float] = lambda: 0.0,
        path: Path | None = None,
    ) -> None:
        self.accounts = Accounts(path, CHEAP)
        self.now_ms = now_ms
        self.logins = Logins(operators, self.accounts, clock_s=clock_s, now_ms=now_ms)

    def add(self, name: str, *roles: tuple[str, str], password: str | None = PASSWORD) -> Account:
        """An account with roles, as (role, scope)."""
        people = self.accounts.people
        account = people.add(name, [grant_of(*role) for role in roles], at_ms=self.now_ms())
        if password is not None:
            people.set_password(account, CHEAP.hash(password))
        return people.named(name)

    def token(self, role: str = "operator", scope: str = "*", name: str = "") -> str:
        """A new token of an account with this role and all of its actions."""
        name = name or f"{role}-{scope.replace('*', 'all').replace(':', '-')}"
        found = self.accounts.people.find("name", name)
        account = found or self.add(name, (role, scope), password=None)
        return self.accounts.sessions.add_token(
            account, "test", ACTIONS, now_ms=self.now_ms(), days=1
        )

    def headers(self, role: str = "operator", scope: str = "*") -> dict[str, str]:
        """The headers of a program whose token has this role."""
        return {"Authorization": f"Bearer {self.token(role, scope)}"}

    def link(self, name: str = "demo") -> str:
        """The word of a link that signs in once, as an operator of everything."""
        account = self.accounts.people.find("name", name) or self.add(name, ("operator", "*"))
        return self.accounts.sessions.add_link(account, "sign_in", self.now_ms())
