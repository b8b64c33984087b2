"""Checks of every request: the host that it names, who sends it, and the right that it needs.

A foreign ``Host`` is refused: otherwise any page in a browser could read from this process by
resolving its own name to our address. A path that declares no need is not there. What a browser
sends with a session has to come from a page of ours, in every way that a browser can say so.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.audit import AuditResult
from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.logins import Logins, unknown
from vpp_streams.serving.needs import Of
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import LOOPBACK
from vpp_streams.web.callers import (
    client_address,
    outcome_of,
    principal_of_request,
    set_outcome,
    set_principal,
)
from vpp_streams.web.problems import answer_of
from vpp_streams.web.routes import Needs
from vpp_streams.web.senders import Senders

_TOO_MUCH = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_ANY = ("0.0.0.0", "::", "")
PAGE_HEADER = "x-vpp-page"
"""A page of ours sends it with each change: other origins cannot send it without our leave."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
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
        needs: Needs,
        read_model: ReadModel,
        *,
        host: str,
        more_hosts: Collection[str] = (),
    ) -> None:
        """``host`` is the address that we listen on; ``more_hosts`` are further names of it."""
        self._counters: Counter[str] = read_model.counters
        self._app = app
        self._logins, self._senders = logins, Senders(logins)
        self._needs = needs
        self._model = read_model
        self._hosts = {name.lower() for name in (*LOOPBACK, host, *more_hosts)}
        self._any_address = host in _ANY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on with its sender (`callers.principal_of_request`)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._audit(scope, message["status"])
                if message["status"] in _TOO_MUCH:
                    self._counters["requests_refused"] += 1
                headers = MutableHeaders(scope=message)
                tls = TLS_HEADERS if scope["scheme"] == "https" else {}
                for name, value in (HEADERS | tls).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except ApiError as problem:
            set_outcome(scope, problem.error)
            await answer_of(problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        """Find out who sends a request, and whether it may. Raises `ApiError`."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        self._check_names(headers, method)
        sender = self._senders.sender(scope)
        set_principal(scope, sender)
        try:
            declared, parameters = self._needs.of(method, path)
        except ApiError:
            if sender is None and path.startswith("/api/"):
                raise _who() from None
            raise
        need = declared.need
        if need.of is Of.NOBODY:
            if method not in ("GET", "HEAD"):
                self._check_page(headers)
            return
        if sender is None:
            raise _who()
        if method not in ("GET", "HEAD"):
            scope["state"]["audited"] = declared, parameters
        if sender.kind == "session" and method not in ("GET", "HEAD"):
            self._check_page(headers)
        self._check_right(need.of, sender)
        need.check(sender, self._model, parameters)

    def _audit(self, scope: Scope, status: int) -> None:
        """Note each change that a known sender asked for, with its outcome, whatever its path."""
        declared, parameters = scope["state"].pop("audited", (None, {}))
        sender = principal_of_request(scope)
        if declared is None or sender is None:
            return
        known = HTTPStatus.INTERNAL_SERVER_ERROR
        result: AuditResult = "done" if status < 400 else "refused" if status < known else "failed"
        self._logins.note(
            who=sender.name,
            how=sender.kind,
            action=f"{declared.method} {declared.path.removeprefix('/api/v1')}",
            target=" ".join(f"{name}={value}" for name, value in parameters.items()),
            address=client_address(scope),
            result=result,
            detail=outcome_of(scope),
        )

    @staticmethod
    def _check_right(of: Of, sender: Principal) -> None:
        if of is not Of.ONESELF and of is not Of.BROWSER and not sender.grants:
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                f"{sender.name} has no role yet",
                "whoever runs this system gives one: vpp accounts role NAME ROLE SCOPE",
            )

    @staticmethod
    def _check_page(headers: Headers) -> None:
        """Raises `ApiError` unless a page of exactly our origin made the request itself."""
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise _foreign(origin)
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise _foreign(f"another origin ({headers['sec-fetch-site'][:16]})")
        if headers.get(PAGE_HEADER) != "1":
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                f"the header {PAGE_HEADER} is missing",
                f"what is sent with a session has {PAGE_HEADER}: 1; programs use a token",
            )

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
            raise _foreign(origin)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None or "@" in host:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))


def _who() -> ApiError:
    return unknown(
        "sign in first",
        "a browser signs in at /sign-in.html; a program sends `Authorization: Bearer <token>`",
    )


def _foreign(origin: str) -> ApiError:
    return ApiError(
        HTTPStatus.FORBIDDEN,
        f"a page of {origin[:64]!r} may not give orders here",
        "VPP_WEB_HOSTS lists the hosts whose pages may",
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
