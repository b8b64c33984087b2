"""The simulated market: its prices and its clearing."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.market import Bid, CapacityOffer, EnergyOffer, Step
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.rules import BidRefusedError
from vpp_streams.domain.market.sim_market import (
    CAP,
    DAY_INTERVALS,
    FLOOR,
    HISTORY_MS,
    SimMarket,
    sim_rules,
)

MINUTE = 60_000
RULES = sim_rules(MINUTE, 10_000)
MARKET = SimMarket(RULES, seed=3)
NOW = 1_800_000_000_000
START = NOW + MINUTE


def bid(**changes: object) -> Bid:
    made = Bid(
        bid_id=bid_id("sim", "north", START),
        market="sim",
        region="north",
        start_ms=START,
        interval_ms=MINUTE,
        gate_ms=START - 10_000,
        made_at_ms=NOW,
        rung="safe",
        energy=EnergyOffer(-1000.0, (Step(0.0, 0.0), Step(20.0, 5000.0))),
        currency="USD",
    )
    return msgspec.structs.replace(made, **changes)


def shape(seed: int = 3) -> np.ndarray:
    """Mean energy price by interval of a simulated day, over a hundred of them."""
    starts = np.arange(100 * DAY_INTERVALS, dtype=np.int64) * MINUTE
    prices = SimMarket(RULES, seed).prices_of(starts)["energy"]
    return prices.reshape(100, DAY_INTERVALS).mean(0)


@given(st.integers(0, 10**12), st.integers(0, HISTORY_MS))
def test_a_price_is_the_same_whenever_it_is_asked(now_ms: int, later_ms: int) -> None:
    first = MARKET.prices(now_ms)
    then = MARKET.prices(now_ms + later_ms)
    both = np.isin(first.start_ms, then.start_ms)
    same = np.isin(then.start_ms, first.start_ms)
    for product in RULES.products:
        known = first.per_product[product][both]
        assert np.array_equal(known, then.per_product[product][same])
    assert both.sum() >= len(first.start_ms) - later_ms // MINUTE - 1


@given(st.integers(HISTORY_MS, 10**13))
def test_no_price_is_told_before_its_gate_and_each_is_once(now_ms: int) -> None:
    told = MARKET.prices(now_ms)
    assert told.start_ms[-1] - RULES.gate_ms <= now_ms < told.start_ms[-1] + MINUTE
    assert np.all(np.diff(told.start_ms) == MINUTE)
    assert len(told.start_ms) in (HISTORY_MS // MINUTE, HISTORY_MS // MINUTE + 1)
    for product in RULES.products:
        assert np.all((told.per_product[product] >= FLOOR) & (told.per_product[product] <= CAP))


def test_the_day_is_a_duck() -> None:
    hours = shape().reshape(24, -1).mean(1)
    assert hours[11:14].mean() < 5 < hours[2:4].mean() < hours[7] < hours[18:20].mean()
    assert hours[18:20].mean() > 90


def test_there_are_spikes_and_negative_prices() -> None:
    energy = MARKET.prices(NOW).energy
    assert 0.05 < (energy < 0).mean() < 0.3
    assert 0.001 < (energy > 200).mean() < 0.05


def test_another_seed_is_another_market_with_the_same_day() -> None:
    a, b = (SimMarket(RULES, seed).prices(NOW).energy for seed in (1, 2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.95
    assert np.abs(shape(1) - shape(2)).mean() < 12


def test_a_bid_is_taken_at_the_clearing_price() -> None:
    offered = bid(
        up_w=6000.0,
        capacity=(CapacityOffer("reg_up", 700.0, 0.0), CapacityOffer("reserve", 1, 900)),
    )
    award = MARKET.clear(offered, START - 10_000)
    price = float(MARKET.prices(START).energy[-1])
    assert award.prices["energy"] == price
    assert award.energy_w == cleared_power_w(offered.energy, price)
    assert award.capacity_w == {"reg_up": 700.0}
    assert (award.bid_id, award.start_ms) == (offered.bid_id, START)


@pytest.mark.parametrize(
    ("changes", "at_ms", "reason"),
    [
        ({}, START - 9_999, "1 ms after the gate"),
        ({"bid_id": "sim:north:1"}, NOW, "id is not sim:north"),
        ({"market": "other"}, NOW, "not sim"),
        ({"energy": EnergyOffer(10.0, (Step(1.0, 5.0),))}, NOW, "power falls"),
        ({"start_ms": START + 1}, NOW, "none of this market's"),
    ],
)
def test_a_bid_against_the_rules_is_refused_with_a_reason(
    changes: dict[str, EnergyOffer] | dict[str, int] | dict[str, str], at_ms: int, reason: str
) -> None:
    with pytest.raises(BidRefusedError, match=reason):
        MARKET.clear(bid(**changes), at_ms)
