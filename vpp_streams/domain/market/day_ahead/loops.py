"""Loop orders within the number that an exchange takes: the most alike are made one."""

from collections.abc import Sequence

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.day_orders import BlockOrder, LoopOrder, surplus
from vpp_streams.domain.market.value import W_PER_MW


def at_most(
    loops: Sequence[LoopOrder], most: int | None, price: Floats, hours: float
) -> tuple[LoopOrder, ...]:
    """The loops, or ``most`` that buy and sell as much; None = no limit.

    While there are too many, the two are joined that expect the most equal gain per MWh sold: they
    are the likeliest to be executed, or not, on the same days. ``price`` is expected by interval.
    """
    if most is None or len(loops) <= most:
        return tuple(loops)
    left = sorted(loops, key=lambda loop: _gain(loop, price, hours))
    while len(left) > max(most, 1):
        gains = np.array([_gain(loop, price, hours) for loop in left])
        at = int(np.argmin(np.diff(gains)))
        left[at : at + 2] = [_joined(left[at], left[at + 1])]
    return tuple(left)


def _gain(loop: LoopOrder, price: Floats, hours: float) -> float:
    """Expected gain per MWh that is sold."""
    sold_mwh = sum(loop.sell.power_w) * hours / W_PER_MW
    return surplus(loop, price, hours) / max(sold_mwh, 1e-12)


def _joined(one: LoopOrder, other: LoopOrder) -> LoopOrder:
    return LoopOrder(_sum(one.buy, other.buy), _sum(one.sell, other.sell))


def _sum(one: BlockOrder, other: BlockOrder) -> BlockOrder:
    """Both blocks in one; its limit is such that it bids and asks as much as both did."""
    power_w = np.add(one.power_w, other.power_w)
    amounts = abs(sum(one.power_w)), abs(sum(other.power_w))
    limit = np.average((one.limit_price, other.limit_price), weights=np.maximum(amounts, 1e-9))
    return BlockOrder(tuple(power_w.tolist()), float(limit))
