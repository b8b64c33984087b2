"""What the scenarios of a check of a device share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.protocol import CommandStatus, Hello, Setpoint, SetpointResult
from vpp_streams.conformance.gateway_player import GatewayPlayer, Manners
from vpp_streams.conformance.judge_power import Sample, samples
from vpp_streams.conformance.timing import DeviceTiming
from vpp_streams.conformance.transcript import (
    Event,
    Reading,
    answer_to,
    hellos,
    live_readings,
    statuses,
)
from vpp_streams.conformance.verdicts import Verdict

FAST_W_S = 1e6
"""A ramp that does not limit."""
END_STATES = ("completed", "superseded", "expired", "failed", "opted_out")


@dataclass(slots=True)
class Stage:
    """A gateway that the check plays, and the device that is connected to it."""

    player: GatewayPlayer
    timing: DeviceTiming
    rated_w: float | None
    """Rated power of the device's battery, W, as the user says; None = not known."""
    rank: int = 0
    """The newest rank that was offered."""

    @property
    def events(self) -> list[Event]:
        """The transcript so far."""
        return self.player.journal.events

    @property
    def hello(self) -> Hello:
        """The Hello of the newest connection. Raises `IndexError` where there is none."""
        return [hello for link, hello in hellos(self.events) if link == self.player.link][-1]

    def reset(self) -> None:
        """Go back to good manners."""
        self.player.manners = Manners(
            interval_ms=self.timing.interval_ms, ack_ms=self.timing.interval_ms
        )

    async def until(self, condition: Callable[[], bool], within_ms: float) -> bool:
        """Wait for a condition; False if it does not hold within this time."""
        return await self.player.journal.until(condition, within_ms)

    async def pause(self, for_ms: float) -> None:
        """Watch for this long."""
        await self.until(lambda: False, for_ms)

    async def connected(self) -> bool:
        """Wait until the device is connected."""
        return await self.until(lambda: self.player.connected, self.timing.connection_ms)

    async def connected_anew(self) -> bool:
        """Cut the connection, and wait for the next one."""
        link = self.player.link
        self.player.cut()
        return await self.player.connection(link, self.timing.connection_ms)

    def live(self) -> list[Reading]:
        """The live readings of the newest connection."""
        return live_readings(self.events, self.player.link)

    async def more_live(self, count: int) -> bool:
        """Wait for this many further live readings of the same connection."""
        link, had = self.player.link, len(self.live())
        within_ms = 3 * count * self.timing.interval_ms + self.timing.answer_ms
        return await self.until(
            lambda: len(live_readings(self.events, link)) >= had + count, within_ms
        )

    def samples(self) -> list[Sample]:
        """The battery's power so far, by the gateway's clock."""
        player = self.player
        ahead_ms = player.manners.clock_ahead_ms
        return samples(self.events, player.journal.utc_ahead_ms(), ahead_ms)

    def next_lease(self, power_w: float | None, lasts_ms: int, **changes: object) -> Setpoint:
        """A valid Setpoint of the next rank, which begins now; ``changes`` replace fields."""
        self.rank += 10
        now_ms = self.player.clock_ms()
        fields: dict[str, object] = {
            "epoch": self.player.epoch,
            "rank": self.rank,
            "p": power_w,
            "not_before": now_ms,
            "valid_until": now_ms + lasts_ms,
            "ramp_w_s": FAST_W_S,
        }
        return Setpoint(**(fields | changes))  # type: ignore[arg-type]  # fields of Setpoint

    async def offer(self, setpoint: Setpoint) -> SetpointResult | None:
        """Send a Setpoint, and wait for its answer; None = there was none in time."""
        id_, before = command_id(setpoint), len(self.events)
        await self.player.setpoint(id_, setpoint)
        await self.until(
            lambda: answer_to(self.events[before:], id_) is not None, self.timing.answer_ms
        )
        return answer_to(self.events[before:], id_)

    def reports(self, setpoint: Setpoint) -> list[CommandStatus]:
        """The statuses of a command so far."""
        return [status for _, status in statuses(self.events, command_id(setpoint))]

    async def state_reported(self, setpoint: Setpoint, state: str, within_ms: float) -> bool:
        """Wait until the device reports this state of a command."""
        return await self.until(
            lambda: state in [status.state for status in self.reports(setpoint)], within_ms
        )

    async def end_reported(self, setpoint: Setpoint, within_ms: float) -> CommandStatus | None:
        """Wait for the first status that ends a command; None = there was none in time."""

        def ends() -> list[CommandStatus]:
            return [each for each in self.reports(setpoint) if each.state in END_STATES]

        await self.until(lambda: bool(ends()), within_ms)
        return next(iter(ends()), None)


def command_id(setpoint: Setpoint) -> str:
    """The id of a command of this check."""
    return f"c0-{setpoint.rank}"


def in_words(answer: SetpointResult | CommandStatus | None) -> str:
    """An answer or a status in words."""
    if answer is None:
        return "nothing in time"
    word = answer.status if isinstance(answer, SetpointResult) else answer.state
    return f"{word} ({answer.reason})" if answer.reason else word


class Scenario(NamedTuple):
    """One scene of a check, and the obligations that it tries."""

    name: str
    tries: tuple[str, ...]
    play: Callable[[Stage], Awaitable[list[Verdict]]]
