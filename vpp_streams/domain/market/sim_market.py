"""A simulated market: a duck curve with noise, spikes and negative prices at midday.

Every price follows from the seed and the interval's start alone, so that a market that is
restarted publishes the same prices. We are too small to move them (price taker).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.bounds import MeteredAt
from schemas.market import PRODUCTS, Award, Bid, Product
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.clearing import award_of
from vpp_streams.domain.market.gate_clock import closed_starts
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices, check_bid
from vpp_streams.domain.moments import DAY_MS

DAY_INTERVALS = 288
"""A simulated day has as many intervals, however short these are: at 5 min it is a day."""
HISTORY_MS = 3 * DAY_MS
"""How far back prices are published."""
FLOOR, CAP = -150.0, 1000.0
_HOURS = (0, 3, 5, 7, 9, 11, 13, 15, 17, 18.5, 20, 22, 24)
_DUCK = (42, 36, 41, 58, 24, -4, -14, -2, 46, 118, 104, 61, 42)
"""Energy price by hour of the day: two peaks, and too much sun between them."""
_NOISE = 7.0
_KNOT = 6
"""Intervals between two values of the slow noise, which is interpolated."""
_BLOCK = 48
"""At most one spike in so many intervals."""
_SPIKE_SHARE = 0.45
"""Blocks that have a spike."""


IMPORT_FEE = 80.0
"""What the simulated network takes per MWh imported, where the market is at the connection."""


def sim_rules(interval_ms: int, gate_ms: int, metered_at: MeteredAt = "battery") -> MarketRules:
    """What the simulated market trades. It never calls for the regulation that it buys."""
    return MarketRules(
        name="sim",
        currency="USD",
        interval_ms=interval_ms,
        gate_ms=gate_ms,
        floor=FLOOR,
        cap=CAP,
        products=PRODUCTS,
        reg_up_used=0.0,
        reg_down_used=0.0,
        co_optimised=True,
        day_intervals=DAY_INTERVALS,
        metered_at=metered_at,
        import_fee=IMPORT_FEE if metered_at == "connection" else 0.0,
    )


@dataclass(frozen=True, slots=True)
class SimMarket:
    """The simulated market: its prices follow from seed and interval alone."""

    rules: MarketRules
    seed: int = 1

    def prices(self, known_at_ms: int) -> Prices:
        """Prices of the intervals of the last days whose gates are closed."""
        since_ms = known_at_ms - HISTORY_MS
        starts = np.array(closed_starts(since_ms, known_at_ms, self.rules), np.int64)
        rules = self.rules
        return Prices("sim", rules.currency, rules.interval_ms, starts, self.prices_of(starts))

    def prices_of(self, start_ms: Ints) -> Mapping[Product, Floats]:
        """A price of each product for each interval."""
        index = start_ms // self.rules.interval_ms
        slots = self.rules.day_slots
        hour = index % slots * (24 / slots)
        scale = 0.8 + 0.5 * self._uniform(index // slots, 1)
        duck = np.interp(hour, _HOURS, _DUCK) * scale
        spike = self._spikes(index)
        noise = _NOISE * (1.6 * self._slow(index) + 0.7 * self._normal(index, 3))
        energy = duck + noise + spike
        sun = np.exp(-(((hour - 12.5) / 3) ** 2))
        evening = np.exp(-(((hour - 19) / 2) ** 2))
        wobble = 1 + 0.25 * self._slow(index + 7)
        made: dict[Product, Floats] = {
            "energy": energy.clip(FLOOR, CAP),
            "reg_up": ((5 + 14 * evening) * wobble + 0.2 * spike).clip(0.0, CAP),
            "reg_down": ((4 + 9 * sun) * wobble).clip(0.0, CAP),
            "reserve": ((2 + 6 * evening) * wobble + 0.1 * spike).clip(0.0, CAP),
        }
        return {product: price.round(2) for product, price in made.items()}

    def clear(self, bid: Bid, at_ms: int) -> Award:
        """The award for a bid that arrived at ``at_ms``. Raises `BidRefusedError`."""
        check_bid(bid, self.rules, at_ms)
        expected = bid_id(bid.market, bid.region, bid.start_ms)
        if bid.bid_id != expected:  # two ids for an interval would sell it twice
            raise BidRefusedError(f"its id is not {expected}")
        one = np.array([bid.start_ms], np.int64)
        prices = {product: float(price[0]) for product, price in self.prices_of(one).items()}
        return award_of(bid, prices, self.rules, cleared_at_ms=bid.gate_ms)

    def _spikes(self, index: Ints) -> Floats:
        """A few intervals of a dear price, rising at once and falling by halves."""
        block = index // _BLOCK
        begins = (self._uniform(block, 11) * (_BLOCK - 8)).astype(np.int64)
        since = index % _BLOCK - begins
        height = np.exp(4.2 + 0.9 * self._normal(block, 12))
        here = (self._uniform(block, 13) < _SPIKE_SHARE) & (since >= 0) & (since < 6)
        return np.where(here, height * 0.6 ** np.maximum(since, 0), 0.0)

    def _slow(self, index: Ints) -> Floats:
        """Noise that changes little from one interval to the next, of variance below 1."""
        knot, part = index // _KNOT, index % _KNOT / _KNOT
        return (1 - part) * self._normal(knot, 2) + part * self._normal(knot + 1, 2)

    def _normal(self, index: Ints, stream: int) -> Floats:
        """About normal, mean 0 and variance 1: the sum of four uniforms."""
        total = sum(self._uniform(index, 100 * stream + k) for k in range(4))
        return np.asarray((total - 2.0) * np.sqrt(3.0), np.float64)

    def _uniform(self, index: Ints, stream: int) -> Floats:
        """In [0, 1), from (seed, stream, index) alone: the hash splitmix64."""
        gold = np.uint64(0x9E3779B97F4A7C15)
        with np.errstate(over="ignore"):
            z = index.astype(np.uint64) * gold
            z ^= np.uint64(self.seed) * np.uint64(0xD1B54A32D192ED03)
            z += np.uint64(stream + 1) * gold
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
            z ^= z >> np.uint64(31)
        return (z >> np.uint64(11)).astype(np.float64) / 2.0**53
