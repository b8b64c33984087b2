"""Signing in with an organisation's own provider: OpenID Connect, code flow with PKCE.

The provider says who somebody is; what they may do is decided here. An account is found by the
provider's name of the person (subject), or the first time by a verified e-mail address. Nobody gets
an account by signing in, unless ``VPP_OIDC_CREATE`` sets a role for it.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.domain.access.rights import ScopeError, grant_of
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.settings import Settings

REQUEST_MS = 600_000
"""How long somebody may take at the provider."""
_MOST_REQUESTS = 1000
_PATH = re.compile(r"#/[A-Za-z0-9/%._~:?=&-]{0,500}\Z")


class OidcRefusedError(Exception):
    """A sign-in that cannot be, in one sentence; ``who`` is the name that the provider gave."""

    def __init__(self, error: str, who: str = "") -> None:
        super().__init__(error)
        self.who = who


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known when the browser comes back."""

    state: str
    verifier: str
    """Proves that who redeems the code began the sign-in (PKCE)."""
    nonce: str
    """Comes back in the signed claims: they are of this sign-in."""
    redirect_uri: str
    path: str = "/"
    """The page to open then."""


class Provider(Protocol):
    """A client of one OpenID provider; every failure is an `OidcRefusedError`."""

    async def start(self, redirect_uri: str) -> tuple[str, Begun]:
        """The address at the provider to send a browser to, and what to keep of it."""
        ...

    async def claims(self, begun: Begun, code: str) -> dict[str, Any]:
        """The verified claims of who came back with a code."""
        ...


class Oidc:
    """One provider, and the accounts that its people have here."""

    def __init__(
        self, settings: Settings, accounts: Accounts, now_ms: Callable[[], int], provider: Provider
    ) -> None:
        """Raises `SettingsError` if the settings do not fit together."""
        self.name = settings.oidc_name
        self._issuer = (settings.oidc_issuer or "").rstrip("/")
        self._accounts, self._now_ms, self._provider = accounts, now_ms, provider
        try:
            words = settings.oidc_create.split() if settings.oidc_create else None
            self._created = None if words is None else grant_of(*words)
        except (ScopeError, TypeError) as error:
            raise SettingsError(
                f"VPP_OIDC_CREATE: give a role and a scope, such as 'viewer *' ({error})"
            ) from None

    async def start(self, redirect_uri: str, path: str) -> tuple[str, str]:
        """The address at the provider, and the state that comes back; then ``path`` is opened.

        Raises `OidcRefusedError` if the provider does not answer.
        """
        url, begun = await self._provider.start(redirect_uri)
        begun = msgspec.structs.replace(begun, path=path)
        store, now_ms = self._accounts.store, self._now_ms()
        with store.together():
            store.change("DELETE FROM oidc_request WHERE ends_at_ms <= ?", now_ms)
            store.change(
                "DELETE FROM oidc_request WHERE digest NOT IN"
                " (SELECT digest FROM oidc_request ORDER BY ends_at_ms DESC LIMIT ?)",
                _MOST_REQUESTS - 1,
            )
            content = msgspec.json.encode(begun).decode()
            store.change(
                "INSERT INTO oidc_request VALUES (?, ?, ?)",
                *(digest_of(begun.state), content, now_ms + REQUEST_MS),
            )
        return url, begun.state

    async def finish(self, state: str, code: str) -> tuple[Account, str]:
        """The account of who came back with a code, and the path to open.

        Raises `OidcRefusedError`.
        """
        begun = self._take(state)
        claims = await self._provider.claims(begun, code)
        if not isinstance(claims.get("sub"), str):
            raise OidcRefusedError(f"{self.name} did not say who signed in")
        return self._account_of(claims), begun.path

    def _take(self, state: str) -> Begun:
        """What was begun with a state, once."""
        store, digest = self._accounts.store, digest_of(state)
        with store.together():
            row = store.row(
                "SELECT content FROM oidc_request WHERE digest = ? AND ends_at_ms > ?",
                *(digest, self._now_ms()),
            )
            store.change("DELETE FROM oidc_request WHERE digest = ?", digest)
        if row is None:
            raise OidcRefusedError("this sign-in took too long, or was finished already")
        return msgspec.json.decode(row[0], type=Begun)

    def _account_of(self, claims: dict[str, Any]) -> Account:
        people, subject = self._accounts.people, f"{self._issuer}|{claims['sub']}"
        email = claims.get("email") if claims.get("email_verified") is True else None
        who = str(email or claims["sub"])[:200]
        account = people.find("subject", subject)
        if account is None and isinstance(email, str):
            account = people.find("email", email)
            if account is not None and people.subject(account) is not None:
                raise OidcRefusedError("the account of this address belongs to another person", who)
            account = account or self._create(email)
            if account is not None:
                people.bind(account, subject)
        if account is None or account.disabled:
            raise OidcRefusedError(
                "there is no account for you here; whoever runs this system adds one", who
            )
        return account

    def _create(self, email: str) -> Account | None:
        """A new account for a verified address, if that is allowed."""
        if self._created is None:
            return None
        name = re.sub(r"[^A-Za-z0-9._@-]", "-", email)[:64]
        try:
            account = self._accounts.people.add(
                name, [self._created], at_ms=self._now_ms(), email=email
            )
        except InputError:
            return None
        self._accounts.audit.note(
            self._now_ms(),
            who=account.name,
            how="oidc",
            action="account_add",
            result="done",
            target=account.name,
            detail=f"signed in for the first time: {self._created}",
        )
        return account


def safe_path(wanted: str) -> str:
    """The page to open after signing in: one of ours, whatever was asked for."""
    return f"/{wanted}" if _PATH.match(wanted) else "/"
