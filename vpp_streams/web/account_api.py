"""The API of one's own account: password, second factor, sessions and tokens."""

from collections.abc import Callable
from http import HTTPStatus

import segno
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.people import Account
from vpp_streams.errors import InputError
from vpp_streams.serving.needs import BROWSER
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.account_views import (
    AccountView,
    Changed,
    CodeForm,
    ConfirmForm,
    NewToken,
    PasswordForm,
    TokenForm,
    TotpStart,
)
from vpp_streams.web.answers import Json
from vpp_streams.web.bodies import body_of
from vpp_streams.web.callers import client_address, known
from vpp_streams.web.openapi import answers, takes
from vpp_streams.web.routes import Routes
from vpp_streams.web.session_api import roles_of
from vpp_streams.web.sign_in import SignIn

_CHANGED = answers(Changed, 401, 403, 404, 422, 429, 503)


class AccountApi:
    """Handlers of ``/account``; each is about the account of the session that asks."""

    def __init__(self, accounts: Accounts, sign_in: SignIn, now_ms: Callable[[], int]) -> None:
        self._accounts, self._sign_in, self._now_ms = accounts, sign_in, now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes = Routes("Account")
        routes.get("/account", BROWSER, responses=answers(AccountView, 401, 403))(self.account)
        for path, form, handler in (
            ("/account/password", PasswordForm, self.password),
            ("/account/totp/confirm", CodeForm, self.confirm_totp),
            ("/account/totp/off", ConfirmForm, self.totp_off),
        ):
            routes.post(path, BROWSER, responses=_CHANGED, openapi_extra=takes(form))(handler)
        started = answers(TotpStart, 401, 403, 422, 429, 503)
        routes.post("/account/totp", BROWSER, responses=started, openapi_extra=takes(ConfirmForm))(
            self.start_totp
        )
        made = answers(NewToken, 401, 403, 422, ok=(201,))
        routes.post(
            "/account/tokens",
            BROWSER,
            responses=made,
            openapi_extra=takes(TokenForm),
            status_code=HTTPStatus.CREATED,
        )(self.add_token)
        routes.post("/account/tokens/{key}/end", BROWSER, responses=_CHANGED)(self.end_token)
        routes.post("/account/sessions/{key}/end", BROWSER, responses=_CHANGED)(self.end_session)
        return routes

    async def account(self, http: HttpRequest) -> Response:
        """One's own account, with its sessions and tokens."""
        who, mine, now_ms = known(http.scope), self._mine(http), self._now_ms()
        return Json(
            AccountView(
                name=mine.name,
                kind=who.kind,
                roles=roles_of(mine),
                may=list(who.actions),
                email=mine.email,
                has_password=mine.has_password,
                has_totp=mine.has_totp,
                session=who.key,
                sessions=self._accounts.sessions.of(mine, now_ms),
                tokens=self._accounts.sessions.tokens(mine, now_ms),
            )
        )

    async def password(self, http: HttpRequest) -> Response:
        """Change the password; every other session ends."""
        form = await body_of(http, PasswordForm, what="password")
        mine = await self._confirmed(http, form.old)
        hashed = await self._sign_in.hashed(form.new)
        with self._accounts.store.together():
            self._accounts.people.set_password(mine, hashed)
            ended = self._accounts.sessions.end_all(mine, but=known(http.scope).key)
        return Json(Changed(said=f"The password is changed; {ended} other sessions were ended."))

    async def start_totp(self, http: HttpRequest) -> Response:
        """Begin to set up a second factor; it counts once a code of it was confirmed."""
        form = await body_of(http, ConfirmForm, what="confirmation")
        mine = await self._confirmed(http, form.password)
        if mine.has_totp:
            raise _wrong("there is a second factor already: turn it off first")
        secret, uri = self._accounts.totp.start(mine)
        qr = segno.make_qr(uri, error="m").svg_data_uri(scale=5, border=2)
        return Json(TotpStart(secret=secret, uri=uri, qr=qr))

    async def confirm_totp(self, http: HttpRequest) -> Response:
        """Turn the second factor on with a code of it."""
        form, mine = await body_of(http, CodeForm, what="code"), self._mine(http)
        if mine.has_totp or not self._accounts.totp.confirm(mine, form.code, self._now_ms()):
            raise _wrong("the code is wrong: compare the clock of the phone, or begin again")
        return Json(Changed(said="The second factor is on: signing in needs a code from now on."))

    async def totp_off(self, http: HttpRequest) -> Response:
        """Turn the second factor off."""
        form = await body_of(http, ConfirmForm, what="confirmation")
        mine = await self._confirmed(http, form.password)
        self._accounts.totp.turn_off(mine)
        return Json(Changed(said="The second factor is off."))

    async def add_token(self, http: HttpRequest) -> Response:
        """Make a token for a program, with some of one's own actions and an end."""
        form, mine = await body_of(http, TokenForm, what="token"), self._mine(http)
        may = set(known(http.scope).actions)
        if more := [action for action in form.may if action not in may]:
            raise _wrong(f"{mine.name} does not have the right {more[0][:40]!r} itself")
        try:
            token = self._accounts.sessions.add_token(
                mine, form.name, form.may, now_ms=self._now_ms(), days=form.days
            )
        except InputError as error:
            raise _wrong(str(error)) from None
        return Json(NewToken(token=token), HTTPStatus.CREATED)

    async def end_token(self, http: HttpRequest, key: str) -> Response:
        """End one of one's tokens."""
        if not self._accounts.sessions.end_token(self._mine(http), key):
            raise _gone("token", key)
        return Json(Changed(said="The token has ended."))

    async def end_session(self, http: HttpRequest, key: str) -> Response:
        """End one of one's sessions."""
        if not self._accounts.sessions.end(self._mine(http), key):
            raise _gone("session", key)
        return Json(Changed(said="The session has ended."))

    def _mine(self, http: HttpRequest) -> Account:
        return self._accounts.people.named(known(http.scope).name)

    async def _confirmed(self, http: HttpRequest, password: str) -> Account:
        """The sender's account, once its password was given again."""
        mine = self._mine(http)
        if not mine.has_password:
            raise _wrong(
                "this account has no password, so nothing here can be confirmed with one",
                "`vpp accounts reset NAME` makes a link for a password",
            )
        await self._sign_in.confirm(mine, password, client_address(http.scope))
        return mine


def _wrong(error: str, hint: str = "nothing was changed") -> ApiError:
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, error, hint)


def _gone(what: str, key: str) -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, f"you have no {what} {key[:32]!r}", "it may have ended")
