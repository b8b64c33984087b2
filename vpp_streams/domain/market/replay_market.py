"""A market that clears our bids against recorded prices."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

import msgspec
import numpy as np

from schemas.market import Award, Bid, Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.auction_days import midnight_ms
from vpp_streams.domain.market.clearing import W_PER_MW, award_of, impact_price
from vpp_streams.domain.market.day_orders import DayOrders, check_orders, executed_w
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices, check_bid

Auction = Literal["interval", "day"]
"""When prices come to be known: each interval's at its gate, or a day's at the day's gate."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayMarket:
    """We are a price taker, or move the energy price by ``impact_per_mw`` for each MW sold.

    In a day auction all intervals of a day, by the clock of ``zone``, have the gate of its first.
    """

    rules: MarketRules
    recorded: Prices
    auction: Auction = "interval"
    impact_per_mw: float = 0.0
    zone: tzinfo = UTC
    imbalance: Floats | None = None
    """Recorded imbalance prices, one for each of the prices; NaN or None = by the rules."""
    published: Feed = NOTHING_PUBLISHED
    """Prices that others expected, with the time of each."""

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

    def clear_day(self, orders: DayOrders) -> list[Award]:
        """An award for each interval of a day: its hourly order, and what spans intervals."""
        awards = [self.clear(bid, bid.gate_ms) for bid in orders.bids]
        check_orders(orders.spanning, self.rules, len(awards))
        price = np.array([award.prices["energy"] for award in awards])
        spanning_w = executed_w(orders.spanning, price, self.rules.interval_h, self.impact_per_mw)
        moved = price - self.impact_per_mw * spanning_w / W_PER_MW
        return [
            msgspec.structs.replace(
                award,
                energy_w=award.energy_w + power_w,
                prices={**award.prices, "energy": energy},
            )
            for award, power_w, energy in zip(
                awards, spanning_w.tolist(), moved.tolist(), strict=True
            )
        ]

    def prices_at(self, start_ms: int) -> dict[Product, float] | None:
        """Recorded prices of an interval; None where its energy price is not known."""
        row = self._row(start_ms)
        if row is None:
            return None
        found = {p: float(price[row]) for p, price in self.recorded.per_product.items()}
        known = {p: price for p, price in found.items() if np.isfinite(price)}
        return known if "energy" in known else None

    def imbalance_at(self, start_ms: int) -> float | None:
        """The recorded imbalance price of an interval; None where there is none."""
        row = self._row(start_ms)
        if row is None or self.imbalance is None or not np.isfinite(self.imbalance[row]):
            return None
        return float(self.imbalance[row])

    def _row(self, start_ms: int) -> int | None:
        starts = self.recorded.start_ms
        row = int(np.searchsorted(starts, start_ms))
        return row if row < len(starts) and starts[row] == start_ms else None

    def _known_until_ms(self, known_at_ms: int) -> int:
        """Start of the first interval whose price is not public yet."""
        gated_ms = known_at_ms + self.rules.gate_ms
        return gated_ms if self.auction == "interval" else midnight_ms(gated_ms, self.zone)
