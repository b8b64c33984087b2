"""A home in software: a battery, panels and a household, behind an inverter with a timer.

For trying out the agent without hardware. In its own mode the inverter supplies the household, down
to a reserve of its own; a power that is applied ends by the inverter's timer. It keeps no limit of
the grid connection: that is the agent's to do.
"""

import math
from collections.abc import Callable
from typing import Annotated

import msgspec
import numpy as np

from edge import battery
from edge.battery import BatteryState
from edge.clock import monotonic_ms, utc_ms
from edge.driver import QUANTITIES, Capabilities, Identity, Reading, Readings

_DAY_S = 86_400
_NOMINAL_HZ, _NOMINAL_V = 50.0, 230.0
_AMBIENT_C = np.array([20.0])
_LONGEST_STEP_S = 60.0

Power = Annotated[float, msgspec.Meta(ge=0, le=1e7)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated home."""

    energy_wh: Annotated[float, msgspec.Meta(gt=0, le=1e7)] = 13_500.0
    """Usable energy of the battery."""
    charge_w: Power = 5_000.0
    discharge_w: Power = 5_000.0
    solar_w: Power = 6_000.0
    """Solar power at noon, UTC."""
    load_w: Power = 700.0
    """Mean load of the household."""
    soc: Share = 0.6
    """State of charge at the start."""
    own_reserve: Share = 0.05
    """The inverter's own mode does not discharge below it."""
    can_set_power: bool = True
    """False: an inverter that can only be measured."""


class SimulatedHome:
    """A `edge.driver.Driver` of a home in software. ``now_ms`` is the monotonic clock."""

    def __init__(
        self,
        options: Options,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
        clock_ms: Callable[[], int] = utc_ms,
    ) -> None:
        self._options = options
        self._now_ms, self._clock_ms = now_ms, clock_ms
        self._spec = battery.typical(
            np.array([options.energy_wh]),
            np.array([options.charge_w]),
            np.array([options.discharge_w]),
        )
        self._state = BatteryState(np.array([options.soc]), _AMBIENT_C)
        self._at_ms = now_ms()
        self._applied: tuple[float, int] | None = None
        self.battery_w = 0.0
        """The battery's true power, W, + = discharge."""

    @property
    def can(self) -> Capabilities:
        """See `edge.driver.Driver.can`."""
        commanded = self._options.can_set_power
        return Capabilities(measure=QUANTITIES, set_power=commanded, reverts_itself=commanded)

    @property
    def soc(self) -> float:
        """The true state of charge, 0..1."""
        return float(self._state.soc[0])

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        options = self._options
        return Identity(
            model="simulated",
            firmware="1",
            rated_energy_wh=options.energy_wh,
            rated_charge_w=options.charge_w,
            rated_discharge_w=options.discharge_w,
            rated_solar_w=options.solar_w,
        )

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`."""
        self._advance()
        load_w, solar_w = self._surroundings()
        return (
            Reading("battery_w", round(self.battery_w, 1)),
            Reading("grid_w", round(load_w - solar_w - self.battery_w, 1)),
            Reading("solar_w", round(solar_w, 1)),
            Reading("load_w", round(load_w, 1)),
            Reading("soc", round(self.soc, 5)),
            Reading("frequency_hz", _NOMINAL_HZ),
            Reading("voltage_v", _NOMINAL_V),
            Reading("temperature_c", round(float(self._state.temperature_c[0]), 1)),
            Reading("islanded", 0.0),
        )

    async def apply(self, power_w: float, until_ms: int) -> None:
        """See `edge.driver.Driver.apply`."""
        self._advance()
        self._applied = (power_w, until_ms)
        self._set_power()

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        self._advance()
        self._applied = None
        self._set_power()

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""

    def _surroundings(self) -> tuple[float, float]:
        """Load and available solar power now, W."""
        day = self._clock_ms() / 1000 % _DAY_S / _DAY_S
        load_w = self._options.load_w * (1 + 0.5 * math.sin(2 * math.pi * (day - 0.55)))
        return load_w, self._options.solar_w * max(-math.cos(2 * math.pi * day), 0.0)

    def _advance(self) -> None:
        """Move the battery to now, with its power of the moments between."""
        now_ms = self._now_ms()
        while self._at_ms < now_ms:
            ends_ms = min(now_ms, self._at_ms + round(_LONGEST_STEP_S * 1000))
            if self._applied is not None and self._at_ms < self._applied[1]:
                ends_ms = min(ends_ms, self._applied[1])
            self._set_power()
            dt_s = (ends_ms - self._at_ms) / 1000
            done = battery.step(
                self._spec, self._state, np.array([self.battery_w]), dt_s, _AMBIENT_C
            )
            self._state, self._at_ms = done.state, ends_ms
        self._set_power()

    def _set_power(self) -> None:
        """The battery's power from now on: what is applied, or the inverter's own mode."""
        if self._applied is not None and self._at_ms >= self._applied[1]:
            self._applied = None  # the inverter's own timer
        load_w, solar_w = self._surroundings()
        request_w = load_w - solar_w
        if self._applied is not None:
            request_w = self._applied[0]
        elif self.soc <= self._options.own_reserve:
            request_w = min(request_w, 0.0)
        done = battery.step(self._spec, self._state, np.array([request_w]), 1.0, _AMBIENT_C)
        self.battery_w = float(done.power_w[0])


def driver(options: Options) -> SimulatedHome:
    """The driver of a configuration."""
    return SimulatedHome(options)
