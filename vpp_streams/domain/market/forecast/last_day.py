"""What the last day's prices say by themselves: which are cheap, which are dear, and whether supply
is tight.

They are the whole forecast of the offer on quiet days (`decision.quiet_offer`): that today's prices
are spread as the last day's were.
"""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.day_pattern import price_unit
from vpp_streams.domain.market.rules import MarketRules, Prices

LOW, HIGH = 0.2, 0.8
"""Quantiles of a day's prices: below the first it is cheap, above the second it is dear."""
_DEAREST = 12
"""One part in so many of a day, its dearest intervals, shows whether supply is tight."""
_TIGHT = 2.5
"""Supply is tight where those were dearer than the upper quantile by so many times the distance of
the two quantiles; an ordinary evening reaches about 1."""
_LEAST_SPREAD = 20.0
"""A smaller distance of the quantiles counts as this one, so that no flat day looks tight."""
FAR_ABOVE = 200.0
"""A price as far above the upper quantile may be the first of a spike."""
_HOURS = 24


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last day's prices in short."""

    low: float
    """Lower quantile of the last prices, as many as a day has."""
    high: float
    """Upper quantile of them."""
    tight: bool
    """Whether spikes of the last 24 hours would have earned more than the daily spread does."""
    far_above: bool
    """Whether a price of the last hour was far above the upper quantile."""


def last_day(history: Prices, start_ms: int, rules: MarketRules) -> LastDay | None:
    """The last day before ``start_ms``; None where no price is known.

    After a gap the quantiles are those of the last prices before it. An older spike says nothing
    about supply now, so only the day by the clock tells whether it is tight.
    """
    known = np.isfinite(history.energy)
    start_of, energy = history.start_ms[known], history.energy[known]
    if not len(energy):
        return None
    slots, unit = rules.day_slots, price_unit(rules)
    low, high = np.quantile(energy[-slots:], (LOW, HIGH)).tolist()
    newer = energy[start_of >= start_ms - slots * rules.interval_ms]
    if not len(newer):
        return LastDay(low, high, tight=False, far_above=False)
    today_low, today_high = np.quantile(newer, (LOW, HIGH)).tolist()
    least = max(today_high - today_low, _LEAST_SPREAD * unit)
    hour = start_of >= start_ms - max(slots // _HOURS, 1) * rules.interval_ms
    return LastDay(
        low,
        high,
        tight=_dearest_above(newer, today_high, slots) >= _TIGHT * least,
        far_above=bool((energy[hour] >= today_high + FAR_ABOVE * unit).any()),
    )


def _dearest_above(energy: Floats, high: float, slots: int) -> float:
    """How far a day's dearest intervals are above its upper quantile, on average.

    Intervals that are not known yet count as 0: in the first hours one dear price is no evidence.
    """
    count = max(slots // _DEAREST, 1)
    return float((np.sort(energy)[-count:] - high).sum()) / count
