"""Checks of every request: the host that it names, its operator's token; headers for browsers.

A foreign ``Host`` is refused: otherwise any page in a browser could read from this process by
resolving its own name to our address. An order sent by a page of another origin is refused too.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vpp_streams.settings import LOOPBACK
from vpp_streams.web.callers import bearer_of, client_address, set_operator
from vpp_streams.web.logins import Logins
from vpp_streams.web.operators import Operator
from vpp_streams.web.problems import ApiError, answer_of

_TOO_MUCH = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_ANY = ("0.0.0.0", "::", "")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
TLS_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Sent only with answers over TLS: browsers ignore them elsewhere, or complain."""


class Guard:
    """ASGI middleware around the complete application."""

    def __init__(
        self,
        app: ASGIApp,
        logins: Logins,
        counters: Counter[str],
        host: str,
        more_hosts: Collection[str] = (),
    ) -> None:
        """``host`` is the address that we listen on; ``more_hosts`` are further names of it."""
        self._counters = counters
        self._app = app
        self._logins = logins
        self._hosts = {name.lower() for name in (*LOOPBACK, host, *more_hosts)}
        self._any_address = host in _ANY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on with ``state["operator"]``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] in _TOO_MUCH:
                    self._counters["requests_refused"] += 1
                headers = MutableHeaders(scope=message)
                tls = TLS_HEADERS if scope["scheme"] == "https" else {}
                for name, value in (HEADERS | tls).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check_names(Headers(scope=scope), scope["method"])
            set_operator(scope, self._operator(scope))
        except ApiError as problem:
            await answer_of(problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _operator(self, scope: Scope) -> Operator | None:
        """The operator who has the token; None = there is no token, or no file of operators."""
        token = bearer_of(scope)
        if token is None or not self._logins.has_operators:
            return None
        return self._logins.holder(client_address(scope), token)

    def _check_names(self, headers: Headers, method: str) -> None:
        """Raises `ApiError` if the request names a foreign host or is sent by a foreign page."""
        if not self._is_ours(host := headers.get("host", "")):
            raise ApiError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this web process is not {host[:64]!r}",
                "VPP_WEB_HOSTS lists the hosts that it answers to, besides localhost and VPP_HOST",
            )
        origin = headers.get("origin")
        if method in ("GET", "HEAD") or origin is None:
            return
        if not self._is_ours(origin.partition("://")[2]):
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                f"a page of {origin[:64]!r} may not give orders here",
                "VPP_WEB_HOSTS lists the hosts whose pages may",
            )

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None or "@" in host:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
