"""The sender of a request: the client's address, its token or session, and who it is."""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.types import Scope

from vpp_streams.domain.access.rights import Principal

_NAME = "vpp-session"


def client_address(scope: Scope) -> str:
    """The client's address, from a trusted proxy's header or else from the connection."""
    client = scope.get("client")
    return client[0] if client else ""


def bearer_of(scope: Scope) -> str | None:
    """The token in a request's header ``Authorization: Bearer``, or None."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def session_cookie(scope: Scope) -> str:
    """The name of the cookie with the session.

    Over TLS it begins with ``__Host-``: no other host, not even one below ours, can set it.
    """
    return f"__Host-{_NAME}" if scope.get("scheme") == "https" else _NAME


def session_of(scope: Scope) -> str | None:
    """The word of a request's session, or None.

    A request that the browser made for a page of another origin has none: ``SameSite`` would let
    pages of another port of our host use it.
    """
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return None
    return cookie_of(scope, session_cookie(scope))


def cookie_of(scope: Scope, name: str) -> str | None:
    """The value of a request's cookie, or None."""
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found is not None and found.value else None


def set_principal(scope: Scope, who: Principal | None) -> None:
    """Store who sends a request in its scope, for all that handles it later."""
    scope.setdefault("state", {})["principal"] = who


def principal_of_request(scope: Scope) -> Principal | None:
    """Who sends a request that has passed the guard; None if that is not known."""
    who: Principal | None = scope.get("state", {}).get("principal")
    return who


def known(scope: Scope) -> Principal:
    """Who sends a request that has passed the guard, on a path that needs a right.

    Raises `RuntimeError` on a path that needs none: nobody is known there.
    """
    who = principal_of_request(scope)
    if who is None:
        raise RuntimeError("the path of this request needs no right")
    return who


def set_outcome(scope: Scope, outcome: str) -> None:
    """Store the outcome of a request in words, for the audit trail."""
    scope.setdefault("state", {})["outcome"] = outcome


def outcome_of(scope: Scope) -> str:
    """The outcome of a request in words; empty if nothing was said about it."""
    outcome: str = scope.get("state", {}).get("outcome", "")
    return outcome
