"""The client of an OpenID provider: Authlib behind the seam `oidc.Provider`.

Only imported where a provider is set up.
"""

import warnings
from typing import Any

import httpx
import structlog
from joserfc.errors import JoseError

from vpp_streams.errors import SettingsError
from vpp_streams.settings import Settings
from vpp_streams.web.oidc import Begun, OidcRefusedError

with warnings.catch_warnings():
    # Authlib would rather use httpx's successor; we have one HTTP client, and it supports that.
    warnings.simplefilter("ignore")
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.starlette_client import StarletteOAuth2App

log = structlog.get_logger()
TIMEOUT_S = 10.0
_FAILURES = (httpx.HTTPError, AuthlibBaseError, JoseError, RuntimeError, ValueError, KeyError)
"""Whatever a provider can do wrong; Authlib raises these of its answers."""


class OidcClient:
    """The provider at ``settings.oidc_issuer``, found by its discovery document."""

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Raises `SettingsError` if the client's id is missing."""
        if not settings.oidc_issuer or not settings.oidc_client_id:
            raise SettingsError("VPP_OIDC_ISSUER and VPP_OIDC_CLIENT_ID are set together")
        secret = settings.oidc_client_secret
        self._issuer = settings.oidc_issuer.rstrip("/")
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

    async def start(self, redirect_uri: str) -> tuple[str, Begun]:
        """As `oidc.Provider.start`."""
        try:
            begun = await self._app.create_authorization_url(redirect_uri)
        except _FAILURES as error:
            raise _failed(error) from None
        return begun["url"], Begun(
            state=begun["state"],
            verifier=begun["code_verifier"],
            nonce=begun["nonce"],
            redirect_uri=redirect_uri,
        )

    async def claims(self, begun: Begun, code: str) -> dict[str, Any]:
        """As `oidc.Provider.claims`: signature, issuer, audience, time and nonce are checked."""
        issuer = {"essential": True, "value": self._issuer}
        try:
            token = await self._app.fetch_access_token(
                redirect_uri=begun.redirect_uri, code=code, code_verifier=begun.verifier
            )
            claims = await self._app.parse_id_token(
                token, nonce=begun.nonce, claims_options={"iss": issuer}
            )
        except _FAILURES as error:
            raise _failed(error) from None
        return dict(claims or {})


def _failed(error: Exception) -> OidcRefusedError:
    log.warning("the OpenID provider refused a sign-in, or did not answer", error=str(error))
    return OidcRefusedError(
        f"the provider did not confirm the sign-in ({type(error).__name__}); see the log"
    )
