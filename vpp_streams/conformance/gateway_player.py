"""The check as a gateway: accepts a device, answers as a scenario wants, keeps a transcript."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from websockets import Request, Response
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from schemas.protocol import (
    SUBPROTOCOL,
    Ack,
    Backfill,
    BackfillPace,
    Call,
    CommandStatus,
    Drain,
    ErrorCode,
    Hello,
    HelloResult,
    Malformed,
    Message,
    Setpoint,
    SpanMs,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)
from schemas.wire import decode, encode_call, encode_error, encode_result, encode_send
from vpp_streams.conformance.journal import Journal
from vpp_streams.conformance.transcript import Ended, Opened, Received, Sent
from vpp_streams.errors import InputError

_LARGEST_BYTES = 2**20
"""Larger messages than are allowed are taken, so that they can be judged."""
_UNKNOWN_KEY = {"from_a_later_version": {"x": [1, None]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the check behaves towards the device; a scenario changes some of it."""

    interval_ms: int = 1000
    ack_ms: int = 1000
    hello_delay_ms: int = 0
    turn_away: bool = False
    """Refuse upgrades with 503."""
    boot_used: bool = False
    clock_ahead_ms: int = 0
    """How much the gateway's clock is ahead of UTC."""
    backfill_delay_ms: SpanMs = (0, 0)
    rows_per_s: int = 50
    acks: bool = True
    answers_statuses: bool = True
    unknown_keys: bool = False
    """Add a key of a later version to HelloResult and Ack."""
    refuses_next: ErrorCode | None = None
    """Refuse the next live reading with this code."""


class GatewayPlayer:
    """Accepts connections one after the other. ``manners`` apply from the next message on."""

    def __init__(self, journal: Journal, manners: Manners) -> None:
        self.journal = journal
        self.manners = manners
        self.url = ""
        """Where the device has to connect to, without its path."""
        self.refused: dict[int, ErrorCode] = {}
        """Live readings that were refused, by number, with the newest code."""
        self.link = -1
        """Number of the newest connection whose Hello was answered; -1 = none yet."""
        self.epoch = 0
        self._links = 0
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._socket: ServerConnection | None = None
        self._greeting: asyncio.Task[None] | None = None

    def behave(self, **changes: Any) -> None:
        """Change some of the manners."""
        self.manners = replace(self.manners, **changes)

    @property
    def connected(self) -> bool:
        """Whether there is a connection whose Hello was answered."""
        return self._socket is not None

    def clock_ms(self) -> int:
        """The gateway's clock, as the device is told, ms UTC."""
        return self.journal.utc_ms() + self.manners.clock_ahead_ms

    async def connection(self, after: int, within_ms: float) -> bool:
        """Wait for a connection newer than number ``after`` whose Hello was answered."""
        return await self.journal.until(lambda: self.link > after and self.connected, within_ms)

    async def send(self, data: bytes) -> None:
        """Send a message, if the connection is open."""
        if self._socket is not None:
            await self._send(self._socket, self.link, data)

    async def setpoint(self, id_: str, setpoint: Setpoint) -> None:
        """Send a command."""
        await self.send(encode_call(id_, setpoint))

    async def drain(self, reconnect_in_ms: SpanMs) -> None:
        """Announce that this gateway is about to stop."""
        await self.send(encode_call("drain", Drain(reconnect_in_ms)))

    def cut(self) -> None:
        """End the connection without a closing handshake, as a lost network does."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def close(self, code: int) -> None:
        """Close the connection with a code."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close(code, "a check of vpp.v1")

    def answer_upgrade(self, socket: ServerConnection, request: Request) -> Response | None:
        """Note an upgrade request; refuse it if it has to be."""
        number, self._links = self._links, self._links + 1
        self._numbers[socket] = number
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        if socket.transport.get_extra_info("peercert"):
            headers["client-certificate"] = "shown"
        self.journal.note(Opened(number, self.journal.now_ms(), request.path, headers))
        offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
        if SUBPROTOCOL not in offered:
            return socket.respond(400, f"offer the WebSocket subprotocol {SUBPROTOCOL}\n")
        return socket.respond(503, "away, for a check\n") if self.manners.turn_away else None

    async def serve(self, socket: ServerConnection) -> None:
        """Converse with the device until the connection ends."""
        number = self._numbers[socket]
        self._greeting = None
        with suppress(ConnectionClosed):
            async for data in socket:
                size = len(data.encode()) if isinstance(data, str) else len(data)
                message, at_ms = decode(data), self.journal.now_ms()
                self.journal.note(Received(number, at_ms, message, size, isinstance(data, str)))
                await self._reply(socket, number, message)
        if self._greeting is not None:
            self._greeting.cancel()
        if self._socket is socket:
            self._socket = None
        code = socket.protocol.close_rcvd.code if socket.protocol.close_rcvd else None
        self.journal.note(Ended(number, self.journal.now_ms(), code))

    async def _reply(self, socket: ServerConnection, number: int, message: Message) -> None:
        match message:
            case Call(id_, Hello(), True) if number > self.link:
                # A task of its own, so that what is sent before the answer is seen before it.
                self._greeting = asyncio.create_task(self._greet(socket, number, id_))
            case Call(id_, (Telemetry() | VendorTelemetry() | UncheckedTelemetry()) as live, False):
                if (code := self.manners.refuses_next) is not None:
                    self.behave(refuses_next=None)
                    self.refused[live.s] = code
                    await self._send(socket, number, encode_error(id_, code, "a check of vpp.v1"))
                elif self.manners.acks:
                    await self._ack(socket, number, live.b, (live.s, live.s))
            case Call(_, Backfill() as kept, False) if self.manners.acks:
                last = kept.from_ + len(kept.rows) - 1
                await self._ack(socket, number, kept.b, (kept.from_, last))
            case Call(id_, CommandStatus(), True) if self.manners.answers_statuses:
                await self._send(socket, number, encode_result(id_, {}))
            case Malformed(id_, code, detail):
                await self._send(socket, number, encode_error(id_, code, detail))

    async def _greet(self, socket: ServerConnection, number: int, id_: str) -> None:
        manners = self.manners
        await asyncio.sleep(manners.hello_delay_ms / 1000)
        self.epoch += 1
        result = HelloResult(
            epoch=self.epoch,
            t=self.clock_ms(),
            interval_ms=manners.interval_ms,
            ack_ms=manners.ack_ms,
            idle_s=30,
            backfill=BackfillPace(manners.backfill_delay_ms, manners.rows_per_s),
            boot_used=manners.boot_used or msgspec.UNSET,
        )
        await self._send(socket, number, encode_result(id_, self._extended(result)))
        self.link, self._socket = number, socket

    async def _ack(
        self, socket: ServerConnection, number: int, boot: str, rows: tuple[int, int]
    ) -> None:
        ack = Ack(b=boot, from_=rows[0], upto=rows[1], t=self.clock_ms())
        data = encode_send(f"a{rows[1]}", ack)
        if self.manners.unknown_keys:
            data = msgspec.json.encode((6, f"a{rows[1]}", "Ack", self._extended(ack)))
        await self._send(socket, number, data)

    def _extended(self, payload: msgspec.Struct) -> Mapping[str, Any]:
        told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(payload))
        return told | _UNKNOWN_KEY if self.manners.unknown_keys else told

    async def _send(self, socket: ServerConnection, number: int, data: bytes) -> None:
        self.journal.note(Sent(number, self.journal.now_ms(), decode(data)))
        with suppress(ConnectionClosed):
            await socket.send(data, text=True)


@asynccontextmanager
async def playing_gateway(
    host: str, port: int, manners: Manners, tls: ssl.SSLContext | None = None
) -> AsyncIterator[GatewayPlayer]:
    """A gateway that listens during the body; port 0 = any free one.

    Raises `InputError` where the port cannot be had.
    """
    player = GatewayPlayer(Journal(), manners)
    try:
        server = await serve(
            player.serve,
            host,
            port,
            process_request=player.answer_upgrade,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=_LARGEST_BYTES,
            ping_interval=None,
            close_timeout=1,
            ssl=tls,
        )
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port} ({error}); choose another: --listen HOST:PORT"
        ) from None
    async with server:
        bound = next(iter(server.sockets)).getsockname()[1]
        player.url = f"{'ws' if tls is None else 'wss'}://{host}:{bound}"
        yield player
