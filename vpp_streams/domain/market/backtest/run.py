"""Walk forward through recorded prices: bid, clear, deliver, interval by interval.

A bid is made from what was public before its gate, and nothing else: `ReplayMarket.prices` is
the only way to a price. Each stretch without a gap begins with an empty storage.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo

import numpy as np

from schemas.market import Bid, Delivery
from vpp_streams.domain.market.auction_days import local_days
from vpp_streams.domain.market.backtest.delivery import Fleet, Given
from vpp_streams.domain.market.backtest.foresight import perfect_money, planner_money
from vpp_streams.domain.market.backtest.result import Summary, Trace, Yardsticks, summarise
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import BidRefusedError, Prices, Storage

REGION = "backtest"
DELIVERED_KEPT = 288
DEADLINE_S = 5.0


@dataclass(slots=True)
class WalkRecord:
    """Rows that a walk collects."""

    bids: list[Bid] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    @property
    def money(self) -> float:
        """Money earned in total."""
        return float(np.array([given.money for given in self.given], float).sum())

    def trace(self, perfect: list[float], zone: tzinfo) -> Trace:
        """The rows as columns; days are those of the zone."""
        start_ms = np.array([bid.start_ms for bid in self.bids], np.int64)

        def column(values: list[float]) -> np.ndarray:
            return np.array(values, float)

        return Trace(
            start_ms=start_ms,
            day=local_days(start_ms, zone),
            price=column(self.price),
            awarded_w=column([given.asked_w for given in self.given]),
            delivered_w=column([given.given_w for given in self.given]),
            stored_wh=column([given.stored_wh for given in self.given]),
            money=column([given.money for given in self.given]),
            imbalance_cost=column([given.imbalance_cost for given in self.given]),
            perfect_money=column(perfect),
            forecast=column([bid.expected_price or 0.0 for bid in self.bids]),
            low=column(self.low),
            high=column(self.high),
        )


def walk(
    market: ReplayMarket,
    storage: Storage,
    fleet: Fleet,
    policy: ReservePolicy,
    *,
    clock: Callable[[], float],
    on_interval: Callable[[], None] = lambda: None,
) -> tuple[Summary, Trace, tuple[Bid, ...]]:
    """Bid for every recorded interval; the summary, the trace, and the bids that were made.

    A fleet that does not always answer is walked a second time as one that does: missing energy
    has effects later too, so only this shows its cost. ``clock`` returns seconds, to measure
    solving; ``on_interval`` is called after each bid. Raises `ValueError` where nothing is
    recorded.
    """
    rules = market.rules
    runs = [market.recorded.cut(rows) for rows in market.recorded.runs()]

    def walked(answering: Fleet) -> WalkRecord:
        rows = WalkRecord()
        walker = _Walker(market, storage, answering, policy, clock)
        for run in runs:
            for _ in walker.bids(run, rows):
                on_interval()
        return rows

    rows = walked(fleet)
    if not rows.bids:
        raise ValueError("there is no interval with a price")
    reliable = rows if fleet.always_answers else walked(fleet.reliable())
    perfect, planned = list[float](), 0.0
    for run in runs:
        perfect += perfect_money(run, rules, storage, 0.0).tolist()
        planned += planner_money(run, rules, storage, 0.0, int(rules.day_slots * 1.5))
    trace = rows.trace(perfect, market.zone)
    summary = summarise(
        trace,
        rules,
        storage,
        others=Yardsticks(planned, reliable.money, overnight=float(sum(perfect))),
        solve_ms=[bid.solve_ms for bid in rows.bids],
        rungs=Counter(bid.rung for bid in rows.bids),
    )
    return summary, trace, tuple(rows.bids)


@dataclass(frozen=True, slots=True)
class _Walker:
    """One fleet in one market; its bidder keeps its outlook from run to run."""

    market: ReplayMarket
    storage: Storage
    fleet: Fleet
    policy: ReservePolicy
    clock: Callable[[], float]
    bidder: Autobidder = field(default_factory=Autobidder)

    def bids(self, run: Prices, rows: WalkRecord) -> Iterator[Bid]:
        """Bid for, clear and deliver each interval of a run, add it to the rows, and yield it."""
        market, stored_wh, delivered = self.market, 0.0, list[Delivery]()
        for start_ms in run.start_ms.tolist():
            inputs = self._inputs(start_ms, stored_wh, delivered)
            bid, view = self.bidder.decide(inputs, self.clock, self.clock() + DEADLINE_S)
            try:
                award = market.clear(bid, inputs.now_ms)
            except BidRefusedError as error:
                raise AssertionError(f"a bid against the rules: {error}") from error
            settled = market.imbalance_at(start_ms)
            given = self.fleet.deliver(award, stored_wh, market.rules, settled)
            stored_wh = given.stored_wh
            delivered = [*delivered[1 - DELIVERED_KEPT :], _delivery(bid, given)]
            rows.bids.append(bid)
            rows.price.append(award.prices["energy"])
            rows.given.append(given)
            rows.low.append(view.price_low[0] if view else float("nan"))
            rows.high.append(view.price_high[0] if view else float("nan"))
            yield bid

    def _inputs(self, start_ms: int, stored_wh: float, delivered: list[Delivery]) -> CycleInputs:
        now_ms = start_ms - self.market.rules.gate_ms
        return CycleInputs(
            rules=self.market.rules,
            region=REGION,
            start_ms=start_ms,
            now_ms=now_ms,
            history=self.market.prices(now_ms),
            storage=self.storage,
            stored_wh=stored_wh,
            delivered=tuple(delivered),
            reserve=self.policy,
            published=self.market.published,
        )


def _delivery(bid: Bid, given: Given) -> Delivery:
    return Delivery(
        bid_id=bid.bid_id,
        market=bid.market,
        region=bid.region,
        start_ms=bid.start_ms,
        interval_ms=bid.interval_ms,
        awarded_w=given.asked_w,
        measured_w=given.given_w,
        coverage=1.0,
        money=given.money,
        currency=bid.currency,
    )
