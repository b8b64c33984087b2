"""The market model: rules, prices, a region's storage, and which bids a market accepts.

Energy prices are in currency per MWh, capacity prices per MW and hour. Power + = export.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.bounds import MeteredAt
from schemas.market import Bid, EnergyOffer, Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.moments import HOUR_MS

OrderKind = Literal["hourly", "block", "loop", "exclusive"]
"""``hourly``: steps of price and power for one interval; the others are in `day_orders`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """What a market trades, and until when."""

    name: str
    currency: str
    interval_ms: int
    gate_ms: int
    """Bids for an interval close this long before it begins."""
    floor: float
    """Least energy price."""
    cap: float
    """Greatest energy price."""
    products: tuple[Product, ...] = ("energy",)
    max_steps: int = 10
    """Steps of an energy offer."""
    sustain_h: float = 0.5
    """Hours for which stored energy must sustain regulation."""
    reserve_sustain_h: float = 1.0
    """Hours for which stored energy must sustain contingency reserve."""
    reg_up_used: float = 0.1
    """Energy called for, per energy that regulation up could be called for (mean)."""
    reg_down_used: float = 0.1
    co_optimised: bool = False
    """True = the market picks energy and capacity together within the bid's ``up_w`` and
    ``down_w``, so as to serve the bidder best (as AEMO's dispatch engine does); else each offer
    is taken by its own price and the bidder keeps their sum within what it can do."""
    orders: tuple[OrderKind, ...] = ("hourly",)
    """Kinds of order that the market takes."""
    most_loops: int | None = None
    """Most loop orders of one portfolio for a day; None = no limit."""
    imbalance_share: float = 0.0
    """Energy that is missing is bought back at the interval's price plus this share of it, energy
    beyond what was sold is paid as much less; 0 = energy is settled as measured."""
    imbalance_least: float = 0.0
    """Least amount that is added or taken off so, per MWh."""
    typical_price: float = 60.0
    """A usual energy price in this currency: the scale of price grids."""

    metered_at: MeteredAt = "battery"
    """Where what was sold is measured: at the batteries, or at the grid connections, where a bid is
    the net position of batteries, load and solar power."""
    import_fee: float = 0.0
    """What the network takes per MWh imported at the connections, beside the price; with
    ``export_fee`` not below 0."""
    export_fee: float = 0.0
    """What the network takes per MWh exported at the connections."""

    day_intervals: int | None = None
    """Intervals of a day of prices, where that is not the clock's (a market simulated faster)."""

    @property
    def day_slots(self) -> int:
        """Intervals after which prices tend to come again."""
        return self.day_intervals or max(24 * HOUR_MS // self.interval_ms, 1)

    @property
    def interval_h(self) -> float:
        """Length of an interval, h."""
        return self.interval_ms / HOUR_MS


@dataclass(frozen=True, slots=True)
class Storage:
    """A region's batteries as one. Energy counts from the owners' reserves up: 0..energy_wh."""

    energy_wh: float
    charge_w: float
    """Most that it takes from the market, >= 0."""
    discharge_w: float
    """Most that it gives to the market, >= 0."""
    charge_efficiency: float = 0.95
    """Stored per taken; 0..1."""
    discharge_efficiency: float = 0.95
    """Given per unstored; 0..1."""
    wear_per_mwh: float = 0.0
    """Money per MWh that is given to the market."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices of one zone, interval by interval; there may be gaps between the intervals."""

    zone: str
    currency: str
    interval_ms: int
    start_ms: NDArray[np.int64]
    """Starts of the intervals, UTC, rising, each once."""
    per_product: Mapping[Product, Floats]
    """A price for each interval, ``energy`` always; NaN = not known."""

    @property
    def energy(self) -> Floats:
        """Energy prices."""
        return self.per_product["energy"]

    def runs(self) -> list[slice]:
        """The stretches without a gap, in order; an unknown energy price is a gap too."""
        known = ~np.isnan(self.energy)
        follows = np.diff(self.start_ms) == self.interval_ms
        runs: list[slice] = []
        first: int | None = None
        for at, here in enumerate(known):
            if first is not None and not (here and follows[at - 1]):
                runs.append(slice(first, at))
                first = None
            if here and first is None:
                first = at
        if first is not None:
            runs.append(slice(first, len(known)))
        return runs

    def cut(self, rows: slice) -> "Prices":
        """Only these intervals."""
        return Prices(
            self.zone,
            self.currency,
            self.interval_ms,
            self.start_ms[rows],
            {product: price[rows] for product, price in self.per_product.items()},
        )


class BidRefusedError(ValueError):
    """A bid that the market refuses; the message gives the reason as a sentence."""


def check_bid(bid: Bid, rules: MarketRules, at_ms: int) -> None:
    """Raises `BidRefusedError` where a bid is late, or not an offer that the rules allow."""
    if at_ms > bid.gate_ms:
        raise BidRefusedError(f"it came {at_ms - bid.gate_ms} ms after the gate")
    if bid.market != rules.name or bid.currency != rules.currency:
        raise BidRefusedError(f"it is for {bid.market} in {bid.currency}, not {rules.name}")
    if bid.metered_at != rules.metered_at:
        raise BidRefusedError(f"it is metered at the {bid.metered_at}, not the {rules.metered_at}")
    if bid.interval_ms != rules.interval_ms or bid.start_ms % rules.interval_ms:
        raise BidRefusedError("its interval is none of this market's")
    if bid.gate_ms != bid.start_ms - rules.gate_ms:
        raise BidRefusedError("its gate is not that of its interval")
    _check_steps(bid.energy, rules)
    traded = [offer.product for offer in bid.capacity]
    if len(set(traded)) < len(traded) or not set(traded) <= set(rules.products) - {"energy"}:
        raise BidRefusedError(f"it offers {', '.join(traded)} of {', '.join(rules.products)}")


def _check_steps(offer: EnergyOffer, rules: MarketRules) -> None:
    if len(offer.steps) > rules.max_steps:
        raise BidRefusedError(f"it has {len(offer.steps)} steps, of {rules.max_steps} at most")
    prices = [step.price for step in offer.steps]
    powers = [offer.below_w, *(step.power_w for step in offer.steps)]
    if any(b <= a for a, b in pairwise(prices)):
        raise BidRefusedError("its steps' prices do not rise")
    if any(b < a for a, b in pairwise(powers)):
        raise BidRefusedError("its power falls as the price rises")
    if any(not rules.floor <= price <= rules.cap for price in prices):
        raise BidRefusedError(f"a step's price is outside {rules.floor:g} to {rules.cap:g}")
