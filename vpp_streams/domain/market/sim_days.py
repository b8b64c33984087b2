"""A simulated day-ahead auction: one gate for all intervals of a day, hourly and loop orders.

Its prices are those of the simulated market with 24 intervals a day, however short these are; it
clears by the function that clears recorded prices. We are too small to move them.
"""

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from schemas.market import Award
from schemas.orders import OrderBook
from vpp_streams.domain.market.day_ahead.order_books import check_book, orders_of, starts_of
from vpp_streams.domain.market.gate_clock import closed_starts, open_start
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import MarketRules, Prices
from vpp_streams.domain.market.sim_market import CAP, FLOOR, SimMarket
from vpp_streams.domain.moments import DAY_MS

INTERVALS = 24
"""Intervals of a simulated day."""
HISTORY_DAYS, MOST_HISTORY_MS = 60, 28 * DAY_MS
"""Days of prices that are published at a first start, enough for a forecast, and the longest time
that they may be of."""


def sim_day_rules(interval_ms: int) -> MarketRules:
    """What the simulated auction trades; its gate closes half a day before the day."""
    return MarketRules(
        name="sim-day",
        currency="USD",
        interval_ms=interval_ms,
        gate_ms=INTERVALS // 2 * interval_ms,
        floor=FLOOR,
        cap=CAP,
        orders=("hourly", "loop"),
        most_loops=3,
        day_intervals=INTERVALS,
    )


@dataclass(frozen=True, slots=True)
class SimDays:
    """The auction: its prices follow from seed and interval alone."""

    rules: MarketRules
    seed: int = 1

    @property
    def gates(self) -> MarketRules:
        """Rules by whose intervals, a day each, `gate_clock` computes the gates."""
        return replace(self.rules, interval_ms=INTERVALS * self.rules.interval_ms)

    def open_day(self, now_ms: int) -> int:
        """Start of the day that books are taken for now."""
        return open_start(now_ms, self.gates)

    def prices(self, known_at_ms: int) -> Prices:
        """Prices of the last days whose gates are closed."""
        days = self.gates
        back_ms = min(HISTORY_DAYS * days.interval_ms, MOST_HISTORY_MS)
        starts = [
            day_ms + k * self.rules.interval_ms
            for day_ms in closed_starts(known_at_ms - back_ms, known_at_ms, days)
            for k in range(INTERVALS)
        ]
        return self._prices_of(starts)

    def clear(self, book: OrderBook, at_ms: int) -> list[Award]:
        """An award for each interval of a book that arrived then. Raises `BidRefusedError`."""
        check_book(book, self.rules, INTERVALS, at_ms)
        market = ReplayMarket(self.rules, self._prices_of(list(starts_of(book))), "day")
        awards = market.clear_day(orders_of(book, self.rules))
        # All are cleared at the day's gate, which is earlier than an interval's own would be.
        return [msgspec.structs.replace(award, cleared_at_ms=book.gate_ms) for award in awards]

    def _prices_of(self, starts: list[int]) -> Prices:
        start_ms = np.array(starts, np.int64)
        energy = SimMarket(self.rules, self.seed).prices_of(start_ms)["energy"]
        rules = self.rules
        return Prices(rules.name, rules.currency, rules.interval_ms, start_ms, {"energy": energy})
