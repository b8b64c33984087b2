"""Order books: a record and back, what a market refuses, and loops within its number."""

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.encoding import decode_json, encode_json
from schemas.market import EnergyOffer, Step
from schemas.orders import Block, Loop, OrderBook
from tests.support.market_factory import duck_days
from vpp_streams.domain.market.day_ahead.loops import at_most
from vpp_streams.domain.market.day_ahead.order_books import check_book, orders_of
from vpp_streams.domain.market.day_orders import BlockOrder, LoopOrder, surplus
from vpp_streams.domain.market.rules import BidRefusedError
from vpp_streams.domain.market.sim_days import INTERVALS, SimDays, sim_day_rules

HOUR_MS = 3_600_000
RULES = sim_day_rules(HOUR_MS)
DAY_MS = 24 * HOUR_MS
START_MS = 20_000 * DAY_MS
MARKET = SimDays(RULES, seed=3)


def powers(at: int, power_w: float) -> tuple[float, ...]:
    return tuple(power_w if hour == at else 0.0 for hour in range(INTERVALS))


def loop(buy: int, sell: int, power_w: float = 1e5) -> Loop:
    return Loop(Block(powers(buy, -power_w), 0.0), Block(powers(sell, 0.8 * power_w), 0.0))


def book(**changes: Any) -> OrderBook:
    usual = OrderBook(
        book_id=f"sim-day:north:day-{START_MS}",
        market="sim-day",
        region="north",
        start_ms=START_MS,
        interval_ms=HOUR_MS,
        gate_ms=START_MS - DAY_MS // 2,
        made_at_ms=START_MS - DAY_MS,
        hourly=(EnergyOffer(-1e4, (Step(30.0, 0.0),)), *(EnergyOffer(0.0),) * 23),
        loops=(loop(12, 19), loop(19, 20)),
        currency="USD",
    )
    return msgspec.structs.replace(usual, **changes)


def test_a_book_is_cleared_hour_by_hour_and_loop_by_loop() -> None:
    price = MARKET.prices(START_MS + DAY_MS).energy[-48:-24]
    awards = MARKET.clear(book(), START_MS - DAY_MS // 2)
    assert [award.bid_id for award in awards][:2] == [
        f"sim-day:north:{START_MS}",
        f"sim-day:north:{START_MS + HOUR_MS}",
    ]
    assert {award.cleared_at_ms for award in awards} == {START_MS - DAY_MS // 2}
    assert [award.prices["energy"] for award in awards] == price.tolist()
    expected = np.zeros(24)
    expected[0] = -1e4 if price[0] < 30.0 else 0.0
    for one in orders_of(book(), RULES).spanning:
        assert isinstance(one, LoopOrder)
        if surplus(one, price, 1.0) >= 0:
            expected += np.add(one.buy.power_w, one.sell.power_w)
    assert [award.energy_w for award in awards] == expected.tolist()
    assert expected[19] == 0.8e5  # noon is cheaper than the evening
    assert expected[20] == 0.0  # and the evening not dear enough from hour to hour


@pytest.mark.parametrize(
    ("changes", "at_ms", "why"),
    [
        ({}, START_MS - DAY_MS // 2 + 1, "1 ms after the gate"),
        ({"book_id": "sim-day:north:day-1"}, 0, "its id is not"),
        ({"market": "sim", "book_id": f"sim:north:day-{START_MS}"}, 0, "not sim-day"),
        ({"currency": "EUR"}, 0, "EUR"),
        ({"hourly": (EnergyOffer(0.0),) * 23}, 0, "23 of 24 intervals"),
        ({"hourly": (EnergyOffer(5.0, (Step(1.0, 0.0),)),) * 24}, 0, "power falls"),
        ({"gate_ms": START_MS - HOUR_MS}, 0, "its gate is not"),
        ({"loops": (loop(1, 2),) * 4}, 0, "4 loop orders, of 3 at most"),
        ({"loops": (Loop(Block((-1.0,), 0.0), Block((1.0,), 0.0)),)}, 0, "1 of 24 intervals"),
        (
            {"start_ms": START_MS + HOUR_MS, "book_id": f"sim-day:north:day-{START_MS + HOUR_MS}",
             "gate_ms": START_MS - DAY_MS // 2 + HOUR_MS}, 0, "its day is none",
        ),
    ],
)  # fmt: skip
def test_a_book_that_the_market_does_not_take(
    changes: dict[str, Any], at_ms: int, why: str
) -> None:
    with pytest.raises(BidRefusedError, match=why):
        MARKET.clear(book(**changes), at_ms)


def test_a_book_is_the_same_after_it_was_a_record() -> None:
    check_book(book(), RULES, INTERVALS, START_MS - DAY_MS)
    again = decode_json(encode_json(book()), OrderBook)
    assert again == book()
    assert orders_of(again, RULES) == orders_of(book(), RULES)


def test_too_many_loops_become_fewer_that_buy_and_sell_as_much() -> None:
    price = duck_days(1)
    hours = [(3, 8), (4, 9), (12, 18), (13, 19), (14, 20), (11, 21)]
    loops = [
        LoopOrder(BlockOrder(powers(buy, -1e5), 0.0), BlockOrder(powers(sell, 8e4), 4.0))
        for buy, sell in hours
    ]
    fewer = at_most(loops, 3, price, 1.0)
    assert len(fewer) == 3
    for side in ("buy", "sell"):
        before = np.sum([getattr(one, side).power_w for one in loops], axis=0)
        after = np.sum([getattr(one, side).power_w for one in fewer], axis=0)
        np.testing.assert_allclose(after, before)
    gained = sum(surplus(one, price, 1.0) for one in loops)
    assert sum(surplus(one, price, 1.0) for one in fewer) == pytest.approx(gained)
    assert at_most(loops, 6, price, 1.0) == at_most(loops, None, price, 1.0) == tuple(loops)
    # The morning's loops gain about as much as each other, and less than the evening's.
    morning = next(one for one in fewer if one.sell.power_w[8])
    assert [hour for hour in range(24) if morning.sell.power_w[hour]] == [8, 9]
