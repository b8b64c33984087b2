"""The asyncio shell of `edge.session.Device`: one WebSocket, reconnected while it runs."""

import asyncio
import json
import math
from collections.abc import Callable
from http import HTTPStatus
from zlib import crc32

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from edge.clock import monotonic_ms
from edge.identity.login import Credentials, Login
from edge.session import Device, State, Step
from schemas.bodies import NativeBody, VendorBody
from schemas.protocol import (
    CLOSE_REVOKED,
    MAX_MESSAGE_BYTES,
    REFUSED_REVOKED,
    SUBPROTOCOL,
    CommandStatus,
)

Trouble = Callable[[str, str], None]
"""Called with (kind of trouble, one sentence) whenever a connection fails."""


class Client:
    """One device with its link. `run` keeps the link connected until it is cancelled.

    ``url`` may name several gateways, separated by commas: devices spread over them, and one whose
    connection ends tries the next. ``utc_ms`` is the device's own clock, right or wrong;
    ``on_event`` is called whenever something was received or the link has changed.
    """

    def __init__(
        self,
        device_id: str,
        device: Device,
        url: str,
        login: Login,
        *,
        utc_ms: Callable[[], int],
        on_event: Callable[[], None],
        on_trouble: Trouble,
    ) -> None:
        self.device_id = device_id
        self.device = device
        self.utc_ms = utc_ms
        self._uris = [f"{one.rstrip('/')}/v1/{device_id}" for one in url.split(",")]
        self._at = crc32(device_id.encode()) % len(self._uris)
        """The address that is tried next."""
        self._login = login
        self._on_event = on_event
        self._on_trouble = on_trouble
        self._socket: ClientConnection | None = None
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._away_until_ms = 0.0
        self._measured_ms: int | None = None

    @property
    def live(self) -> bool:
        """Whether the gateway has accepted the device's Hello."""
        return self._socket is not None and self.device.state is State.LIVE

    def wants_reading(self) -> bool:
        """Whether the device's interval has passed since its last reading."""
        if self._measured_ms is None:
            return True
        # Beats are a little early or late; an interval is a multiple of them.
        return monotonic_ms() - self._measured_ms >= self.device.interval_ms - 500

    def measure(self, body: NativeBody, vendor: VendorBody | None) -> None:
        """Accept a reading; it is sent if the link is connected, and kept in any case."""
        self._measured_ms = now_ms = monotonic_ms()
        self._do(self.device.measured(body, now_ms, vendor))
        self._do(self.device.tick(now_ms))

    def report(self, status: CommandStatus) -> None:
        """Report the outcome of a command."""
        self._do(self.device.report(status, monotonic_ms()))

    def gateway_ms(self) -> int:
        """Now by the gateway's clock as the device estimates it, else by its own, ms UTC."""
        estimated_ms = self.device.gateway_ms(monotonic_ms())
        return self.utc_ms() if estimated_ms is None else estimated_ms

    async def round_trip_ms(self, within_s: float) -> float | None:
        """The time of a ping and its answer, ms; None = there was none within ``within_s``."""
        if self._socket is None:
            return None
        try:
            async with asyncio.timeout(within_s):
                return 1000 * await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return None

    def tick(self) -> None:
        """Send what is due although there is no new reading."""
        self._do(self.device.tick(monotonic_ms()))

    def cut(self, away_ms: float) -> None:
        """Drop the link without a handshake, and have none for ``away_ms`` ms (inf: for ever)."""
        self._away_until_ms = max(self._away_until_ms, monotonic_ms() + away_ms)
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> None:
        """Connect, exchange messages and reconnect, until replaced or cut for good."""
        while self._away_until_ms != math.inf:
            code = await self._one_connection(await self._login.ready())
            self._at = (self._at + 1) % len(self._uris)
            wait_ms = self.device.disconnected(code)
            self._login.closed(code)
            self._on_event()
            if wait_ms is None:
                self._on_trouble("replaced", f"{self.device_id}: another device took its place")
                return
            if self._away_until_ms != math.inf:
                await asyncio.sleep(max(wait_ms, self._away_until_ms - monotonic_ms()) / 1000)

    async def _one_connection(self, shown: Credentials) -> int | None:
        """Run one connection; returns its close code, None if it was never established.

        A device that is refused as revoked is told the same as by the close code for it.
        """
        token = shown.token
        try:
            async with connect(
                self._uris[self._at],
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
                user_agent_header=None,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                close_timeout=2,
                ssl=shown.tls,
                proxy=None,
            ) as socket:
                return await self._converse(socket)
        except InvalidStatus as refused:
            body = refused.response.body or b""
            words = body.decode(errors="replace").strip()[:200]
            self._on_trouble("refused", f"HTTP {refused.response.status_code} {words}")
            if refused.response.status_code == HTTPStatus.FORBIDDEN and _is_revoked(body):
                return CLOSE_REVOKED
        except (OSError, TimeoutError, WebSocketException) as error:
            self._on_trouble("unreachable", str(error) or type(error).__name__)
        return None

    async def _converse(self, socket: ClientConnection) -> int | None:
        self._outbox = asyncio.Queue()
        self._socket = socket
        if monotonic_ms() < self._away_until_ms:  # the link was cut while it connected
            socket.transport.abort()
        writer = asyncio.create_task(self._write(socket))
        try:
            self._do(self.device.connected(self.utc_ms()))
            async for data in socket:
                self._do(self.device.received(data, monotonic_ms()))
                self._on_event()
        except ConnectionClosed:
            pass  # close_code says how it ended
        finally:
            self._socket = None
            writer.cancel()
        return socket.close_code

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while (message := await self._outbox.get()) is not None:
                await socket.send(message, text=True)
            await socket.close()
        except ConnectionClosed:
            pass  # the reader ends too, and the ring still has the readings

    def _do(self, step: Step) -> None:
        for message in step.send:
            self._outbox.put_nowait(message)
        if step.close:
            self._outbox.put_nowait(None)


def _is_revoked(body: bytes | bytearray) -> bool:
    """Whether a refusal's body says that the device's credentials were revoked."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("code") == REFUSED_REVOKED
