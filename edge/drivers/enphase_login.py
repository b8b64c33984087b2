"""Who a home's owner is to the IQ Gateway: a token, or an account with which tokens are fetched."""

import os
from pathlib import Path

from pyenphase import Envoy
from pyenphase.auth import EnvoyTokenAuth
from pyenphase.const import AUTH_TOKEN_MIN_VERSION
from pyenphase.exceptions import EnvoyAuthenticationError

from edge.clock import day_of, monotonic_ms, utc_ms
from edge.driver import DriverError

_FETCH_AGAIN_MS = 600_000
"""Enphase's servers are asked for a token at most this often."""
_PAGE = "https://entrez.enphaseenergy.com"


class EnphaseLogin:
    """Signs in by the gateway's firmware. Files are read at each attempt."""

    def __init__(
        self, host: str, token_file: Path | None, *, email: str, password_file: Path | None
    ) -> None:
        self.is_old = False
        """Whether the firmware is older than tokens, and needs none."""
        self._host, self._token_file = host, token_file
        self._email, self._password_file = email, password_file
        self._fetched_ms: int | None = None

    async def sign_in(self, envoy: Envoy) -> None:
        """Sign in. Raises `DriverError` with the way out, and whatever the library does."""
        await envoy.setup()
        if envoy.firmware is None:
            raise DriverError(f"{self._host} is no Enphase gateway: its /info has no firmware")
        self.is_old = bool(envoy.firmware < AUTH_TOKEN_MIN_VERSION)
        if self.is_old:
            await envoy.authenticate()  # with the password that its serial number gives
            return
        if self._token_file is None:
            raise DriverError(
                f"firmware {envoy.firmware} of {self._host} needs token_file in [driver], or email"
                f" and password_file too; the owner gets a token at {_PAGE}"
            )
        token = self._token()
        if token:
            try:
                await envoy.authenticate(token=token)
            except EnvoyAuthenticationError:
                if not self._email:
                    raise DriverError(self.refused("/auth/check_jwt", token)) from None
            else:
                return
        await self._fetch(envoy)

    def refused(self, path: str, token: str = "") -> str:
        """What a refusal of the gateway means, and the way out."""
        if self.is_old:
            return f"{self._host} refuses the password of its serial number at {path}"
        ended = _ended(self._host, token)
        renewed = "it is fetched again" if self._email else f"get another one at {_PAGE}"
        return f"{self._host} refuses the token of {self._token_file} at {path}{ended}: {renewed}"

    def _token(self) -> str:
        """The token of the file; "" = there is none, and one can be fetched."""
        file = self._token_file
        try:
            token = "" if file is None else file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            token = ""
        if token and token.isprintable() and " " not in token:
            return token
        if self._email:
            return ""
        raise DriverError(f"token_file: {file} contains no token; get one at {_PAGE}")

    async def _fetch(self, envoy: Envoy) -> None:
        """Fetch a token by the owner's account, try it, and keep it."""
        now_ms = monotonic_ms()
        if self._fetched_ms is not None and now_ms - self._fetched_ms < _FETCH_AGAIN_MS:
            raise DriverError(
                f"{self._host} has no token; Enphase is asked again"
                f" {_FETCH_AGAIN_MS // 60_000} minutes after the last time"
            )
        self._fetched_ms = now_ms
        assert self._password_file is not None  # `Options` checks that it is there with the email
        password = self._password_file.read_text(encoding="utf-8").strip()
        try:
            await envoy.authenticate(username=self._email, password=password)
        except EnvoyAuthenticationError as error:
            raise DriverError(f"no token for {self._email}: {error}"[:200]) from None
        if isinstance(envoy.auth, EnvoyTokenAuth) and self._token_file is not None:
            _keep(self._token_file, envoy.auth.token)


def _keep(file: Path, token: str) -> None:
    """Write a token where nobody else can read it."""
    half = file.with_name(f"{file.name}.half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        os.fchmod(descriptor, 0o600)
        opened.write(f"{token.strip()}\n")
    os.replace(half, file)


def _ended(host: str, token: str) -> str:
    """Since when a token is of no use, in words; "" = it does not say."""
    try:
        ends_ms = EnvoyTokenAuth(host, token=token).expire_timestamp * 1000
        return f" (it ended on {day_of(ends_ms)})" if ends_ms < utc_ms() else ""
    except Exception:  # a token may be anything, and the library raises whatever its parts do
        return ""
