"""The energy offer of quiet days: cheap is bought, dear is sold, by the bounds of the day.

Where supply is not tight and energy is all that is traded, these bounds earned more on recorded
prices than the price chain, which waits for spikes. So the chain decides where supply is tight
(`forecast.last_day`), and has a part of the say where it may become tight: following one of two
experts by what the last day paid, with a share kept on the other while it is open which is right,
is prediction with expert advice (Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006,
chapter 2). Which bounds are followed is chosen in the same way (`quiet_views`). No bound of regret
is claimed: the days before a change are too few for one.
"""

import numpy as np

from schemas.market import EnergyOffer, Step
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.decision.quiet_bounds import Bounds, by_level, by_time
from vpp_streams.domain.market.decision.quiet_days import QuietDay
from vpp_streams.domain.market.forecast.day_pattern import price_unit
from vpp_streams.domain.market.forecast.last_day import FAR_ABOVE
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import feasible_power

_CHAIN_SHARE = 0.25
"""Share of a sale that waits if the chain says so, while a price is far above the last day's."""
_DECIMALS, _LEAST = 6, 1e-6
"""Digits of an offer's prices, finer than those of any market, and the smallest step of them."""


def quiet_offer(
    day: QuietDay,
    by_chain: EnergyOffer,
    stored_wh: float,
    *,
    storage: Storage,
    rules: MarketRules,
    least_w: float,
    most_w: float,
) -> EnergyOffer:
    """The day's offer within ``least_w`` and ``most_w`` (<= 0 <=) and the stored energy.

    ``by_chain`` is what the chain would offer. Where the market takes too few steps, it is the
    offer.
    """
    ends = np.array([least_w, most_w])
    buy_w, sell_w = feasible_power(ends, stored_wh, storage, rules.interval_h).round(3).tolist()
    bounds = _bounds(day, storage, rules)
    buy_below = float(bounds.buy_below)
    sell_from = max(float(bounds.sell_from), buy_below + 2 * _LEAST)
    rest = (buy_below + _LEAST, 0.0)
    sales = _sales(by_chain, sell_w, sell_from, _CHAIN_SHARE if day.last.far_above else 0.0)
    steps, below_w = list[Step](), min(buy_w, 0.0) if buy_below >= rules.floor else 0.0
    reached_w = below_w
    for price, power_w in (rest, *sales):
        if power_w > reached_w and round(price, _DECIMALS) <= rules.cap:
            steps.append(Step(round(price, _DECIMALS), power_w))
            reached_w = power_w
    return EnergyOffer(below_w, tuple(steps)) if len(steps) <= rules.max_steps else by_chain


def _bounds(day: QuietDay, storage: Storage, rules: MarketRules) -> Bounds:
    low, high = np.array(day.last.low), np.array(day.last.high)
    if day.time is None:
        return by_level(low, high, storage)
    spike = high + FAR_ABOVE * price_unit(rules)
    return by_time(low, high, spike, np.array(day.time, np.int8), storage)


def _sales(
    by_chain: EnergyOffer, sell_w: float, sell_from: float, share: float
) -> list[tuple[float, float]]:
    """Rising prices with the power sold from each on; ``share`` of it only as the chain would."""
    later = [step.price for step in by_chain.steps if share and step.price > sell_from]
    sales = list[tuple[float, float]]()
    for price in (sell_from, *later):
        chain_w = min(max(cleared_power_w(by_chain, price), 0.0), sell_w)
        sales.append((price, round((1 - share) * sell_w + share * chain_w, 3)))
    return sales
