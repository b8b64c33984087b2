"""What a storm cost an owner by the tariff: energy that the battery took, bought at that moment.

It is the cost of the connection as it was, less that of the connection without the battery. Holding
a charge costs nothing by this measure: what the battery would otherwise have saved is not known.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.programs import Tariff
from vpp_streams.domain.settle.money import milli_wh, paid_for
from vpp_streams.domain.settle.tariffs import buy_price, sell_price


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy of one site in an interval; NaN = not measured."""

    start_ms: int
    grid_wh: float
    """+ = import."""
    battery_wh: float
    """+ = discharge."""
    market_per_mwh: float | None = None
    """The market's price, for a tariff that follows it."""


@dataclass(frozen=True, slots=True)
class StormBill:
    """The cost of storms to one owner."""

    micros: int
    """Of the intervals that were measured; negative = the battery earned more than it cost."""
    unknown: int
    """Intervals that were not measured, or whose price is not known: they are not in it."""
    with_micros: int = 0
    """What the connection cost as it was; negative = it earned."""
    without_micros: int = 0
    """What it would have cost without the battery. ``micros`` is the difference."""
    charged_wh: float = 0.0
    """Energy that the battery took, less what it gave."""


def storm_bill(tariff: Tariff, intervals: Iterable[Metered]) -> StormBill:
    """The cost of the intervals of storms, by a tariff. Interval by interval, nothing is netted."""
    with_battery = without = unknown = 0
    charged_wh = 0.0
    for one in intervals:
        buy = buy_price(tariff, one.start_ms, one.market_per_mwh)
        sell = sell_price(tariff, one.start_ms, one.market_per_mwh)
        if buy is None or sell is None or np.isnan(one.grid_wh + one.battery_wh):
            unknown += 1
            continue
        with_battery += _cost(one.grid_wh, buy, sell)
        without += _cost(one.grid_wh + one.battery_wh, buy, sell)
        charged_wh -= one.battery_wh
    return StormBill(with_battery - without, unknown, with_battery, without, charged_wh)


def added(bills: Sequence[StormBill]) -> StormBill:
    """The sum of bills."""
    return StormBill(
        micros=sum(one.micros for one in bills),
        unknown=sum(one.unknown for one in bills),
        with_micros=sum(one.with_micros for one in bills),
        without_micros=sum(one.without_micros for one in bills),
        charged_wh=math.fsum(one.charged_wh for one in bills),
    )


def _cost(grid_wh: float, buy: int, sell: int) -> int:
    energy = milli_wh(np.array([abs(grid_wh)]))
    price = buy if grid_wh >= 0 else sell
    return int(np.sign(grid_wh)) * int(paid_for(energy, price)[0])
