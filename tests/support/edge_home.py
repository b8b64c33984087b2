"""A home's control and a simulated inverter on a clock that a test moves."""

from typing import Any

from edge.driver import Quantity, Readings, values_of
from edge.drivers.simulated import Options, SimulatedHome
from edge.home import Home, HomeSpec, Power
from edge.inverter import Held, is_due
from edge.planning.learnt import Learnt
from edge.planning.own_plan import OwnPlan
from edge.planning.tariff import PER_DAY, STEP_MS, Terms
from schemas.bodies import Quality
from tests.support.plant_world import EPOCH, T0, setpoint


class AtHome:
    """A home whose inverter does what it is commanded, a second at a time.

    ``spec`` is the owner's; ``options`` the inverter's. The load is ``load_w`` all day.
    """

    def __init__(
        self,
        spec: dict[str, Any] | None = None,
        *,
        tariff: Terms | None = None,
        now_ms: int = 0,
        **options: Any,
    ) -> None:
        self.now_ms = now_ms
        """Monotonic; the gateway's clock is `T0` later."""
        self.day_ms = 0
        """The inverter's calendar: midnight, when the simulated panels have no power."""
        options = {"solar_w": 0.0, "load_w": 500.0, "own_reserve": 0.0, **options}
        self.inverter = SimulatedHome(
            Options(**options), now_ms=lambda: self.now_ms, clock_ms=lambda: self.day_ms
        )
        values = {
            "rated_energy_wh": 13_500.0,
            "rated_charge_w": 5000.0,
            "rated_discharge_w": 5000.0,
            "backup_reserve": 0.2,
        }
        self.own = OwnPlan(tariff, Learnt(None))
        self.home = Home(HomeSpec(**{**values, **(spec or {})}), self.own, commandable=True)
        self.measured: dict[Quantity, float] = {}
        self.readings: Readings = ()
        self.power: Power | None = None
        self.deaf = False
        """Whether the agent is dead: the inverter hears nothing more."""
        self.hidden: frozenset[str] = frozenset()
        """Quantities that are not measured."""
        self._held: Held | None = None
        self._rank = 0

    def offer(self, p: float | None, **fields: Any) -> str:
        """Offer a lease of 30 s; returns the answer's status and reason."""
        self._rank += 1
        command = setpoint(p, self._rank, T0 + self.now_ms, **fields)
        at_ms = T0 + self.now_ms
        answer = self.home.leases.offer(0, f"c{self._rank}", command, at_ms, EPOCH)
        return f"{answer.status} {answer.reason}".strip()

    async def seconds(self, count: int = 1, step_ms: int = 1000) -> float:
        """Let time pass; returns the battery's true power, W."""
        for _ in range(count):
            self.now_ms += step_ms
            self.readings = await self.inverter.read()
            if not self.deaf:
                await self._decide(step_ms / 1000)
        return self.inverter.battery_w

    async def _decide(self, dt_s: float) -> None:
        shown = (r for r in self.readings if r.quantity not in self.hidden)
        self.measured = values_of(shown, Quality.OK)
        if (make := self.home.plan_due(T0 + self.now_ms)) is not None:
            self.own.accept(make())
        self.power = self.home.step(T0 + self.now_ms, self.measured, dt_s)
        if self.power is None:
            await self.inverter.release()
            self._held = None
        elif is_due(self._held, self.power, self.now_ms):
            await self.inverter.apply(self.power.power_w, self.now_ms + self.power.for_ms)
            self._held = Held(self.power.power_w, self.now_ms + self.power.for_ms)

    def learn(self, load_w: float) -> None:
        """Let the home know a day of this load, without sun, before now."""
        for ago in range(PER_DAY, -1, -1):
            at_ms = T0 + self.now_ms - ago * STEP_MS
            self.own.observe(at_ms, {"load_w": load_w, "solar_w": 0.0}, STEP_MS / 1000)

    def outcomes(self) -> list[tuple[str, str, str]]:
        """Command, state and reason of what was reported since the last call."""
        return [(s.id, s.state, s.reason) for _, s in self.home.leases.take_reports()]
