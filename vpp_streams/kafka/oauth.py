"""Tokens for OAUTHBEARER: client credentials at a token endpoint (RFC 6749, section 4.4)."""

import time
from collections.abc import Callable

import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

TIMEOUT_S = 10.0
USED_SHARE = 0.8
"""Share of a token's life after which the next connection gets a new one."""


class ClientTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """Fetches a token when a connection needs one, and keeps it for most of its life.

    Clients of several event loops may share it: two that need a token at once fetch one each.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        secret: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._credentials = httpx.BasicAuth(client_id, secret)
        self._transport = transport
        self._now_s = now_s
        self._token = ""
        self._renew_at_s = 0.0

    async def token(self) -> str:
        """A token that holds. Raises `AuthenticationFailedError` where the endpoint gives none."""
        if not self._token or self._now_s() >= self._renew_at_s:
            asked_s = self._now_s()
            self._token, life_s = await self._fetch()
            self._renew_at_s = asked_s + life_s * USED_SHARE
        return self._token

    async def _fetch(self) -> tuple[str, float]:
        """A new token, and how long it holds (s); 0 where the answer does not say."""
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT_S) as http:
                answer = await http.post(
                    self._url, auth=self._credentials, data={"grant_type": "client_credentials"}
                )
        except httpx.HTTPError as error:
            raise _failed(self._url, str(error) or type(error).__name__) from None
        try:
            found = answer.json()
            token, life_s = found["access_token"], float(found.get("expires_in", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _failed(self._url, f"answer {answer.status_code} has no token") from None
        if not isinstance(token, str) or not token or not 0 <= life_s < float("inf"):
            raise _failed(self._url, f"answer {answer.status_code} has no token")
        return token, life_s


def _failed(url: str, why: str) -> AuthenticationFailedError:
    # An error of Kafka's library, as that is who calls: it tries again with the next connection.
    return AuthenticationFailedError(
        f"no token from {url} ({why}); check VPP_KAFKA_OAUTH_CLIENT_ID and its secret"
    )
