"""The API of signing in and out: passwords, links that work once, an organisation's provider."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import RedirectResponse, Response

from schemas.audit import AuditHow
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.accounts.sessions import LONGEST_MS
from vpp_streams.domain.access.rights import Principal
from vpp_streams.process.ports import is_loopback
from vpp_streams.serving.needs import BROWSER, ONESELF, PUBLIC
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.account_views import LinkForm, Me, RoleView, SignedIn, SignInForm, Ways
from vpp_streams.web.answers import Json
from vpp_streams.web.bodies import body_of
from vpp_streams.web.callers import client_address, cookie_of, known, session_cookie
from vpp_streams.web.oidc import Oidc, OidcRefusedError, safe_path
from vpp_streams.web.openapi import answers, takes
from vpp_streams.web.routes import Routes
from vpp_streams.web.sign_in import SignIn

_OIDC_COOKIE = "vpp-oidc"
_OIDC_S = 600


class SessionApi:
    """Handlers of ``/session`` and ``/me``."""

    def __init__(
        self, accounts: Accounts, sign_in: SignIn, oidc: Oidc | None, now_ms: Callable[[], int]
    ) -> None:
        """``oidc`` is the organisation's provider, if there is one."""
        self._accounts, self._sign_in = accounts, sign_in
        self._oidc, self._now_ms = oidc, now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes = Routes("Signing in")
        signed = {"status_code": HTTPStatus.CREATED}
        told = answers(SignedIn, 401, 403, 422, 429, 503, ok=(201,))
        routes.get("/me", ONESELF, responses=answers(Me, 401))(self.me)
        routes.get("/session/ways", PUBLIC, responses=answers(Ways))(self.ways)
        routes.post("/session", PUBLIC, responses=told, openapi_extra=takes(SignInForm), **signed)(
            self.password
        )
        routes.post(
            "/session/link", PUBLIC, responses=told, openapi_extra=takes(LinkForm), **signed
        )(self.link)
        routes.post("/session/end", BROWSER, responses=answers(SignedIn, 401))(self.sign_out)
        routes.get("/session/oidc", PUBLIC, status_code=302)(self.to_provider)
        routes.get("/session/oidc/back", PUBLIC, status_code=302)(self.from_provider)
        return routes

    async def me(self, http: HttpRequest) -> Response:
        """Who sends the request, and what it may do."""
        who = known(http.scope)
        return Json(Me(name=who.name, kind=who.kind, roles=roles_of(who), may=list(who.actions)))

    async def ways(self) -> Response:
        """How people can sign in here."""
        name = self._oidc.name if self._oidc is not None else None
        return Json(Ways(oidc=name, accounts=bool(self._accounts.people.all())))

    async def password(self, http: HttpRequest) -> Response:
        """Sign in with a password, and a code if the account has a second factor."""
        _check_transport(http)
        form = await body_of(http, SignInForm, what="sign-in")
        address = client_address(http.scope)
        account = await self._sign_in.by_password(form.account, form.password, form.code, address)
        return self._opened(http, account, "password")

    async def link(self, http: HttpRequest) -> Response:
        """Sign in with a link that works once, or choose a password with it."""
        _check_transport(http)
        form = await body_of(http, LinkForm, what="link")
        address = client_address(http.scope)
        account, signs_in = await self._sign_in.by_link(form.link, form.password, address)
        if signs_in:
            return self._opened(http, account, "link")
        return Json(SignedIn(account=account.name, signed_in=False), HTTPStatus.CREATED)

    async def sign_out(self, http: HttpRequest) -> Response:
        """End the session of this browser."""
        who = known(http.scope)
        self._accounts.sessions.end(self._accounts.people.named(who.name), who.key)
        answer = Json(SignedIn(account=who.name, signed_in=False))
        answer.delete_cookie(session_cookie(http.scope), secure=_is_tls(http), httponly=True)
        return answer

    async def to_provider(
        self, http: HttpRequest, to: Annotated[str, Query(max_length=512)] = ""
    ) -> Response:
        """Send the browser to the organisation's provider (OpenID Connect, code flow, PKCE)."""
        _check_transport(http)
        url, state = await self._provider().start(_back(http), safe_path(to))
        answer = RedirectResponse(url, HTTPStatus.FOUND)
        # Lax, not Strict: the browser comes back from the provider's origin with it.
        answer.set_cookie(
            _OIDC_COOKIE,
            state,
            max_age=_OIDC_S,
            path=_back_path(http),
            secure=_is_tls(http),
            httponly=True,
            samesite="lax",
        )
        return answer

    async def from_provider(
        self,
        http: HttpRequest,
        state: Annotated[str, Query(max_length=512)] = "",
        code: Annotated[str, Query(max_length=4096)] = "",
        error: Annotated[str, Query(max_length=512)] = "",
    ) -> Response:
        """Where the provider sends the browser back to."""
        address = client_address(http.scope)
        try:
            if error or state != (cookie_of(http.scope, _OIDC_COOKIE) or ""):
                raise OidcRefusedError("the sign-in was ended, or was begun in another browser")
            account, path = await self._provider().finish(state, code)
        except OidcRefusedError as refused:
            self._note(refused.who, "oidc", address, "refused", str(refused))
            raise ApiError(
                HTTPStatus.UNAUTHORIZED, str(refused), "begin again at /sign-in.html"
            ) from None
        answer = RedirectResponse(path, HTTPStatus.FOUND)
        answer.delete_cookie(_OIDC_COOKIE, path=_back_path(http))
        self._set_session(http, answer, account, "oidc")
        return answer

    def _provider(self) -> Oidc:
        if self._oidc is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                "no organisation's provider is set up here",
                "VPP_OIDC_ISSUER and the settings beside it name one",
            )
        return self._oidc

    def _opened(self, http: HttpRequest, account: Account, how: AuditHow) -> Response:
        answer = Json(SignedIn(account=account.name, signed_in=True), HTTPStatus.CREATED)
        self._set_session(http, answer, account, how)
        return answer

    def _set_session(
        self, http: HttpRequest, answer: Response, account: Account, how: AuditHow
    ) -> None:
        address, agent = client_address(http.scope), http.headers.get("user-agent", "")
        with self._accounts.store.together():
            word = self._accounts.sessions.open(
                account, self._now_ms(), how=how, address=address, agent=agent
            )
            self._note(account.name, how, address, "done", "")
        answer.set_cookie(
            session_cookie(http.scope),
            word,
            max_age=LONGEST_MS // 1000,
            path="/",
            secure=_is_tls(http),
            httponly=True,
            samesite="strict",
        )

    def _note(self, who: str, how: AuditHow, address: str, result: str, detail: str) -> None:
        self._accounts.audit.note(
            self._now_ms(),
            who=who,
            how=how,
            action="sign_in",
            result="done" if result == "done" else "refused",
            address=address,
            detail=detail,
        )


def roles_of(who: Principal | Account) -> list[RoleView]:
    """The roles of a principal or an account, for the API."""
    return [RoleView(role=grant.role, scope=str(grant.scope)) for grant in who.grants]


def _is_tls(http: HttpRequest) -> bool:
    return str(http.scope["scheme"]) == "https"


def _check_transport(http: HttpRequest) -> None:
    """Raises `ApiError` (403) if a password would travel readable over a network."""
    if _is_tls(http) or is_loopback(client_address(http.scope)):
        return
    raise ApiError(
        HTTPStatus.FORBIDDEN,
        "nobody signs in over plain HTTP from another machine: anybody between could read it",
        "put TLS in front, and its address into VPP_WEB_PROXIES (docs/accounts.md)",
    )


def _back(http: HttpRequest) -> str:
    return f"{http.scope['scheme']}://{http.headers['host']}{_back_path(http)}"


def _back_path(http: HttpRequest) -> str:
    path: str = http.scope["path"]
    return path.removesuffix("/back") + "/back"
