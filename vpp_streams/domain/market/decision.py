"""One decision of the Autobidder: pinned inputs to a bid, in time, whatever the inputs are.

What stored energy is worth comes from dynamic programming over the price chain (`domain.value`)
and makes the offer's curve; a linear programme over the expected prices makes the plan: when to
charge, what to sell as capacity, which limit gives way. Where one of them fails, the next rung of
a ladder stands in, and the bid says which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from schemas.market import Bid, EnergyOffer, PlanView, Product, Rung
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.bids import capacity_offers, energy_offer, fixed_offer
from vpp_streams.domain.market.clearing import UP, cleared_power_w
from vpp_streams.domain.market.cycle_inputs import CycleInputs, Usable, usable
from vpp_streams.domain.market.forecast.capacity import CapacityForecast, capacity_ahead
from vpp_streams.domain.market.forecast.process import PriceProcess, fit_process, slot_of
from vpp_streams.domain.market.ledger import bid_id, stored_at
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem
from vpp_streams.domain.market.reserve import Dependable, dependable
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import W_PER_MW, ValueTable, feasible_power, value_table
from vpp_streams.domain.moments import HOUR_MS

REFIT = 6
"""Forecast and value table are made anew every so many intervals: they hardly move between."""
LOOK_DAYS = 1.5
"""The value table looks so far; energy left at its end is worth nothing."""
LP_LIMIT_S, FRESH_LIMIT_S, COARSE_LIMIT_S = 0.25, 0.5, 0.25
COARSE = 6
"""Steps of the plan that become one where time is short."""
LOW, HIGH = 0.1, 0.9
TOLD_STEPS = 36
"""Planned steps that a bid tells of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    """What is believed of prices, and what stored energy is worth; made every `REFIT`."""

    made_for_ms: int
    """Start of the first interval that it is for."""
    process: PriceProcess
    table: ValueTable


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """Expected prices from the interval to bid for on, for as many steps as a plan has."""

    chances: Floats
    mean: Floats
    low: Floats
    high: Floats
    capacity: CapacityForecast


class Autobidder:
    """Makes bids. What it keeps between them (a warm solver, an outlook) saves time only."""

    def __init__(self) -> None:
        self._model = PlanModel()
        self._outlook: tuple[object, _Outlook] | None = None

    def decide(
        self, inputs: CycleInputs, clock: Callable[[], float], deadline_s: float
    ) -> tuple[Bid, PlanView | None]:
        """A bid that the market takes, always, and the plan behind it where there is one.

        ``clock`` gives seconds; from ``deadline_s`` of it on, no solver is begun any more.
        """
        began_s = clock()
        sound = usable(inputs)
        if isinstance(sound, str):
            return safe_bid(inputs, (sound,)), None
        inputs = sound.inputs
        held = dependable(sound.storage, inputs.delivered, inputs.reserve)
        storage = held.storage
        if storage.energy_wh <= 0 or storage.discharge_w + storage.charge_w <= 0:
            return safe_bid(inputs, (*sound.faults, "the region has nothing to offer")), None
        if clock() >= deadline_s:
            return _without_outlook(inputs, sound, storage), None
        stored_wh = stored_at(
            inputs.start_ms, inputs.now_ms, storage, sound.stored_wh, inputs.awards
        )
        outlook = self._look(inputs, storage)
        ahead = _ahead(outlook.process, inputs)
        problem = _problem(inputs, storage, stored_wh, outlook, ahead)
        plan, rung, faults = self._plan(problem, planned_w(inputs), clock, deadline_s)
        bid = msgspec.structs.replace(
            _bid(inputs, held, stored_wh, outlook=outlook, ahead=ahead, plan=plan),
            rung=rung,
            faults=(*sound.faults, *faults),
            solve_ms=round((clock() - began_s) * 1e3, 3),
        )
        return bid, None if plan is None else _view(inputs, ahead, plan)

    def _look(self, inputs: CycleInputs, storage: Storage) -> _Outlook:
        """The outlook of the interval's group of `REFIT`, from what was known before the group."""
        rules, history = inputs.rules, inputs.history
        group_ms = inputs.start_ms - inputs.start_ms % (REFIT * rules.interval_ms)
        rows = int(np.searchsorted(history.start_ms, group_ms))
        known = history.cut(slice(0, rows))
        key = (group_ms, rows, known.energy[-1:].tobytes(), storage, rules)
        if self._outlook is not None and self._outlook[0] == key:
            return self._outlook[1]
        process = fit_process(known, rules)
        steps = int(rules.day_slots * LOOK_DAYS)
        capacity = capacity_ahead(known, rules, group_ms, steps)
        table = value_table(
            process, storage, rules, slot=int(slot_of(group_ms, rules)), steps=steps,
            keep=min(rules.day_slots + REFIT, steps), capacity=capacity,
        )  # fmt: skip
        outlook = _Outlook(group_ms, process, table)
        self._outlook = key, outlook
        return outlook

    def _plan(
        self,
        problem: PlanProblem,
        planned: float | None,
        clock: Callable[[], float],
        deadline_s: float,
    ) -> tuple[Plan | None, Rung, tuple[str, ...]]:
        """The first rung of the ladder that gives a plan, and why those before it gave none."""
        said: list[str] = []

        def attempt(model: PlanModel, what: PlanProblem, limit_s: float) -> Plan | None:
            left_s = min(limit_s, deadline_s - clock())
            if left_s <= 0:
                said.append("there was no time left to plan")
                return None
            found = model.solve(what, left_s)
            if isinstance(found, PlanFailure):
                said.append(f"no plan ({found.reason}): {found.detail}")
                return None
            return found

        if (plan := attempt(self._model, problem, LP_LIMIT_S)) is not None:
            return plan, "warm_lp" if plan.how == "warm" else "fresh_lp", plan.faults
        self._model = PlanModel()
        if (plan := attempt(self._model, problem, FRESH_LIMIT_S)) is not None:
            return plan, "fresh_lp", (*said, *plan.faults)
        if (plan := attempt(PlanModel(), coarser(problem), COARSE_LIMIT_S)) is not None:
            return plan, "coarse_lp", (*said, *plan.faults)
        return None, "value_rule" if planned is None else "last_plan", tuple(said)


def safe_bid(inputs: CycleInputs, faults: tuple[str, ...]) -> Bid:
    """The last resort: take part with nothing."""
    rules = inputs.rules
    return Bid(
        bid_id=bid_id(rules.name, inputs.region, inputs.start_ms),
        market=rules.name,
        region=inputs.region,
        start_ms=inputs.start_ms,
        interval_ms=rules.interval_ms,
        gate_ms=inputs.start_ms - rules.gate_ms,
        made_at_ms=inputs.now_ms,
        rung="safe",
        energy=EnergyOffer(0.0),
        currency=rules.currency,
        faults=faults,
        sources=inputs.sources,
    )


def planned_w(inputs: CycleInputs) -> float | None:
    """What the last plan had for the interval to bid for, W; None where it had nothing."""
    plan = inputs.last_plan
    if plan is None or plan.interval_ms <= 0:
        return None
    step, beside = divmod(inputs.start_ms - plan.start_ms, plan.interval_ms)
    if beside or not 0 <= step < len(plan.power_w):
        return None
    power_w = plan.power_w[step]
    return power_w if np.isfinite(power_w) else None


def coarser(problem: PlanProblem) -> PlanProblem:
    """The problem with `COARSE` steps made into one; the first step stays as it is."""
    n = len(problem.hours)
    starts = np.concatenate([[0], np.arange(1, n, COARSE)])
    hours = np.add.reduceat(problem.hours, starts)

    def merged(values: Floats) -> Floats:
        weighted: Floats = np.add.reduceat(values * problem.hours, starts) / hours
        return weighted

    return PlanProblem(
        hours=hours,
        energy_price=merged(problem.energy_price),
        storage=problem.storage,
        stored_wh=problem.stored_wh,
        rules=problem.rules,
        capacity_price={p: merged(price) for p, price in problem.capacity_price.items()},
        terminal_wh=problem.terminal_wh,
        terminal_per_mwh=problem.terminal_per_mwh,
    )


def _problem(
    inputs: CycleInputs, storage: Storage, stored_wh: float, outlook: _Outlook, ahead: _Ahead
) -> PlanProblem:
    rules, steps = inputs.rules, len(ahead.mean)
    last = (inputs.start_ms - outlook.made_for_ms) // rules.interval_ms + steps - 1
    worth = outlook.table.value[min(last, len(outlook.table.value) - 1)] @ ahead.chances[-1]
    grid = outlook.table.stored_wh
    sold = np.full(steps, np.nan)
    for award in inputs.awards:
        step, beside = divmod(award.start_ms - inputs.start_ms, rules.interval_ms)
        if not beside and 0 < step < steps:
            sold[step] = award.energy_w
    return PlanProblem(
        hours=np.full(steps, rules.interval_ms / HOUR_MS),
        energy_price=ahead.mean,
        storage=storage,
        stored_wh=stored_wh,
        rules=rules,
        capacity_price=ahead.capacity.price,
        committed_w=sold,
        terminal_wh=grid[1:],
        # Of a grid and a forecast, it may rise a little here and there; a plan needs it falling.
        terminal_per_mwh=np.minimum.accumulate(np.diff(worth) / np.diff(grid) * W_PER_MW),
    )


def _ahead(process: PriceProcess, inputs: CycleInputs) -> _Ahead:
    """Forecast of a day from the interval on, given the newest price."""
    rules, history = inputs.rules, inputs.history
    first = int(slot_of(inputs.start_ms, rules))
    newest, since = None, 0
    if len(history.start_ms):
        newest = float(history.energy[-1])
        gap_ms = inputs.start_ms - int(history.start_ms[-1])
        since = int(min(gap_ms // rules.interval_ms - 1, rules.day_slots))
    since = max(since, 0)
    chances = process.ahead(newest, first - since, rules.day_slots + since)[since:]
    return _Ahead(
        chances=chances,
        mean=process.mean(chances),
        low=process.quantile(chances, LOW),
        high=process.quantile(chances, HIGH),
        capacity=capacity_ahead(history, rules, inputs.start_ms, rules.day_slots),
    )


def _bid(
    inputs: CycleInputs,
    held: Dependable,
    stored_wh: float,
    *,
    outlook: _Outlook,
    ahead: _Ahead,
    plan: Plan | None,
) -> Bid:
    """The offer by what stored energy is worth, with the capacity beside it."""
    rules, storage = inputs.rules, held.storage
    room = _room(inputs, storage, stored_wh)
    wanted = _capacity_wanted(rules, storage, plan)
    # Where the market does not pick both together, capacity must have its room kept free.
    apart = _Room(0.0, 0.0) if rules.co_optimised else _both_ways(wanted)
    step = (inputs.start_ms - outlook.made_for_ms) // rules.interval_ms
    offer = energy_offer(
        outlook.table,
        step,
        ahead.chances[0],
        stored_wh=stored_wh,
        storage=storage,
        rules=rules,
        least_w=min(apart.down_w - room.down_w, 0.0),
        most_w=max(room.up_w - apart.up_w, 0.0),
    )
    return msgspec.structs.replace(
        safe_bid(inputs, ()),
        energy=offer,
        capacity=capacity_offers(
            wanted,
            outlook.table.per_mwh(step, stored_wh, ahead.chances[0]),
            float(ahead.mean[0]),
            stored_wh=stored_wh,
            offer=offer,
            storage=storage,
            rules=rules,
        ),
        expected_w=cleared_power_w(offer, float(ahead.mean[0])),
        up_w=room.up_w,
        down_w=room.down_w,
        **_told(inputs, held, stored_wh, ahead, plan),
    )


def _told(
    inputs: CycleInputs, held: Dependable, stored_wh: float, ahead: _Ahead, plan: Plan | None
) -> dict[str, object]:
    """What the bid says of itself."""
    price = float(ahead.mean[0])
    withheld_mwh = held.withheld_w * inputs.rules.interval_h / W_PER_MW
    return {
        "expected_price": round(price, 4),
        "stored_wh": round(stored_wh, 3),
        "withheld_w": round(held.withheld_w, 3),
        "withheld_cost": round(max(price, 0.0) * withheld_mwh, 4),
        "slacks": {} if plan is None else {str(k): float(v) for k, v in plan.slacks.items()},
        "plan_w": () if plan is None else _rounded(plan.power_w[:TOLD_STEPS]),
    }


@dataclass(frozen=True, slots=True)
class _Room:
    """Power to offer within, both >= 0."""

    up_w: float
    down_w: float


def _room(inputs: CycleInputs, storage: Storage, stored_wh: float) -> _Room:
    """What is not sold already of the interval, in another auction; buying back is no room."""
    sold_w, bought_w, up_w, down_w = 0.0, 0.0, 0.0, 0.0
    for award in inputs.awards:
        if award.start_ms == inputs.start_ms:
            taken = _both_ways(award.capacity_w)
            sold_w += max(award.energy_w, 0.0)
            bought_w += max(-award.energy_w, 0.0)
            up_w, down_w = up_w + taken.up_w, down_w + taken.down_w
    if not (sold_w or bought_w or up_w or down_w):
        return _Room(storage.discharge_w, storage.charge_w)
    hours = inputs.rules.interval_h
    ends = np.array([-storage.charge_w, storage.discharge_w])
    least_w, most_w = feasible_power(ends, stored_wh, storage, hours).tolist()
    return _Room(max(most_w - sold_w - up_w, 0.0), max(-least_w - bought_w - down_w, 0.0))


def _both_ways(capacity_w: Mapping[Product, float]) -> _Room:
    up_w = sum(power_w for product, power_w in capacity_w.items() if product in UP)
    return _Room(up_w, sum(capacity_w.values()) - up_w)


def _capacity_wanted(
    rules: MarketRules, storage: Storage, plan: Plan | None
) -> dict[Product, float]:
    """The most of each product: all there is where the market picks, else what is planned."""
    traded: tuple[Product, ...] = tuple(p for p in rules.products if p != "energy")
    if rules.co_optimised:
        return dict.fromkeys(traded, storage.discharge_w + storage.charge_w)
    if plan is None:
        return {}
    planned = {
        "reg_up": plan.reg_up_w, "reg_down": plan.reg_down_w, "reserve": plan.reserve_w
    }  # fmt: skip
    return {product: float(planned[product][0]) for product in traded}


def _without_outlook(inputs: CycleInputs, sound: Usable, storage: Storage) -> Bid:
    """There was no time to look ahead: what was planned last, cut to what can be given now."""
    planned = planned_w(inputs)
    faults = (*sound.faults, "there was no time to look ahead")
    if planned is None:
        return safe_bid(inputs, faults)
    stored_wh = stored_at(inputs.start_ms, inputs.now_ms, storage, sound.stored_wh, inputs.awards)
    room = _room(inputs, storage, stored_wh)
    within = np.array([min(max(planned, -room.down_w), room.up_w)])
    power_w = feasible_power(within, stored_wh, storage, inputs.rules.interval_h)
    return msgspec.structs.replace(
        safe_bid(inputs, faults),
        rung="last_plan",
        energy=fixed_offer(float(power_w[0])),
        expected_w=float(power_w[0]),
        stored_wh=round(stored_wh, 3),
        up_w=room.up_w,
        down_w=room.down_w,
    )


def _view(inputs: CycleInputs, ahead: _Ahead, plan: Plan) -> PlanView:
    return PlanView(
        market=inputs.rules.name,
        region=inputs.region,
        made_at_ms=inputs.now_ms,
        start_ms=inputs.start_ms,
        interval_ms=inputs.rules.interval_ms,
        power_w=_rounded(plan.power_w),
        stored_wh=_rounded(plan.stored_wh),
        price=_rounded(ahead.mean),
        price_low=_rounded(ahead.low),
        price_high=_rounded(ahead.high),
        currency=inputs.rules.currency,
    )


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(values.round(2).tolist())
