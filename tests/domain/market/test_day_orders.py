"""Orders that span intervals: what is executed at which prices, and what a market refuses."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.market_factory import HOURLY, energy_only
from vpp_streams.domain.market.day_ahead.pairs import pairs_of
from vpp_streams.domain.market.day_orders import (
    BlockOrder,
    ExclusiveGroup,
    LoopOrder,
    check_orders,
    executed_w,
    surplus,
)
from vpp_streams.domain.market.rules import BidRefusedError, Storage
from vpp_streams.domain.market.value import stored_after

ALL = replace(energy_only(HOURLY), orders=("hourly", "block", "loop", "exclusive"))
BLOCK = BlockOrder((0.0, 1e6, 2e6), 50.0)
LOOP = LoopOrder(BlockOrder((-1e6, 0.0, 0.0), 0.0), BlockOrder((0.0, 0.0, 0.8e6), 0.0))


def executed(order: object, *prices: float, per_mw: float = 0.0) -> list[float]:
    assert isinstance(order, BlockOrder | LoopOrder | ExclusiveGroup)
    return executed_w([order], np.array(prices), 1.0, per_mw).tolist()


def test_a_block_is_executed_completely_or_not_at_all_by_its_mean_price() -> None:
    assert executed(BLOCK, 0.0, 30.0, 60.0) == [0.0, 1e6, 2e6]  # mean of the energy: 50
    assert executed(BLOCK, 0.0, 30.0, 59.9) == [0.0, 0.0, 0.0]
    purchase = BlockOrder((-1e6, -1e6, 0.0), 20.0)
    assert executed(purchase, 10.0, 30.0, 0.0) == [-1e6, -1e6, 0.0]
    assert executed(purchase, 11.0, 30.0, 0.0) == [0.0, 0.0, 0.0]


def test_a_loop_is_executed_as_a_pair_only_where_the_pair_gains() -> None:
    assert executed(LOOP, 40.0, 0.0, 50.0) == [-1e6, 0.0, 0.8e6]  # 40 bought, 40 sold
    assert executed(LOOP, 40.1, 0.0, 50.0) == [0.0, 0.0, 0.0]
    assert surplus(LOOP, np.array([20.0, 0.0, 50.0]), 0.5) == pytest.approx(10.0)


def test_at_most_one_of_a_group_is_executed_the_one_that_gains_most() -> None:
    other = LoopOrder(BlockOrder((0.0, -1e6, 0.0), 0.0), BlockOrder((0.0, 0.0, 0.8e6), 0.0))
    group = ExclusiveGroup((LOOP, other))
    assert executed(group, 20.0, 10.0, 50.0) == [0.0, -1e6, 0.8e6]
    assert executed(group, 10.0, 20.0, 50.0) == [-1e6, 0.0, 0.8e6]
    assert executed(group, 90.0, 90.0, 50.0) == [0.0, 0.0, 0.0]


def test_an_order_that_its_own_effect_on_the_price_makes_lose_is_rejected() -> None:
    assert executed(LOOP, 30.0, 0.0, 50.0, per_mw=5.0) == [-1e6, 0.0, 0.8e6]
    assert executed(LOOP, 39.0, 0.0, 50.0, per_mw=5.0) == [0.0, 0.0, 0.0]


def test_a_market_refuses_kinds_that_it_does_not_take_and_blocks_of_both_signs() -> None:
    check_orders([BLOCK, LOOP, ExclusiveGroup((LOOP,))], ALL, 3)
    for order, kind in ((BLOCK, "block"), (LOOP, "loop"), (ExclusiveGroup((LOOP,)), "exclusive")):
        with pytest.raises(BidRefusedError, match=f"takes no {kind} orders"):
            check_orders([order], energy_only(HOURLY), 3)
    with pytest.raises(BidRefusedError, match="both buys and sells"):
        check_orders([BlockOrder((-1.0, 1.0, 0.0), 0.0)], ALL, 3)
    with pytest.raises(BidRefusedError, match="3 of 24 intervals"):
        check_orders([BLOCK], ALL, 24)


def test_the_first_stored_is_the_first_sold() -> None:
    storage = Storage(4e6, 2e6, 2e6, 0.8, 0.5)
    pairs = pairs_of(np.array([-1e6, -1e6, 0.5e6, 0.2e6]), 0.4e6, storage, 1.0)
    # 0.4 MWh were stored before, 0.8 are of each purchase; 1.0 and 0.4 are sold.
    assert [(p.bought, p.sold) for p in pairs] == [(None, 2), (0, 2), (0, 3), (1, 3), (1, None)]
    assert sum(p.buy_w for p in pairs) == pytest.approx(2e6)
    assert sum(p.sell_w for p in pairs) == pytest.approx(0.7e6)
    assert (pairs[1].buy_w, pairs[1].sell_w) == (pytest.approx(0.75e6), pytest.approx(0.3e6))


def test_whichever_pairs_are_carried_out_the_storage_keeps_its_limits() -> None:
    rng = np.random.default_rng(3)
    storage = Storage(2e6, 1e6, 1e6, 0.9, 0.9)
    power_w = np.array([-1e6, -1e6, 0.7e6, -0.6e6, 0.9e6, -1e6, 1e6, 0.4e6])
    pairs = pairs_of(power_w, 0.0, storage, 1.0)
    for _ in range(50):
        taken, stored_wh = np.zeros(len(power_w)), 0.0
        for pair in pairs:
            if pair.bought is not None and pair.sold is not None and rng.random() < 0.5:
                taken[pair.bought] -= pair.buy_w
                taken[pair.sold] += pair.sell_w
        for power in taken:
            stored_wh = float(stored_after(np.array([power]), stored_wh, storage, 1.0)[0])
            assert -1.0 <= stored_wh <= storage.energy_wh + 1.0
