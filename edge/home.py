"""Decides what a home's battery does now: the ladder for one home, on measurements.

A lease, if one holds; else the home's own plan, if the owner gave a tariff or the last lease said
that prices decide; else the inverter's own mode (self-consumption), which needs no command. The
owner's reserve and the limits of the grid connection hold on every rung: at the reserve, the
battery is taken out of its own mode.

Without I/O and clock: the same measurements and times give the same decisions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge import ladder
from edge.arrays import Floats
from edge.battery import BatteryState, typical
from edge.connection import Connection, within
from edge.driver import Quantity
from edge.ladder import Decision, Orders
from edge.leases import LIMITED_W, Leases, is_near
from edge.optimizer.home import Home as PlannedHome
from edge.planning.own_plan import OwnPlan, Planned

HOLD_MS = 60_000
"""The longest time for which an inverter holds a power without hearing from the agent."""
HORIZON_S = 5.0
"""The reserve is kept this far ahead: a beat, and a call that takes as long as it may."""
_END_MS = 2000
"""The inverter's timer ends this much after a lease: a beat, and a call."""
_LAG_S = 3.0
"""Inverters follow a command late by up to this much; a ramp goes on from what was commanded."""
_GUARD_SOC, _FREE_SOC = 0.002, 0.01
"""The battery leaves its own mode this close to the reserve, and returns to it this far above."""
_PACK_C = 20.0
"""Temperature that is assumed for the pack; the inverter derates by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSpec:
    """A home's battery, and the limits that its owner and its grid connection set."""

    rated_energy_wh: float
    rated_charge_w: float
    rated_discharge_w: float
    backup_reserve: float
    """The owner's reserve, 0..1: never sold."""
    export_limit_w: float = float("inf")
    import_limit_w: float = float("inf")
    battery_exports: bool = True
    """Whether the home's own plan may discharge to the grid."""
    wear_per_mwh: float = 0.0
    """What a discharged MWh wears off the battery, in the tariff's currency."""


@dataclass(frozen=True, slots=True)
class Power:
    """Hold this battery power, W, + = discharge, for at most this long without another word."""

    power_w: float
    for_ms: int


def one(value: float) -> Floats:
    """A column of one row."""
    return np.array([value], np.float64)


class Home:
    """One home's leases and limits. ``commandable`` False = it is measured only."""

    def __init__(self, spec: HomeSpec, own: OwnPlan, *, commandable: bool) -> None:
        has_battery = np.array([commandable and spec.rated_energy_wh > 0])
        self.own = own
        self.leases = Leases(has_battery, own.take_prices)
        self.reserve = one(spec.backup_reserve)
        self._commandable = bool(self.leases.has_battery[0])
        self._battery = typical(
            one(spec.rated_energy_wh), one(spec.rated_charge_w), one(spec.rated_discharge_w)
        )
        self._connection = Connection(one(spec.export_limit_w), one(spec.import_limit_w))
        self._planned = _as_planned(spec)
        self._commanded_w: Floats | None = None
        """The power of the last step without frequency response; None = own mode."""
        self.ramps = False
        """Whether the last step was one of a ramp, which goes on with the next."""
        self.follows_plan = False
        """Whether the last step's power without a lease was the home's own plan's."""
        self._guards = False
        """Whether the battery is kept out of its own mode, at its reserve."""

    @property
    def _plans(self) -> bool:
        """Whether the home's own plan decides without a lease."""
        return self.own.always or bool(self.leases.follows_prices[0])

    def plan_due(self, now_ms: int) -> Callable[[], Planned] | None:
        """A plan to be made now, in another thread, and given to ``own.accept``; None = no need."""
        needed = self._commandable and self._plans
        return self.own.due(now_ms, self._planned) if needed else None

    def step(self, now_ms: int, measured: dict[Quantity, float], dt_s: float) -> Power | None:
        """The power to hold from now on; None = the inverter's own mode.

        ``now_ms`` is by the gateway's clock, ``measured`` the newest values if they are not too
        old, and ``dt_s`` the time since the last step.
        """
        known = 0.0 <= measured.get("soc", -1.0) <= 1.0 and "battery_w" in measured
        islanded = np.array([measured.get("islanded", 0.0) > 0.5])
        self.leases.unmeasured[:] = not known
        self.own.observe(now_ms, measured, dt_s)
        orders = self.leases.orders(np.array([now_ms]), islanded)
        if not known or islanded[0] or not self._commandable:
            self._commanded_w, self._guards = None, False
            self.ramps = self.follows_plan = False
            return None
        return self._decide(now_ms, measured, orders, dt_s)

    def _decide(
        self, now_ms: int, measured: dict[Quantity, float], orders: Orders, dt_s: float
    ) -> Power | None:
        state = BatteryState(one(measured["soc"]), one(_PACK_C))
        power_w, net_w = one(measured["battery_w"]), self._net_load_w(measured)
        planned_w = self.own.power_w(now_ms, measured) if self._plans else None
        self.follows_plan = planned_w is not None
        alone_w = self._alone_w(state, net_w if planned_w is None else one(planned_w), dt_s)
        decision = ladder.follow(
            self._battery,
            state,
            self.reserve,
            orders=replace(orders, start_w=self._ramp_start(power_w, orders)),
            alone_w=alone_w,
            hz=one(measured.get("frequency_hz", float("nan"))),
            dt_s=dt_s,
        )
        wish_w = np.where(orders.leased, orders.setpoint_w, alone_w)
        self.ramps = bool(abs(decision.ramped_w[0] - wish_w[0]) > LIMITED_W)
        floor = np.where(orders.leased, np.maximum(self.reserve, orders.soc_min), self.reserve)
        request_w = self._limited(decision.request_w, state, floor, net_w)
        at_limit = np.abs(request_w - decision.wanted_w) > LIMITED_W
        limited = at_limit & is_near(power_w, request_w, orders.setpoint_w)
        self.leases.moved(np.array([now_ms]), decision, alone_w, power_w=power_w, limited=limited)
        self._guard(measured["soc"])
        commands = bool(orders.leased[0] or self.leases.falling[0]) or self.follows_plan
        if not commands and not self._guards:
            self._commanded_w = None
            return None
        self._commanded_w = _without_droop(decision, request_w)
        most_ms = min(HOLD_MS, self._left_ms(now_ms)) if orders.leased[0] else HOLD_MS
        return Power(float(request_w[0]), self._hold_ms(request_w, state, floor, most_ms))

    def _left_ms(self, now_ms: int) -> int:
        """When the inverter's timer ends a lease that the agent has not ended with its ramp."""
        return int(self.leases.held["valid_until_ms"][0]) - now_ms + _END_MS

    def _alone_w(self, state: BatteryState, wish_w: Floats, dt_s: float) -> Floats:
        """Power without a lease, W: the plan's, or self-consumption as far as it is known."""
        wish_w = np.nan_to_num(wish_w)
        return ladder.above_reserve(self._battery, state, self.reserve, wish_w, dt_s)

    def _net_load_w(self, measured: dict[Quantity, float]) -> Floats:
        """Load minus solar, W, from whichever meters there are; NaN = not known."""
        load_w, solar_w = measured.get("load_w"), measured.get("solar_w")
        if (grid_w := measured.get("grid_w")) is not None:
            return one(grid_w + measured["battery_w"])
        return one(float("nan") if load_w is None or solar_w is None else load_w - solar_w)

    def _ramp_start(self, power_w: Floats, orders: Orders) -> Floats:
        if self._commanded_w is None:
            return power_w
        lag_w = orders.ramp_w_s * _LAG_S
        return np.clip(self._commanded_w, power_w - lag_w, power_w + lag_w)

    def _limited(
        self, request_w: Floats, state: BatteryState, floor: Floats, net_w: Floats
    ) -> Floats:
        """The request within reserve, grid connection and ratings."""
        spec = self._battery
        kept_w = np.maximum(ladder.spare_w(spec, state, floor, HORIZON_S), 0.0)
        request_w = np.minimum(request_w, kept_w)
        if np.isnan(net_w[0]):  # a limit that cannot be checked leaves no power in its direction
            least = -np.inf if np.isinf(self._connection.import_limit_w[0]) else 0.0
            most = np.inf if np.isinf(self._connection.export_limit_w[0]) else 0.0
            request_w = np.clip(request_w, least, most)
        else:
            request_w = within(self._connection, net_w, request_w)
        return np.clip(request_w, -spec.charge_w, spec.discharge_w)

    def _guard(self, soc: float) -> None:
        """Decide whether the reserve is so close that the inverter's own mode could sell it."""
        margin = _FREE_SOC if self._guards else _GUARD_SOC
        self._guards = soc <= float(self.reserve[0]) + margin

    def _hold_ms(
        self, request_w: Floats, state: BatteryState, floor: Floats, most_ms: float
    ) -> int:
        """How long the inverter may hold a power alone: not as far as into the reserve."""
        if request_w[0] > 0:
            full_s = ladder.spare_w(self._battery, state, floor, 1.0) / request_w
            most_ms = min(most_ms, max(float(full_s[0]), HORIZON_S) * 1000)
        return max(round(most_ms), 1000)


def _as_planned(spec: HomeSpec) -> PlannedHome:
    return PlannedHome(
        energy_wh=spec.rated_energy_wh,
        charge_w=spec.rated_charge_w,
        discharge_w=spec.rated_discharge_w,
        reserve_soc=spec.backup_reserve,
        export_limit_w=spec.export_limit_w,
        import_limit_w=spec.import_limit_w,
        battery_exports=spec.battery_exports,
        wear_per_mwh=spec.wear_per_mwh,
    )


def _without_droop(decision: Decision, request_w: Floats) -> Floats:
    """The part of a power that a ramp goes on from: without frequency response, W."""
    without = request_w - decision.droop_w
    low, high = np.minimum(request_w, without), np.maximum(request_w, without)
    return np.clip(decision.ramped_w, low, high)
