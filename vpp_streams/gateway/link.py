"""A device's connection: the WebSocket that carries it and the session that knows the rules.

Which WebSocket engine it is does not matter here; see `vpp_streams.gateway.seam`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import structlog
from aiokafka.errors import KafkaError

from schemas.commands import CommandEvent
from schemas.protocol import CLOSE_ABUSE, Hello
from vpp_streams import clock
from vpp_streams.clock import now
from vpp_streams.domain.moments import Now
from vpp_streams.gateway.actions import (
    Action,
    Close,
    LiveReceipt,
    Produce,
    PublishOutcome,
    Receipt,
    Register,
    Send,
    State,
)
from vpp_streams.gateway.answers import OnAnswer
from vpp_streams.gateway.commands import CommandOutcome
from vpp_streams.gateway.framer import Framer
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.gateway.presence import PresenceLog
from vpp_streams.gateway.seam import MAX_UNSENT_BYTES, Socket
from vpp_streams.gateway.session import Session

log = structlog.get_logger()

CLOSES_OF_BAD_MESSAGES = frozenset({1002, 1007, 1009})
"""Codes with which an engine ends a connection by itself, for what the device sent."""
CONNECT_TIMEOUT_S = 5.0
DISCONNECT_TIMEOUT_S = 2.0
"""Short, as a stop waits for it; a device whose record is missing is missed by its silence."""


@dataclass(slots=True)
class Shared:
    """What all links of a gateway use."""

    framer: Framer
    presence: PresenceLog
    outbox: EventOutbox
    counters: Counter[str]
    on_hello: Callable[["Link"], None]
    on_live: Callable[["Link"], None]
    on_closed: Callable[["Link"], None]


class Link:
    """Carries out the actions of one session."""

    __slots__ = ("_hello", "_registration", "_shared", "epoch", "session", "socket")

    def __init__(self, socket: Socket, session: Session, shared: Shared) -> None:
        self.socket = socket
        self.session = session
        self.epoch: int | None = None
        """Of this connection, once its connect record is written."""
        self._shared = shared
        self._registration: asyncio.Task[None] | None = None
        self._hello: Hello | None = None

    def receive(self, data: bytes, moment: Now) -> None:
        """Handle a complete message from the device."""
        for action in self.session.receive(data, moment):
            if type(action) is Produce:  # as for nearly all, so without another call
                answer = _Answer(self, action.receipt)
                self._shared.framer.add(action, answer)
            else:
                self._perform(action)

    def too_much(self, why: str) -> None:
        """The device has sent more than its budget of frames."""
        self._shared.counters["floods"] += 1
        log.warning("closing a device that floods", device=self.device_id, why=why)
        self.perform(self.session.close(CLOSE_ABUSE, why))

    def does_not_read(self) -> None:
        """The device reads nothing of what it is sent: drop it."""
        self._shared.counters["slow_readers"] += 1
        log.info("aborting a device that does not read", device=self.device_id)
        self.abort()

    def perform(self, actions: Iterable[Action]) -> None:
        """Carry out actions in order."""
        for action in actions:
            self._perform(action)

    @property
    def device_id(self) -> str:
        """The id of the connection's device."""
        return self.session.device.device_id

    @property
    def live(self) -> bool:
        """Whether the device may be sent commands."""
        return self.session.state is State.LIVE

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self.socket.abort()

    def on_answer(self, receipt: Receipt, stored: bool) -> None:
        """Handle Kafka's answer: the record is stored, or was not taken."""
        session = self.session
        actions = session.stored(receipt, now()) if stored else session.lost(receipt)
        for action in actions:
            self._perform(action)

    async def closed(self, close_code_sent: int | None) -> None:
        """Handle the end of the connection; publish it if its start was published."""
        if close_code_sent in CLOSES_OF_BAD_MESSAGES and self.session.state is not State.CLOSED:
            self._shared.counters["bad_messages"] += 1
        self._shared.on_closed(self)
        if self._registration is not None:
            await self._registration
        self.perform(self.session.ended())
        if self._hello is None or self.epoch is None:
            return
        self._shared.counters["disconnects"] += 1
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await self._shared.presence.disconnected(self.session, self._hello, self.epoch)
        except (KafkaError, TimeoutError) as error:
            log.warning("no disconnect record", device=self.device_id, error=repr(error))

    def _perform(self, action: Action) -> None:
        match action:  # the most frequent first, and without patterns of their fields
            case Produce():
                self._shared.framer.add(action, _Answer(self, action.receipt))
            case Send():
                self._send(action.data)
            case PublishOutcome():
                receipt = action.receipt
                on_answer = None if receipt is None else _Answer(self, receipt)
                self._publish_outcome(action.outcome, on_answer)
            case Register(hello):
                self._hello = hello
                self._shared.on_hello(self)
                self._registration = asyncio.create_task(self._register(hello))
            case Close(code, reason):
                log.debug("closing", device=self.device_id, code=code, reason=reason)
                self.socket.close(code, reason)

    def _send(self, data: bytes) -> None:
        self.socket.send_text(data)
        if self.socket.unsent_bytes() > MAX_UNSENT_BYTES:
            self.does_not_read()

    async def _register(self, hello: Hello) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self.epoch = await self._shared.presence.connected(self.session, hello)
        except (KafkaError, TimeoutError) as error:
            log.warning("no connect record", device=self.device_id, error=repr(error))
            self.perform(self.session.unavailable())
        else:
            self._shared.counters["connects"] += 1
            self.perform(self.session.registered(self.epoch, now()))
            if self.live:
                self._shared.on_live(self)

    def _publish_outcome(self, outcome: CommandOutcome, on_answer: OnAnswer | None) -> None:
        event = CommandEvent(
            device_id=self.device_id,
            command_id=outcome.command_id,
            state=outcome.state,
            at_ms=clock.now_ms(),
            epoch=self.epoch,
            reason=outcome.reason,
            power_w=outcome.power_w,
        )
        self._shared.outbox.add(self.session.partition, event, on_answer)


class _Answer(msgspec.Struct, gc=False):
    """Passes Kafka's answer to a link. There is one for each reading or status that waits."""

    link: Link
    receipt: Receipt

    def __call__(self, stored: bool) -> None:
        receipt = self.receipt
        if (
            not stored
            or type(receipt) is not LiveReceipt
            or not self.link.session.noted(receipt.seq, clock.mono_ms())
        ):
            self.link.on_answer(receipt, stored)
