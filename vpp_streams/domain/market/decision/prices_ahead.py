"""Step 3: expected prices of the day ahead, given the newest known price."""

from dataclasses import dataclass

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.forecast.capacity import CapacityForecast, capacity_ahead
from vpp_streams.domain.market.forecast.process import (
    PriceProcess,
    expected_price,
    price_quantile,
    slot_of,
)

LOW, HIGH = 0.1, 0.9
"""Quantiles of the forecast that people see."""


@dataclass(frozen=True, slots=True, eq=False)
class PricesAhead:
    """Expected prices, one row or element per step of the plan, from the interval to bid for on."""

    chances: Floats
    """Probability of each node of the price process: (steps, nodes)."""
    mean: Floats
    low: Floats
    high: Floats
    capacity: CapacityForecast


def prices_ahead(process: PriceProcess, inputs: CycleInputs) -> PricesAhead:
    """Forecast of one day from the interval to bid for on."""
    rules, history = inputs.rules, inputs.history
    first = int(slot_of(inputs.start_ms, rules))
    newest, since = None, 0
    if len(history.start_ms):
        newest = float(history.energy[-1])
        gap_ms = inputs.start_ms - int(history.start_ms[-1])
        since = int(min(gap_ms // rules.interval_ms - 1, rules.day_slots))
    since = max(since, 0)
    chances = process.ahead(newest, first - since, rules.day_slots + since)[since:]
    prices = process.prices_from(first, rules.day_slots)
    return PricesAhead(
        chances=chances,
        mean=expected_price(chances, prices),
        low=price_quantile(chances, prices, LOW),
        high=price_quantile(chances, prices, HIGH),
        capacity=capacity_ahead(history, rules, inputs.start_ms, rules.day_slots),
    )
