"""What the scenarios of a check of a gateway share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.protocol import Ack, Hello, HelloResult, Telemetry
from schemas.wire import encode_send
from vpp_streams.conformance.device_player import DevicePlayer, Link, Refused
from vpp_streams.conformance.timing import GatewayTiming
from vpp_streams.conformance.transcript import calls_received
from vpp_streams.conformance.verdicts import Verdict

_MOST = 10_000
"""Numbers of one Ack that are looked at."""


class NoConnectionError(Exception):
    """The gateway does not accept the device, or does not answer its Hello: why, in words."""


@dataclass(slots=True)
class GatewayStage:
    """A gateway, and the device that the check plays. Its numbers rise over all connections."""

    player: DevicePlayer
    timing: GatewayTiming
    boot: str
    """Boot id of this check; no other check may have it."""
    next_seq: int = 1000
    epochs: list[int] = field(default_factory=list)
    """Of the connections so far."""
    sent_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """When each reading was sent first, or named in a Backfill, by (boot, number)."""
    acks_of_unsent: list[str] = field(default_factory=list)

    async def until(self, condition: Callable[[], bool], within_ms: float) -> bool:
        """Wait for a condition; False if it does not hold within this time."""
        return await self.player.journal.until(condition, within_ms)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Link]:
        """A connection that has not sent Hello; it is closed after the body.

        Raises `NoConnectionError`.
        """
        opened = await self.player.open()
        if isinstance(opened, Refused):
            raise NoConnectionError(
                f"the upgrade was refused with HTTP {opened.status}: {opened.words}"
            )
        try:
            yield opened
        finally:
            acks = calls_received(opened.received, Ack)
            self.acks_of_unsent += [
                f"an Ack of {ack.from_} to {ack.upto} of boot {ack.b}"
                for event, _, ack in acks
                if self._covers_unsent(ack, event.at_ms)
            ]
            await opened.close()

    @asynccontextmanager
    async def live(self) -> AsyncIterator[tuple[Link, HelloResult]]:
        """A connection whose Hello was answered. Raises `NoConnectionError`."""
        async with self.connection() as link:
            result = await link.greet(self.hello(), self.timing.answer_ms)
            if result is None:
                raise NoConnectionError(f"no answer to Hello, but {link.errors() or 'nothing'}")
            self.epochs.append(result.epoch)
            yield link, result

    def hello(self) -> Hello:
        """The Hello of the next connection, of a device that takes no setpoint."""
        return Hello(
            boot=self.boot,
            next_seq=self.next_seq,
            oldest_seq=self.next_seq,
            model="check",
            fw="vpp device check",
            measures_only=True,
            t=self.player.journal.utc_ms(),
        )

    def reading(self, seq: int | None = None, **changes: Any) -> bytes:
        """A live reading, of the next number if none is given; its number is the message's id."""
        if seq is None:
            seq, self.next_seq = self.next_seq, self.next_seq + 1
        fields: dict[str, Any] = {"b": self.boot, "s": seq, "t": self.player.journal.utc_ms()}
        reading = Telemetry(**(fields | {"pv": 0.0} | changes))
        self.note_sent(reading.b, reading.s, 1)
        return encode_send(str(seq), reading)

    async def acked(self, link: Link, seqs: set[int], within_ms: float) -> set[int]:
        """Wait until these numbers are acked; returns those that are not in time."""

        def missing() -> set[int]:
            return seqs - numbers_of(link.acks())

        await self.until(lambda: not missing(), within_ms)
        return missing()

    def note_sent(self, boot: str, first: int, count: int) -> None:
        """Note that readings of consecutive numbers are sent now."""
        now_ms = self.player.journal.now_ms()
        for seq in range(first, first + count):
            self.sent_ms.setdefault((boot, seq), now_ms)

    def _covers_unsent(self, ack: Ack, at_ms: int) -> bool:
        """Whether an Ack, received at ``at_ms``, covers a reading that was not sent before it."""
        later_ms = at_ms + 1
        return any(self.sent_ms.get((ack.b, seq), later_ms) > at_ms for seq in range_of(ack))


def range_of(ack: Ack) -> range:
    """The numbers that an Ack covers; of an absurdly long one, the first."""
    return range(ack.from_, min(ack.upto, ack.from_ + _MOST) + 1)


def numbers_of(acks: list[Ack]) -> set[int]:
    """The numbers that Acks cover."""
    return {seq for ack in acks for seq in range_of(ack)}


class GatewayScenario(NamedTuple):
    """One scene of a check of a gateway, and the obligations that it tries."""

    name: str
    tries: tuple[str, ...]
    play: Callable[[GatewayStage], Awaitable[list[Verdict]]]
