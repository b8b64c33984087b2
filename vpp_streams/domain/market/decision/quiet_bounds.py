"""The prices of quiet days: up to which to buy, and from which to sell.

Two views of them are kept: the level, by which what was cheap and dear on the day before is so
again, at whatever hour; and the time of day, by which the hours that were cheap and dear on the
days before are so again, at whatever price.
"""

from typing import NamedTuple

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.times_of_day import Times
from vpp_streams.domain.market.rules import Storage


class Bounds(NamedTuple):
    """Prices, arrays of one shape."""

    buy_below: Floats
    """Up to this price it is bought; -inf = at none."""
    sell_from: Floats
    """From this price on it is sold."""


def by_level(low: Floats, high: Floats, storage: Storage) -> Bounds:
    """Bought up to the lower quantile, if what is bought pays at the upper one, where it is sold.

    Nothing is sold that does not pay the wear, with what filling up again is paid where prices are
    negative.
    """
    both_ways = storage.charge_efficiency * storage.discharge_efficiency
    least = storage.wear_per_mwh + np.minimum(low, 0.0) / both_ways
    return Bounds(
        np.minimum(low, (high - storage.wear_per_mwh) * both_ways), np.maximum(high, least)
    )


def by_time(low: Floats, high: Floats, spike: Floats, times: Times, storage: Storage) -> Bounds:
    """Bought at cheap times, if it pays at the upper quantile; sold at dear times, if what was
    bought at the lower quantile pays. A price of a ``spike`` is sold at any time."""
    both_ways = storage.charge_efficiency * storage.discharge_efficiency
    pays = np.minimum((high - storage.wear_per_mwh) * both_ways, spike)
    covers = storage.wear_per_mwh + low / both_ways
    return Bounds(
        np.where(times < 0, pays, -np.inf), np.where(times > 0, np.minimum(covers, spike), spike)
    )
