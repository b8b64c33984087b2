"""Orders of a day-ahead auction that span intervals, and which of them the market executes.

The kinds and the rule are those of the coupled European auction, as Nord Pool's customer pages
describe them ("Block order"; support articles 8000099614, "Spread blocks", and 8000089253,
"Exclusive group orders"; read in 2026): a block is executed completely or not at all, by the mean
price of its energy; a spread block, here called a loop as at EPEX SPOT, is a purchase and a sale
that are both accepted or both rejected; of an exclusive group of blocks at most one is accepted,
that of most welfare. Blocks that would gain can still be rejected (paradoxically) there, which
never happens here, and a group of loops is no order there: what a group earns here is an upper
estimate. That a loop is accepted by its joint gain is an assumption: a pair that is accepted
together has one condition, and this is the one by which nobody loses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.market import Bid
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, OrderKind

W_PER_MW = 1e6
NEGLIGIBLE = 1e-9
"""Money that is a rounding error."""


@dataclass(frozen=True, slots=True)
class BlockOrder:
    """Energy in some intervals of the auction's day: all of it or nothing."""

    power_w: tuple[float, ...]
    """In each interval of the day; of one sign, + = sold."""
    limit_price: float
    """Per MWh: least mean price that is accepted for a sale, greatest for a purchase."""


@dataclass(frozen=True, slots=True)
class LoopOrder:
    """A purchase and a sale that are executed together, if together they gain: a storage."""

    buy: BlockOrder
    sell: BlockOrder


@dataclass(frozen=True, slots=True)
class ExclusiveGroup:
    """Orders of which at most one is executed: the one that gains most."""

    alternatives: tuple[BlockOrder | LoopOrder, ...]


DayOrder = BlockOrder | LoopOrder | ExclusiveGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOrders:
    """All orders of a region for one auction day."""

    bids: tuple[Bid, ...]
    """A bid for each interval, with its hourly order."""
    spanning: tuple[DayOrder, ...] = ()


def check_orders(orders: Sequence[DayOrder], rules: MarketRules, intervals: int) -> None:
    """Raises `BidRefusedError` for orders that the market does not take: kind, number or form."""
    loops = sum(isinstance(order, LoopOrder) for order in orders)
    if rules.most_loops is not None and loops > rules.most_loops:
        raise BidRefusedError(f"it has {loops} loop orders, of {rules.most_loops} at most")
    for order in orders:
        if _kind(order) not in rules.orders:
            raise BidRefusedError(f"{rules.name} takes no {_kind(order)} orders")
        for block in _all_blocks(order):
            if len(block.power_w) != intervals:
                raise BidRefusedError(f"a block has {len(block.power_w)} of {intervals} intervals")
            if min(block.power_w) < 0.0 < max(block.power_w):
                raise BidRefusedError("a block both buys and sells")


def surplus(order: BlockOrder | LoopOrder, price: Floats, hours: float) -> float:
    """What an order gains at these prices beyond its limits, money."""
    gain = 0.0
    for block in _blocks(order):
        mwh = np.array(block.power_w) * hours / W_PER_MW
        gain += float((mwh * (price - block.limit_price)).sum())
    return gain


def executed_w(orders: Sequence[DayOrder], price: Floats, hours: float, per_mw: float) -> Floats:
    """Power of all orders that are executed, by interval, W.

    ``price`` is without these orders; each MW sold in an interval lowers it by ``per_mw``. While
    an order would lose at the prices that result, the one that loses most is rejected.
    """
    gaining = (_gaining(order, price, hours) for order in orders)
    taken = [order for order in gaining if order is not None]
    while taken:
        power_w = np.sum([_power_w(order) for order in taken], axis=0)
        moved = price - per_mw * power_w / W_PER_MW
        gains = [surplus(order, moved, hours) for order in taken]
        worst = int(np.argmin(gains))
        if gains[worst] >= -NEGLIGIBLE:
            return np.asarray(power_w, float)
        del taken[worst]
    return np.zeros(len(price))


def _gaining(order: DayOrder, price: Floats, hours: float) -> BlockOrder | LoopOrder | None:
    """The order, or the best one of a group, where it does not lose."""
    several = order.alternatives if isinstance(order, ExclusiveGroup) else (order,)
    gain, best = max(
        ((surplus(one, price, hours), one) for one in several), key=lambda found: found[0]
    )
    return best if gain >= -NEGLIGIBLE else None


def _kind(order: DayOrder) -> OrderKind:
    if isinstance(order, ExclusiveGroup):
        return "exclusive"
    return "loop" if isinstance(order, LoopOrder) else "block"


def _blocks(order: BlockOrder | LoopOrder) -> tuple[BlockOrder, ...]:
    return (order.buy, order.sell) if isinstance(order, LoopOrder) else (order,)


def _all_blocks(order: DayOrder) -> list[BlockOrder]:
    several = order.alternatives if isinstance(order, ExclusiveGroup) else (order,)
    return [block for one in several for block in _blocks(one)]


def _power_w(order: BlockOrder | LoopOrder) -> Floats:
    return np.asarray(np.sum([block.power_w for block in _blocks(order)], axis=0), float)
