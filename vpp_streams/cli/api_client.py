"""The web API for the command line: its address, a token, and one-line errors."""

from typing import Any, TypeVar

import httpx
import msgspec

from vpp_streams.errors import WebError, WebSilentError
from vpp_streams.serving.operators import read_access
from vpp_streams.serving.views import Problem
from vpp_streams.settings import Settings

TIMEOUT_S = 40.0
"""Time-out of a request, s: longer than the web process waits for Kafka and the region role."""
_NOT_SERVED = 429, 500, 502, 503, 504
"""Statuses with which the web process, or a proxy before it, cannot serve a request now."""
T = TypeVar("T")


def url_of(settings: Settings) -> str:
    """The address of the web process: as set, or that of `vpp up` on this machine."""
    access = read_access(settings.state_dir)
    default = f"http://{settings.host}:{settings.web_port}"
    return (settings.web_url or (access.url if access else default)).rstrip("/")


class ApiClient:
    """Requests to one web process; every problem is a `WebError` of one line with the remedy.

    Without an answer, or without one of the web process's own, it is a `WebSilentError`.
    """

    def __init__(
        self,
        settings: Settings,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        access = read_access(settings.state_dir)
        self.url = url_of(settings)
        self._token = settings.api_token
        if self._token is None and access is not None and access.url.rstrip("/") == self.url:
            # A demo's token is sent to that demo only.
            self._token = access.token
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1/", timeout=timeout_s, transport=transport
        )

    def __enter__(self) -> "ApiClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, type_: type[T], **parameters: Any) -> T:
        """A document of the API, decoded as ``type_``."""
        known = {name: value for name, value in parameters.items() if value is not None}
        return self._answer("GET", path, type_, params=known)

    def order(self, path: str, body: dict[str, Any], type_: type[T]) -> T:
        """Give an order; returns the decoded answer."""
        return self._answer("POST", path, type_, content=msgspec.json.encode(body))

    def _answer(self, method: str, path: str, type_: type[T], **more: Any) -> T:
        if self._token is None:
            raise WebError(
                f"no token for {self.url}: set VPP_TOKEN (`vpp accounts token NAME` or"
                " `vpp operators token NAME` makes one), or run `vpp up` on this machine"
            )
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            response = self._client.request(method, path, headers=headers, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise WebSilentError(
                f"no web process answers at {self.url} ({reason}); start one with `vpp up` or"
                " `vpp web`, or point VPP_WEB_URL at yours"
            ) from None
        try:
            if response.is_success:
                return msgspec.json.decode(response.content, type=type_)
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.DecodeError as error:
            raise WebSilentError(
                f"{self.url} answered {response.status_code} with an unknown document ({error})"
            ) from None
        hint = f" ({problem.hint})" if problem.hint else ""
        kind = WebSilentError if response.status_code in _NOT_SERVED else WebError
        raise kind(f"{problem.error}{hint}")
