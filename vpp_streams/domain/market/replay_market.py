"""A market that clears our bids against recorded prices."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.market import Award, Bid, Product
from vpp_streams.domain.market.clearing import award_of, impact_price
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices, check_bid
from vpp_streams.domain.moments import DAY_MS

Auction = Literal["interval", "day"]
"""When prices come to be known: each interval's at its gate, or a day's at the day's gate."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayMarket:
    """We are a price taker, or move the energy price by ``impact_per_mw`` for each MW sold.

    In a day auction all intervals of a day (UTC, shifted by ``day_begins_ms``)
    have the gate of its first.
    """

    rules: MarketRules
    recorded: Prices
    auction: Auction = "interval"
    impact_per_mw: float = 0.0
    day_begins_ms: int = 0

    def prices(self, known_at_ms: int) -> Prices:
        """The prices that were public at a time."""
        last_ms = self._known_until_ms(known_at_ms)
        return self.recorded.cut(slice(0, int(np.searchsorted(self.recorded.start_ms, last_ms))))

    def clear(self, bid: Bid, at_ms: int) -> Award:
        """What is taken of a bid. Raises `BidRefusedError`; also where no price is recorded."""
        check_bid(bid, self.rules, at_ms)
        prices = self.prices_at(bid.start_ms)
        if prices is None:
            raise BidRefusedError("no price is recorded for its interval")
        if self.impact_per_mw:
            moved = impact_price(bid.energy, prices["energy"], self.impact_per_mw)
            prices = {**prices, "energy": moved}
        return award_of(bid, prices, self.rules, cleared_at_ms=bid.gate_ms)

    def prices_at(self, start_ms: int) -> dict[Product, float] | None:
        """Recorded prices of an interval; None where its energy price is not known."""
        row = int(np.searchsorted(self.recorded.start_ms, start_ms))
        if row >= len(self.recorded.start_ms) or self.recorded.start_ms[row] != start_ms:
            return None
        found = {p: float(price[row]) for p, price in self.recorded.per_product.items()}
        known = {p: price for p, price in found.items() if np.isfinite(price)}
        return known if "energy" in known else None

    def _known_until_ms(self, known_at_ms: int) -> int:
        """Start of the first interval whose price is not public yet."""
        gated_ms = known_at_ms + self.rules.gate_ms
        if self.auction == "interval":
            return gated_ms
        return gated_ms - (gated_ms - self.day_begins_ms) % DAY_MS
