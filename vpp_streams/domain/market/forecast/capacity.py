"""Prices of capacity ahead: the newest price fades into what the time of day is used to."""

from dataclasses import dataclass

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.clearing import UP
from vpp_streams.domain.market.forecast.process import slot_of
from vpp_streams.domain.market.rules import MarketRules, Prices

_STAYS = 0.8
"""Share of the newest price's distance that is left after an interval, of 288 a day."""
_DAY_KEEPS = 0.5
_DAY = 288


@dataclass(frozen=True, slots=True, eq=False)
class CapacityForecast:
    """Expected prices from an interval on, per MW and hour; >= 0."""

    price: dict[Product, Floats]
    """Of each product that is traded besides energy."""

    @property
    def up(self) -> Floats | None:
        """The dearest product upwards; None where none is traded."""
        return _dearest([price for product, price in self.price.items() if product in UP])

    @property
    def down(self) -> Floats | None:
        """The dearest product downwards."""
        return _dearest([price for product, price in self.price.items() if product not in UP])


def capacity_ahead(
    history: Prices, rules: MarketRules, start_ms: int, steps: int
) -> CapacityForecast:
    """Prices of the ``steps`` intervals from ``start_ms`` on. A product without history: 0."""
    stays = _STAYS ** (_DAY / rules.day_slots)
    fading = stays ** np.arange(1, steps + 1)
    slots = (slot_of(start_ms, rules) + np.arange(steps)) % rules.day_slots
    found: dict[Product, Floats] = {}
    for product in rules.products:
        if product == "energy":
            continue
        price = history.per_product.get(product)
        if price is None or not np.isfinite(price).any():
            found[product] = np.zeros(steps)
            continue
        usual = _usual(history, price, rules)
        newest = float(price[np.isfinite(price)][-1])
        found[product] = np.maximum(usual[slots] + (newest - usual[slots]) * fading, 0.0)
    return CapacityForecast(found)


def _usual(history: Prices, price: Floats, rules: MarketRules) -> Floats:
    """Geometric mean by time of day, newer days counting more; spikes hardly move it."""
    known = np.isfinite(price)
    day = history.start_ms[known] // (rules.interval_ms * rules.day_slots)
    _, age = np.unique(-day, return_inverse=True)
    weight = _DAY_KEEPS**age
    slot = slot_of(history.start_ms[known], rules)
    total = np.bincount(slot, weight * np.log1p(np.maximum(price[known], 0)), rules.day_slots)
    count = np.bincount(slot, weight, rules.day_slots)
    overall = total.sum() / count.sum()
    usual: Floats = np.expm1(np.where(count > 0, total / np.maximum(count, 1e-12), overall))
    return usual


def _dearest(prices: list[Floats]) -> Floats | None:
    return np.max(prices, axis=0) if prices else None
