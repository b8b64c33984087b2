"""On quiet days the offer is that of the last days; in tight ones the chain's."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quantile_rule import quantile_rule_money
from schemas.market import EnergyOffer, Step
from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    T0,
    all_answer,
    duck_days,
    energy_only,
    no_clock,
    prices_of,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.run import walk
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.decision.quiet_days import QuietDay
from vpp_streams.domain.market.decision.quiet_offer import quiet_offer
from vpp_streams.domain.market.forecast.last_day import LastDay, last_day
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import Prices, Storage

RULES = energy_only(HOURLY)
FIVE = replace(RULES, interval_ms=300_000)
QUIET = LastDay(low=40.0, high=80.0, tight=False, far_above=False)
BY_CHAIN = EnergyOffer(-1e6, (Step(60.0, 0.0), Step(300.0, 4e5), Step(900.0, 1e6)))


def five_minutes(energy: Floats, start_ms: int = T0) -> Prices:
    return prices_of(energy, FIVE, start_ms)


def offered(
    day: LastDay, price: float, storage: Storage = BATTERY, time: int | None = None
) -> float:
    offer = quiet_offer(
        QuietDay(day, time), BY_CHAIN, 1e6, storage=storage, rules=RULES, least_w=-8e5, most_w=7e5
    )  # fmt: skip
    return cleared_power_w(offer, price)


@pytest.mark.parametrize(
    ("price", "power_w"), [(-20, -8e5), (40, -8e5), (40.01, 0), (79.9, 0), (80, 7e5), (4000, 7e5)]
)
def test_a_quiet_offer_buys_to_the_lower_quantile_and_sells_from_the_upper_one(
    price: float, power_w: float
) -> None:
    assert offered(QUIET, price) == pytest.approx(power_w)


@pytest.mark.parametrize(
    ("time", "price", "power_w"),
    [
        (-1, 67.7, -8e5),  # 80 x 0.92 x 0.92 = 67.71
        (-1, 67.8, 0),
        (0, -20, 0),
        (0, 279.9, 0),
        (0, 280, 7e5),
        (1, 47.2, 0),  # 40 / 0.92 / 0.92 = 47.26
        (1, 47.3, 7e5),
    ],
)
def test_an_offer_by_the_time_of_day_buys_and_sells_at_its_times_and_a_spike_at_any(
    time: int, price: float, power_w: float
) -> None:
    assert offered(QUIET, price, time=time) == pytest.approx(power_w)


def test_nothing_is_bought_that_does_not_pay_at_the_upper_quantile() -> None:
    """Of 50 per MWh that is sold 50 x 0.92 x 0.92 = 42.3 pays for the purchase, without wear."""
    narrow = replace(QUIET, low=45.0, high=50.0)
    assert offered(narrow, 42.3) == -8e5
    assert offered(narrow, 42.4) == 0.0
    assert offered(narrow, 33.9, replace(BATTERY, wear_per_mwh=10.0)) == 0.0


def test_nothing_is_sold_below_what_it_wears_unless_filling_up_again_is_paid() -> None:
    worn = replace(BATTERY, wear_per_mwh=10.0)
    cheap = replace(QUIET, low=2.0, high=8.0)
    assert offered(cheap, 9.0, worn) == 0.0
    assert offered(cheap, 10.0, worn) > 0.0
    assert offered(replace(cheap, low=-40.0), 9.0, worn) > 0.0


def test_a_quarter_of_a_sale_waits_as_the_chain_would_where_a_price_was_far_above() -> None:
    above = replace(QUIET, far_above=True)
    assert offered(above, 100.0) == pytest.approx(0.75 * 7e5)
    assert offered(above, 300.0) == pytest.approx(0.75 * 7e5 + 0.25 * 4e5)
    assert offered(above, 900.0) == pytest.approx(7e5)
    assert offered(above, 40.0) == pytest.approx(-8e5)


def test_a_market_that_takes_too_few_steps_gets_the_offer_of_the_chain() -> None:
    few = replace(RULES, max_steps=1)
    offer = quiet_offer(
        QuietDay(QUIET, None), BY_CHAIN, 1e6, storage=BATTERY, rules=few, least_w=-1.0, most_w=1.0
    )
    assert offer == BY_CHAIN


def test_spikes_of_the_last_24_hours_make_supply_tight() -> None:
    quiet = 60 + 20 * np.sin(np.arange(288) / 46)
    spiky = quiet.copy()
    spiky[200:206] = 1000.0
    end_ms = T0 + 288 * 300_000
    low, high = np.quantile(quiet, (0.2, 0.8)).tolist()
    expected = LastDay(low, high, tight=False, far_above=False)
    assert last_day(five_minutes(quiet), end_ms, FIVE) == expected
    day = last_day(five_minutes(spiky), end_ms, FIVE)
    assert day is not None
    assert (day.tight, day.far_above) == (True, False)
    later = last_day(five_minutes(spiky), end_ms + 24 * 3_600_000, FIVE)
    assert later == replace(day, tight=False)  # a month later too: its quantiles alone are left
    begun = last_day(five_minutes(spiky[:201]), T0 + 201 * 300_000, FIVE)
    assert begun is not None
    assert (begun.tight, begun.far_above) == (False, True)


def test_no_level_of_prices_is_tight_by_itself() -> None:
    day = last_day(five_minutes(np.full(288, 900.0)), T0 + 288 * 300_000, FIVE)
    assert day == LastDay(900.0, 900.0, tight=False, far_above=False)
    assert last_day(five_minutes(np.array([])), T0, FIVE) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_days_without_spikes_earn_what_the_rule_earns(seed: int) -> None:
    """Prices that drift without a daily shape: the worst for a forecast of the time of day."""
    rng = np.random.default_rng(seed)
    energy = 60 + np.cumsum(rng.normal(0, 12, 24 * 6))
    energy = 60 + (energy - energy.mean()).clip(-70, 70)
    market = ReplayMarket(RULES, prices_of(energy, RULES))
    _, trace, bids = walk(market, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)
    assert bids[-1].offered_by == "last_day"
    by_rule = quantile_rule_money(market.recorded, RULES, BATTERY)
    assert trace.money.sum() >= by_rule.sum() - 0.03 * trace.perfect_money.sum()


def test_days_that_repeat_earn_most_of_what_was_possible() -> None:
    """Days of one shape at changing levels: once four are known with the day before, they are bid
    by the time of day. The rule earns two thirds of foresight, the chain alone four fifths."""
    market = ReplayMarket(RULES, prices_of(duck_days(12), RULES))
    _, trace, bids = walk(market, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)
    assert "time_of_day" not in {bid.offered_by for bid in bids[: 5 * 24]}
    repeated = slice(5 * 24, None)
    made_by = Counter(bid.offered_by for bid in bids[repeated])
    assert made_by["last_day"] == 0
    assert made_by["time_of_day"] > 5 * made_by["value"]  # some evenings look tight
    by_rule = quantile_rule_money(market.recorded, RULES, BATTERY)[repeated].sum()
    earned, perfect = trace.money[repeated].sum(), trace.perfect_money[repeated].sum()
    assert earned > 0.85 * perfect > by_rule + 0.1 * perfect
