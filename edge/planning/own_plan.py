"""What the home does while nobody commands it: the plan of `edge.optimizer`, kept up to date.

It learns the home's load and solar power, and every quarter of an hour it plans the next 36 hours
from the owner's tariff. Where the plan agrees with self-consumption, the inverter's own mode is
left to do it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from edge.driver import Quantity
from edge.optimizer.forecaster import Forecaster
from edge.optimizer.home import Home as Battery
from edge.optimizer.plan import Plan, plan
from edge.planning.learnt import Learnt
from edge.planning.slots import Slot, SlotMeans, slot_of
from edge.planning.tariff import MARKET, PER_DAY, STEP_MS, MarketPrices, Terms, prices_ahead
from schemas.protocol import Prices

STEPS = 36 * PER_DAY // 24
HOLD_S = 60.0
"""The time that a power is decided for; it is decided again each second."""
_SAME_W = 1.0
_NEW_PRICES_MS = 60_000
"""New prices are planned with at once, but not more often than this."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the step at which it begins, in quarters of an hour since 1970 UTC."""

    first: int
    plan: Plan


class OwnPlan:
    """One home's plan. ``terms`` None = a plan is made only where the cloud has prices decide."""

    def __init__(self, terms: Terms | None, learnt: Learnt) -> None:
        self.always = terms is not None
        """Whether the owner's tariff decides whenever no lease holds."""
        self._terms = MARKET if terms is None else terms
        self._zone = ZoneInfo(self._terms.time_zone)
        self._market = MarketPrices()
        self._learnt = learnt
        self._means = SlotMeans()
        self.forecaster = Forecaster(PER_DAY)
        """What it has learnt of its load and solar power."""
        self._knows_itself = False
        """Whether a quarter of an hour was measured: before, there is nothing to plan with."""
        for slot in learnt.read():
            self._observe(slot)
        self._newest: Planned | None = None
        self._planned_ms = -math.inf
        self._has_new_prices = False

    def take_prices(self, _row: int, prices: Prices) -> None:
        """Store the market's prices."""
        self._market.take(prices)
        self._has_new_prices = True

    def observe(self, now_ms: int, measured: dict[Quantity, float], dt_s: float) -> None:
        """Learn what was measured in the last ``dt_s``; ``now_ms`` is UTC."""
        load_w, solar_w = load_and_solar_w(measured)
        complete = self._means.add(slot_of(now_ms, self._zone), load_w, solar_w, dt_s)
        if complete is not None:
            self._observe(complete)
            self._learnt.add(complete)

    def _observe(self, slot: Slot) -> None:
        self.forecaster.observe(slot.number, slot.load_w, slot.solar_w)
        self._knows_itself |= math.isfinite(slot.load_w + slot.solar_w)

    def due(self, now_ms: int, battery: Battery) -> Callable[[], Planned] | None:
        """A new plan to be made: a function that takes some time, and reads nothing of ours."""
        if not self._knows_itself:
            return None
        new_step = now_ms // STEP_MS != self._planned_ms // STEP_MS
        if not new_step and not (
            self._has_new_prices and now_ms - self._planned_ms >= _NEW_PRICES_MS
        ):
            return None
        self._planned_ms, self._has_new_prices = now_ms, False
        first = now_ms // STEP_MS
        self._market.forget(first)
        tariff = prices_ahead(self._terms, self._market, first, STEPS)
        if not tariff.known_steps:
            self._newest = None
            return None
        outlook = self.forecaster.outlook(slot_of(now_ms, self._zone), STEPS)
        return lambda: Planned(first, plan(battery, tariff, outlook))

    def accept(self, planned: Planned) -> None:
        """Follow a new plan."""
        self._newest = planned

    def power_w(self, now_ms: int, measured: dict[Quantity, float]) -> float | None:
        """The battery's power by the plan, W, + = discharge.

        None = the inverter's own mode: no plan reaches as far as now, the plan wants what
        self-consumption does anyway, or load and solar power are not measured.
        """
        load_w, solar_w = load_and_solar_w(measured)
        if self._newest is None or not math.isfinite(load_w + solar_w):
            return None
        planned = self._newest.plan
        at = now_ms / STEP_MS - self._newest.first
        if not 0 <= at < planned.steps:
            return None
        power_w = planned.power_w(at, measured["soc"], load_w, solar_w, hold_s=HOLD_S)
        home = planned.home
        own_w = min(max(load_w - solar_w, -home.charge_w), home.discharge_w)
        return None if abs(power_w - own_w) < _SAME_W else power_w


def load_and_solar_w(measured: dict[Quantity, float]) -> tuple[float, float]:
    """Load and solar power, W, from whichever meters there are; NaN = not known.

    Without a meter of the panels they are a part of the load.
    """
    nan = math.nan
    solar_w = measured.get("solar_w")
    grid_w, battery_w = measured.get("grid_w", nan), measured.get("battery_w", nan)
    load_w = measured.get("load_w", grid_w + battery_w + (solar_w or 0.0))
    if solar_w is None:
        # A meter of the load alone says nothing of the sun.
        return grid_w + battery_w, 0.0
    return load_w, solar_w
