"""Bids into a day-ahead auction: from a day's price forecast to hourly, loop or exclusive orders.

Hourly orders are the plan on the expected prices, at any price. Loops are the pairs of purchase
and sale of a plan on prices spread wider around their mean (`SPREAD`): a loop that does not pay is
not executed, so that it costs nothing to offer what pays only where the day becomes more uneven
than expected. More loops than the market takes are joined (`loops`). A group holds the best
schedules for the expected day and for days that differ from it as the last ones did; the market
chooses the one that gains most.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.market import Bid, EnergyOffer, Step
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.bids import fixed_offer
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.day_ahead.best_plan import best_plan
from vpp_streams.domain.market.day_ahead.exact_plan import ExactPlan
from vpp_streams.domain.market.day_ahead.loops import at_most
from vpp_streams.domain.market.day_ahead.pairs import Pair, pairs_of
from vpp_streams.domain.market.day_orders import BlockOrder, DayOrders, ExclusiveGroup, LoopOrder
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

Strategy = Literal["hourly", "loop", "exclusive"]
"""The kind of order that a day is bid with."""
SPREAD = 2.0
"""How much wider prices are taken for loops. In the two years before those that are scored, 1.5 and
2 earned the same to 0.2 points of perfect foresight, in DE and in NP."""
ALTERNATIVES = 24
"""Schedules of a group."""


def best_strategy(rules: MarketRules) -> Strategy:
    """What earns most of the orders that a market takes and that are no upper estimate."""
    return "loop" if "loop" in rules.orders else "hourly"


@dataclass(frozen=True, slots=True, eq=False)
class DayAhead:
    """What is known before an auction's gate."""

    start_ms: NDArray[np.int64]
    """Of the day's intervals."""
    expected: Floats
    """Price of each."""
    errors: Floats
    """Of the last days' forecasts, actual less expected: shape (days, intervals)."""
    stored_wh: float
    """Energy that is expected in store when the day begins."""
    tomorrow: Floats
    """Prices to plan the day after with; empty = no energy is kept overnight."""

    @property
    def keeps(self) -> bool:
        """Whether energy may be kept overnight."""
        return len(self.tomorrow) > 0


@dataclass(frozen=True, slots=True)
class DayBidder:
    """Makes the orders of a day for one storage; it keeps its solver warm."""

    rules: MarketRules
    storage: Storage
    strategy: Strategy
    region: str
    model: PlanModel = field(default_factory=PlanModel)

    def orders(self, day: DayAhead) -> DayOrders:
        """The orders for a day."""
        if self.strategy == "hourly":
            plan = self._plan(day, np.concatenate([day.expected, day.tomorrow]))
            offers = [fixed_offer(power) for power in plan.power_w.tolist()]
            return DayOrders(bids=self._bids(day, plan, offers))
        return self._loops(day) if self.strategy == "loop" else self._group(day)

    def _loops(self, day: DayAhead) -> DayOrders:
        expected, n = np.concatenate([day.expected, day.tomorrow]), len(day.expected)
        mean = expected.mean()
        plan = self._plan(day, mean + SPREAD * (expected - mean))
        offers, loops = [EnergyOffer(0.0)] * n, list[LoopOrder]()
        for pair in pairs_of(plan.power_w, day.stored_wh, self.storage, self.rules.interval_h):
            if pair.sold is not None and pair.sold < n and pair.bought is not None:
                loops.append(self._loop(pair, n))
            elif pair.bought is not None and pair.bought < n:
                offers[pair.bought] = self._held(offers[pair.bought], pair, expected)
            elif pair.bought is None and pair.sold is not None and pair.sold < n:
                offers[pair.sold] = fixed_offer(offers[pair.sold].below_w + pair.sell_w)
        fewer = at_most(loops, self.rules.most_loops, day.expected, self.rules.interval_h)
        return DayOrders(bids=self._bids(day, plan, offers), spanning=fewer)

    def _loop(self, pair: Pair, n: int) -> LoopOrder:
        at = np.arange(n)
        return LoopOrder(
            buy=_block(np.where(at == pair.bought, -pair.buy_w, 0.0), 0.0),
            sell=_block(np.where(at == pair.sold, pair.sell_w, 0.0), self.storage.wear_per_mwh),
        )

    def _held(self, offer: EnergyOffer, pair: Pair, expected: Floats) -> EnergyOffer:
        """Also buy what is to be sold after the day, if it costs less than that is expected to pay.

        Several purchases of one interval have the lowest of their limits.
        """
        storage = self.storage
        paid = 0.0 if pair.sold is None else float(expected[pair.sold]) - storage.wear_per_mwh
        limit = paid * storage.discharge_efficiency * storage.charge_efficiency
        limit = min([limit, *(step.price for step in offer.steps)])
        limit = min(max(limit, self.rules.floor), self.rules.cap)
        return EnergyOffer(offer.below_w - pair.buy_w, (Step(limit, 0.0),))

    def _group(self, day: DayAhead) -> DayOrders:
        """Schedules of different expected prices, each once; the newest errors first."""
        plan = self._plan(day, day.expected)
        found = {tuple(np.round(plan.power_w, 3).tolist())}
        for error in day.errors[::-1]:
            if len(found) == ALTERNATIVES:
                break
            power_w = self._plan(day, day.expected + error).power_w
            found.add(tuple(np.round(power_w, 3).tolist()))
        wear = self.storage.wear_per_mwh
        group = ExclusiveGroup(
            tuple(
                LoopOrder(_block(np.minimum(power, 0), 0.0), _block(np.maximum(power, 0), wear))
                for power in (np.array(schedule) for schedule in sorted(found))
            )
        )
        offers = [EnergyOffer(0.0)] * len(day.expected)
        return DayOrders(bids=self._bids(day, plan, offers), spanning=(group,))

    def _plan(self, day: DayAhead, price: Floats) -> Plan | ExactPlan:
        interval_ms = self.rules.interval_ms
        starts = day.start_ms[0] + np.arange(len(price), dtype=np.int64) * interval_ms
        run = Prices("", self.rules.currency, interval_ms, starts, {"energy": price})
        return best_plan(
            self.model, run, self.rules, self.storage, day.stored_wh, ends_empty=not day.keeps
        )

    def _bids(
        self, day: DayAhead, plan: Plan | ExactPlan, offers: list[EnergyOffer]
    ) -> tuple[Bid, ...]:
        """A bid for each interval of the day; what of the plan lies beyond is left out."""
        warm = isinstance(plan, Plan) and plan.how == "warm"
        return tuple(
            msgspec.structs.replace(
                safe_bid(self._inputs(start_ms), ()),
                rung="warm_lp" if warm else "fresh_lp",
                energy=offer,
                expected_w=planned,
                expected_price=price,
            )
            for start_ms, price, planned, offer in zip(
                day.start_ms.tolist(), day.expected.tolist(), plan.power_w.tolist(), offers,
                strict=False,
            )
        )  # fmt: skip

    def _inputs(self, start_ms: int) -> CycleInputs:
        rules = self.rules
        none = Prices("", rules.currency, rules.interval_ms, np.array([], np.int64),
                      {"energy": np.array([])})  # fmt: skip
        return CycleInputs(
            rules=rules,
            region=self.region,
            start_ms=start_ms,
            now_ms=start_ms - rules.gate_ms,
            history=none,
            storage=None,
            stored_wh=None,
        )


def _block(power_w: Floats, limit_price: float) -> BlockOrder:
    return BlockOrder(tuple(power_w.tolist()), limit_price)
