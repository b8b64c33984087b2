"""The interface to an inverter or battery: the same for every make.

A driver talks to one piece of hardware and knows nothing of the cloud. The agent calls one of its
coroutines at a time, and cancels one that takes too long; after that, the next call has to work
again, with a new connection to the hardware if need be. Work that blocks belongs in a thread.

A driver never makes up a value: what the hardware did not measure is left out, or has a quality
other than OK, and is never 0. Powers are in canonical signs, W: battery + = discharge, grid + =
import, solar and load >= 0.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from schemas.bodies import NativeBody, Quality

Quantity = Literal[
    "battery_w",
    "grid_w",
    "solar_w",
    "load_w",
    "soc",
    "frequency_hz",
    "voltage_v",
    "temperature_c",
    "islanded",
]
"""What can be measured, with its unit. ``soc`` is a fraction 0..1 of usable energy; ``islanded`` is
1 off the grid and 0 on it."""

QUANTITIES: frozenset[Quantity] = frozenset(get_args(Quantity))

_KEYS: dict[Quantity, str] = {
    "battery_w": "p",
    "grid_w": "g",
    "solar_w": "pv",
    "load_w": "l",
    "soc": "soc",
    "frequency_hz": "hz",
    "voltage_v": "v",
    "temperature_c": "tc",
    "islanded": "isl",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value."""

    quantity: Quantity
    value: float
    quality: Quality = Quality.OK
    """ESTIMATED values are used to control the battery, and are not sent as measurements."""


Readings = tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The hardware, as it describes itself; a rating of 0 = it has no such part."""

    model: str
    firmware: str
    rated_energy_wh: float = 0.0
    """Usable energy of the battery between soc 0 and 1."""
    rated_charge_w: float = 0.0
    rated_discharge_w: float = 0.0
    rated_solar_w: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the hardware can do. A home whose hardware cannot be commanded is measured only."""

    measure: frozenset[Quantity]
    set_power: bool = False
    reverts_itself: bool = False
    """Whether a timer of its own returns it to its own mode at ``until_ms`` of `Driver.apply`."""

    watchdog: str = ""
    """Given if another process returns it in place of such a timer, once the agent is gone: when
    it does not, in one sentence. "" = there is none."""

    @property
    def commandable(self) -> bool:
        """Whether the battery may be commanded.

        Without a timer or a watch-dog, an inverter would hold its last power for ever once the
        agent has died. Without power and state of charge, nobody could keep the owner's reserve.
        """
        reverts = self.reverts_itself or bool(self.watchdog)
        return self.set_power and reverts and {"battery_w", "soc"} <= self.measure


class DriverError(Exception):
    """The hardware does not answer, or answers what cannot be understood; in one sentence."""


class Driver(Protocol):
    """One piece of hardware. Its coroutines raise `DriverError`, `OSError` or `TimeoutError` if
    the hardware fails; any other exception is a bug and ends the agent."""

    @property
    def can(self) -> Capabilities:
        """What the hardware can do; asked after `identify`."""

    async def identify(self) -> Identity:
        """Connect, and say what is there. Called until it succeeds, before anything else."""

    async def read(self) -> Readings:
        """Measure now; one reading for each quantity that was measured."""

    async def apply(self, power_w: float, until_ms: int) -> None:
        """Hold a battery power, W, + = discharge, until a time of `edge.clock.monotonic_ms`.

        The hardware's own timer has to end it at ``until_ms``, a second later at most; without
        one, the driver ends it then, and a watch-dog once the agent is gone. A later call replaces
        power and end.
        """

    async def release(self) -> None:
        """Return to the hardware's own mode (self-consumption) now, also if nothing was applied."""

    async def close(self) -> None:
        """Let go of the connection; nothing is called after it."""


def values_of(readings: Iterable[Reading], *qualities: Quality) -> dict[Quantity, float]:
    """The finite values with one of these qualities."""
    return {
        each.quantity: each.value
        for each in readings
        if each.quality in qualities and math.isfinite(each.value)
    }


def body_of(readings: Iterable[Reading], t_ms: int, interval_ms: int) -> NativeBody | None:
    """The reading to send: only what was measured. None = nothing was.

    ``t_ms`` is the time of measurement by the device's clock, UTC; the reading stands for
    ``interval_ms`` from then on.
    """
    measured = values_of(readings, Quality.OK)
    if not measured:
        return None
    islanded = measured.pop("islanded", None)
    values = {_KEYS[quantity]: value for quantity, value in measured.items()}
    return NativeBody(
        t_ms, iv=interval_ms, isl=None if islanded is None else islanded > 0.5, **values
    )
