"""A device's connection: the WebSocket that carries it and the session that knows the rules.

This is the seam to the WebSocket engine: what a link asks of it is to send a text, to close, to
abort, and how much it has not yet written.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import structlog
from aiokafka.errors import KafkaError
from websockets.asyncio.server import ServerConnection, broadcast

from schemas.commands import CommandEvent
from schemas.protocol import Hello
from vpp_streams.gateway.actions import (
    Action,
    Close,
    Now,
    Produce,
    Receipt,
    Register,
    Send,
    State,
    Tell,
)
from vpp_streams.gateway.commands import Told
from vpp_streams.gateway.framer import Framer
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.gateway.presence import PresenceLog
from vpp_streams.gateway.session import Session

log = structlog.get_logger()

MAX_OUTBOUND_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
DISCONNECT_TIMEOUT_S = 2.0
"""Short, as a stop waits for it; a device whose record is missing is missed by its silence."""


def now() -> Now:
    """This moment on both clocks."""
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


class Link:
    """Carries out the actions of one session."""

    def __init__(
        self,
        socket: ServerConnection,
        session: Session,
        framer: Framer,
        presence: PresenceLog,
        counters: Counter[str],
        on_hello: Callable[["Link"], None],
        on_live: Callable[["Link"], None],
        outbox: EventOutbox,
    ) -> None:
        self.socket = socket
        self.session = session
        self._framer = framer
        self._presence = presence
        self._counters = counters
        self._on_hello = on_hello
        self._on_live = on_live
        self._outbox = outbox
        self._registration: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._hello: Hello | None = None
        self.epoch: int | None = None
        """Of this connection, once its connect record is written."""

    def perform(self, actions: Iterable[Action]) -> None:
        """Carry out actions in order."""
        for action in actions:
            match action:
                case Produce(topic, partition, lines, receipt):
                    self._framer.add(topic, partition, lines, partial(self._on_answer, receipt))
                case Send(data):
                    self._send(data)
                case Register(hello):
                    self._hello = hello
                    self._on_hello(self)
                    self._registration = asyncio.create_task(self._register(hello))
                case Tell(told):
                    self._tell(told)
                case Close(code, reason):
                    log.debug("closing", device=self.device_id, code=code, reason=reason)
                    self._closing = asyncio.create_task(self.socket.close(code, reason))

    @property
    def device_id(self) -> str:
        """The device that this connection speaks for."""
        return self.session.device.device_id

    @property
    def live(self) -> bool:
        """Whether the device may be sent commands."""
        return self.session.state is State.LIVE

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.socket.transport.abort()

    async def end(self) -> None:
        """The connection is over: say so in ``presence`` if it was ever said to be there."""
        if self._registration is not None:
            await self._registration
        self.perform(self.session.gone())
        if self._hello is None or self.epoch is None:
            return
        self._counters["disconnects"] += 1
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await self._presence.disconnected(self.session, self._hello, self.epoch)
        except (KafkaError, TimeoutError) as error:
            log.warning("no disconnect record", device=self.device_id, error=repr(error))

    def _send(self, data: bytes) -> None:
        # The engine's one call that writes without a task: it skips a socket that is closing.
        broadcast([self.socket], data, text=True)
        if self.socket.transport.get_write_buffer_size() > MAX_OUTBOUND_BYTES:
            self._counters["slow_readers"] += 1
            log.info("aborting a device that does not read", device=self.device_id)
            self.abort()

    async def _register(self, hello: Hello) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self.epoch = await self._presence.connected(self.session, hello)
        except (KafkaError, TimeoutError) as error:
            log.warning("no connect record", device=self.device_id, error=repr(error))
            self.perform(self.session.unavailable(now()))
        else:
            self._counters["connects"] += 1
            self.perform(self.session.registered(self.epoch, now()))
            if self.live:
                self._on_live(self)

    def _tell(self, told: Told) -> None:
        event = CommandEvent(
            device_id=self.device_id,
            command_id=told.command_id,
            state=told.state,
            at_ms=now().utc_ms,
            epoch=self.epoch,
            reason=told.reason,
            power_w=told.power_w,
        )
        self._outbox.add(self.session.partition, event)

    def _on_answer(self, receipt: Receipt, stored: bool) -> None:
        if self.session.state is State.CLOSED:
            return
        answer = self.session.stored if stored else self.session.lost
        self.perform(answer(receipt, now()))
