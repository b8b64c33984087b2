"""The check as a device: connects to a gateway, sends what a scenario wants, keeps a transcript."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from schemas.protocol import SUBPROTOCOL, Ack, Error, Hello, HelloResult, Malformed, Result
from schemas.wire import decode, decode_result, encode_call
from vpp_streams.conformance.journal import Journal
from vpp_streams.conformance.transcript import Ended, Received, calls_received

HELLO_ID = "hello"
_TRIES = 5
"""Upgrades tried while a gateway answers 429: it allows one a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where the gateway is, and which device the check is."""

    url: str
    """``ws://`` or ``wss://``, without a path."""
    device_id: str
    token: str | None
    """None = the certificate in ``tls`` says who it is."""
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An upgrade that was refused, with its HTTP status; 0 = nobody answered."""

    status: int
    words: str


class Link:
    """One connection of the check, with what the gateway sent over it."""

    def __init__(self, number: int, socket: ClientConnection, journal: Journal) -> None:
        self.number = number
        self.socket = socket
        self.journal = journal
        self._reading = asyncio.create_task(self._read())

    @property
    def received(self) -> list[Received]:
        """The gateway's messages so far."""
        return [
            event
            for event in self.journal.events
            if isinstance(event, Received) and event.link == self.number
        ]

    def acks(self) -> list[Ack]:
        """The Acks so far."""
        return [ack for _, _, ack in calls_received(self.received, Ack)]

    def errors(self) -> dict[str, str]:
        """The codes of the errors so far, by the id of the refused message."""
        messages = [event.message for event in self.received]
        return {each.id: each.code for each in messages if isinstance(each, Error)}

    def hello_result(self) -> HelloResult | None:
        """The answer to Hello; None = there is none, or it cannot be read."""
        for event in self.received:
            if isinstance(event.message, Result) and event.message.id == HELLO_ID:
                result = decode_result(event.message, HelloResult)
                return None if isinstance(result, Malformed) else result
        return None

    def close_code(self) -> int | None:
        """The code with which the gateway closed; -1 = without one, None = it is open."""
        for event in self.journal.events:
            if isinstance(event, Ended) and event.link == self.number:
                return -1 if event.code is None else event.code
        return None

    async def send(self, data: bytes | str) -> None:
        """Send a text message, whatever its bytes are, if the connection is open."""
        with suppress(ConnectionClosed):
            await self.socket.send(data, text=True)

    async def greet(self, hello: Hello, within_ms: int) -> HelloResult | None:
        """Send Hello, and wait for its answer."""
        await self.send(encode_call(HELLO_ID, hello))
        await self.journal.until(lambda: self.hello_result() is not None, within_ms)
        return self.hello_result()

    async def ponged(self, within_ms: int) -> bool:
        """Send a ping, and wait for its pong."""
        try:
            async with asyncio.timeout(within_ms / 1000):
                await (await self.socket.ping())
        except TimeoutError:
            return False
        return True

    async def closed(self, within_ms: int) -> int | None:
        """Wait until the gateway closes; returns the code as `close_code` does."""
        await self.journal.until(lambda: self.close_code() is not None, within_ms)
        return self.close_code()

    async def refused(self, id_: str, within_ms: int) -> str:
        """Wait for the error that answers a message; returns its code, "" = there was none."""
        await self.journal.until(lambda: id_ in self.errors(), within_ms)
        return self.errors().get(id_, "")

    async def close(self) -> None:
        """End the connection."""
        await self.socket.close()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for data in self.socket:
                size = len(data.encode()) if isinstance(data, str) else len(data)
                at_ms, is_text = self.journal.now_ms(), isinstance(data, str)
                self.journal.note(Received(self.number, at_ms, decode(data), size, is_text))
        received = self.socket.protocol.close_rcvd
        code = None if received is None else received.code
        self.journal.note(Ended(self.number, self.journal.now_ms(), code))


class DevicePlayer:
    """Opens connections as one device."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.journal = Journal()
        self._numbers: Iterator[int] = iter(range(10**6))

    async def open(
        self,
        *,
        path: str | None = None,
        token: str | None = None,
        subprotocol: str | None = SUBPROTOCOL,
        headers: Mapping[str, str] | None = None,
    ) -> Link | Refused:
        """Request an upgrade; what is left out is as it has to be. ``token`` "" = none."""
        shown = self.login.token if token is None else token
        bearer = {"Authorization": f"Bearer {shown}"} if shown else {}
        options: dict[str, Any] = {
            "subprotocols": [Subprotocol(subprotocol)] if subprotocol else None,
            "additional_headers": bearer | dict(headers or {}),
        }
        for _ in range(_TRIES):
            opened = await self._upgrade(path or f"/v1/{self.login.device_id}", options)
            if not isinstance(opened, Refused) or opened.status != 429:
                break
            await asyncio.sleep(1.1)
        return opened

    async def _upgrade(self, path: str, options: dict[str, Any]) -> Link | Refused:
        try:
            socket = await connect(
                self.login.url.rstrip("/") + path,
                compression=None,
                user_agent_header=None,
                ping_interval=None,
                close_timeout=2,
                open_timeout=10,
                ssl=self.login.tls,
                proxy=None,
                **options,
            )
        except InvalidStatus as refused:
            words = (refused.response.body or b"").decode(errors="replace").strip()
            return Refused(refused.response.status_code, words[:200])
        except (OSError, TimeoutError, WebSocketException) as error:
            return Refused(0, str(error) or type(error).__name__)
        return Link(next(self._numbers), socket, self.journal)
