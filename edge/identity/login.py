"""Who the agent is to the gateway, and whether it makes sense to connect."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol

from schemas.protocol import CLOSE_REVOKED


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to the gateway."""

    token: str | None
    """None = the certificate in ``tls`` says who it is."""
    tls: ssl.SSLContext | None
    """None = the link has no TLS."""


class Login(Protocol):
    """Where a client gets its credentials from, before each connection."""

    async def ready(self) -> Credentials:
        """Wait until it makes sense to connect; the credentials for it."""

    def closed(self, code: int | None) -> None:
        """Take note of a connection's end and its close code; None = none was established."""


class Given:
    """A `Login` whose credentials never change, and are shown whatever the gateway says."""

    def __init__(self, token: str | None, tls: ssl.SSLContext | None) -> None:
        self._credentials = Credentials(token, tls)

    async def ready(self) -> Credentials:
        """See `Login.ready`."""
        return self._credentials

    def closed(self, code: int | None) -> None:
        """See `Login.closed`."""


class AgentLogin(Login, Protocol):
    """A `Login` that looks after itself, and says how it is."""

    @property
    def trouble(self) -> str:
        """What is wrong and the way out, in one sentence; "" = nothing."""

    @property
    def ends_ms(self) -> int | None:
        """When the certificate ends, ms since 1970 UTC; None = there is none."""

    async def keep(self) -> None:
        """Keep the credentials usable until it is cancelled."""


class TokenLogin:
    """An `AgentLogin` by token. Once it is revoked the agent does not connect any more."""

    ends_ms: int | None = None

    def __init__(self, token: str, tls: ssl.SSLContext | None) -> None:
        self.trouble = ""
        self._credentials = Credentials(token, tls)
        self._usable = asyncio.Event()
        self._usable.set()

    async def ready(self) -> Credentials:
        """See `Login.ready`."""
        await self._usable.wait()
        return self._credentials

    def closed(self, code: int | None) -> None:
        """See `Login.closed`."""
        if code == CLOSE_REVOKED:
            self.trouble = (
                "the operator has revoked this device: no connection is tried; ask the operator for"
                " a code, enrol with `vpp edge enrol`, and start the agent again"
            )
            self._usable.clear()

    async def keep(self) -> None:
        """See `AgentLogin.keep`; a token needs no care."""
        await asyncio.Event().wait()
