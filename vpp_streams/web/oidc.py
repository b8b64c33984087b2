"""Signing in with an organisation's own provider: OpenID Connect, code flow with PKCE (Authlib).

The provider says who somebody is; what they may do is decided here. An account is found by the
provider's name of the person (subject), or the first time by a verified e-mail address. Nobody gets
an account by signing in, unless ``VPP_OIDC_CREATE`` sets a role for it.
"""

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import StarletteOAuth2App
from joserfc.errors import JoseError

from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.domain.access.rights import ScopeError, grant_of
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.settings import Settings

log = structlog.get_logger()
TIMEOUT_S = 10.0
REQUEST_MS = 600_000
"""How long somebody may take at the provider."""
_MOST_REQUESTS = 1000
_PATH = re.compile(r"#/[A-Za-z0-9/%._~:?=&-]{0,500}\Z")


class OidcRefusedError(Exception):
    """A sign-in that cannot be, in one sentence; ``who`` is the name that the provider gave."""

    def __init__(self, error: str, who: str = "") -> None:
        super().__init__(error)
        self.who = who


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known when the browser comes back."""

    verifier: str
    nonce: str
    redirect_uri: str
    path: str


class Oidc:
    """One provider, and the accounts that its people have here."""

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        now_ms: Callable[[], int],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Raises `SettingsError` if the settings do not fit together."""
        if not settings.oidc_issuer or not settings.oidc_client_id:
            raise SettingsError("VPP_OIDC_ISSUER and VPP_OIDC_CLIENT_ID are set together")
        self.name = settings.oidc_name
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._accounts, self._now_ms = accounts, now_ms
        try:
            words = settings.oidc_create.split() if settings.oidc_create else None
            self._created = None if words is None else grant_of(*words)
        except (ScopeError, TypeError) as error:
            raise SettingsError(
                f"VPP_OIDC_CREATE: give a role and a scope, such as 'viewer *' ({error})"
            ) from None
        secret = settings.oidc_client_secret
        self._app: Any = StarletteOAuth2App(
            framework=None,
            name="oidc",
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret is not None else None,
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_S,
                **({"transport": transport} if transport is not None else {}),
            },
        )

    async def start(self, redirect_uri: str, path: str) -> tuple[str, str]:
        """The address at the provider, and the state that comes back; then ``path`` is opened.

        Raises `OidcRefusedError` if the provider does not answer.
        """
        try:
            begun = await self._app.create_authorization_url(redirect_uri)
        except (httpx.HTTPError, AuthlibBaseError, RuntimeError, ValueError) as error:
            raise self._silent(error) from None
        kept = _Begun(
            verifier=begun["code_verifier"],
            nonce=begun["nonce"],
            redirect_uri=redirect_uri,
            path=path,
        )
        store, now_ms = self._accounts.store, self._now_ms()
        with store.together():
            store.change("DELETE FROM oidc_request WHERE ends_at_ms <= ?", now_ms)
            store.change(
                "DELETE FROM oidc_request WHERE digest NOT IN"
                " (SELECT digest FROM oidc_request ORDER BY ends_at_ms DESC LIMIT ?)",
                _MOST_REQUESTS - 1,
            )
            content = msgspec.json.encode(kept).decode()
            store.change(
                "INSERT INTO oidc_request VALUES (?, ?, ?)",
                *(digest_of(begun["state"]), content, now_ms + REQUEST_MS),
            )
        return begun["url"], begun["state"]

    async def finish(self, state: str, code: str) -> tuple[Account, str]:
        """The account of who came back with a code, and the path to open.

        Raises `OidcRefusedError`.
        """
        begun = self._take(state)
        try:
            token = await self._app.fetch_access_token(
                redirect_uri=begun.redirect_uri, code=code, code_verifier=begun.verifier
            )
            claims = await self._app.parse_id_token(token, nonce=begun.nonce)
        except (httpx.HTTPError, AuthlibBaseError, JoseError, RuntimeError, ValueError) as error:
            raise self._silent(error) from None
        if claims is None or not isinstance(claims.get("sub"), str):
            raise OidcRefusedError(f"{self.name} did not say who signed in")
        return self._account_of(claims), begun.path

    def _take(self, state: str) -> _Begun:
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
        return msgspec.json.decode(row[0], type=_Begun)

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

    def _silent(self, error: Exception) -> OidcRefusedError:
        log.warning("the OpenID provider refused a sign-in, or did not answer", error=str(error))
        return OidcRefusedError(
            f"{self.name} did not confirm the sign-in ({type(error).__name__}); see the log"
        )


def safe_path(wanted: str) -> str:
    """The page to open after signing in: one of ours, whatever was asked for."""
    return f"/{wanted}" if _PATH.match(wanted) else "/"
