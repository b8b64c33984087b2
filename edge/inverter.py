"""What the inverter was commanded, and whether it has to be commanded again.

Some inverters keep a command in memory that wears out, and all of them are slow: a command is
repeated only if it changes, or if less than half is left of the inverter's own timer.
"""

import logging
from dataclasses import dataclass

from edge.driver_calls import DriverCalls, DriverStuckError
from edge.home import Power

_SAME_W, _SAME = 10.0, 0.01
"""A power that differs by less than this, W or as a share, is the same."""
_LATE_MS = 1000
"""A timer may end this much later than is wanted now."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A power, W, + = discharge, that the inverter holds until a time of the monotonic clock."""

    power_w: float
    until_ms: int


def is_due(held: Held | None, wanted: Power, now_ms: int) -> bool:
    """Whether the inverter has to be commanded for ``wanted``, although it holds ``held``."""
    if held is None or held.until_ms <= now_ms:
        return True
    if abs(held.power_w - wanted.power_w) > max(_SAME_W, _SAME * abs(wanted.power_w)):
        return True
    left_ms = held.until_ms - now_ms
    return left_ms < wanted.for_ms / 2 or left_ms > wanted.for_ms + _LATE_MS


class Inverter:
    """The inverter as it was commanded. One that is not commandable is left alone."""

    def __init__(self, calls: DriverCalls) -> None:
        self.held: Held | None = None
        """None = it is in its own mode, or does not answer."""
        self._calls = calls
        self._released = False

    async def follow(self, power: Power | None, now_ms: int) -> None:
        """Have it hold a power from ``now_ms`` of the monotonic clock; None = its own mode."""
        if not self._calls.driver.can.commandable:
            return
        if power is None:
            if not self._released:
                self._released = await self._calls.release()
                self.held = None
        elif is_due(self.held, power, now_ms):
            self._released = False
            until_ms = now_ms + power.for_ms
            applied = await self._calls.apply(power.power_w, until_ms)
            self.held = Held(power.power_w, until_ms) if applied else None

    async def let_go(self) -> None:
        """Return it to its own mode, as far as it answers: the agent ends."""
        if not self._calls.driver.can.commandable:
            return
        try:
            released = await self._calls.release()
        except DriverStuckError:
            released = False
        if not released:
            ends = "a watch-dog" if self._calls.driver.can.watchdog else "its own timer"
            _log.warning("the inverter did not confirm its release: %s ends the power", ends)
        self.held = None
