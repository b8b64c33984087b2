"""Which view of quiet days is followed is told by what each would have earned."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    T0,
    duck_days,
    energy_only,
    inputs_at,
    prices_of,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.cycle_inputs import usable
from vpp_streams.domain.market.decision.position import Position, position_of
from vpp_streams.domain.market.decision.quiet_bounds import by_level, by_time
from vpp_streams.domain.market.decision.quiet_days import QuietDay, QuietDays
from vpp_streams.domain.market.decision.quiet_views import time_earns_more, virtual_money
from vpp_streams.domain.market.forecast.day_pattern import day_shapes
from vpp_streams.domain.market.forecast.times_of_day import DAYS, days_before, usual_times
from vpp_streams.domain.market.rules import MarketRules, Storage

RULES = energy_only(HOURLY)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WORN = replace(BATTERY, charge_efficiency=0.9, discharge_efficiency=0.8, wear_per_mwh=10.0)


def drift(days: int, seed: int = 3) -> Floats:
    """Hourly prices that wander and know no time of day."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 12, days * 24))
    return 60 + (walk - walk.mean()).clip(-70, 70)


def grid_of(energy: Floats) -> Floats:
    return days_before(prices_of(energy, RULES), T0 + len(energy) * HOUR_MS, RULES)


def position_after(energy: Floats, rules: MarketRules = RULES, hour: int = 0) -> Position:
    start_ms = T0 + (len(energy) // 24 * 24 + hour) * HOUR_MS
    inputs = inputs_at(start_ms, prices_of(energy, RULES))
    sound = usable(replace(inputs, rules=rules))
    assert not isinstance(sound, str)
    return position_of(sound)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_time_of_day_earns_more_where_days_are_of_one_shape(seed: int) -> None:
    assert time_earns_more(grid_of(duck_days(DAYS, seed)), RULES)


def test_prices_that_know_no_time_of_day_are_seldom_taken_for_days_that_repeat() -> None:
    """By chance the time of day earns more in several of these weeks, but seldom clearly."""
    grids = [grid_of(drift(DAYS, seed)) for seed in range(40)]
    more = [np.subtract(*virtual_money(grid, RULES)).sum() < 0 for grid in grids]
    taken = [time_earns_more(grid, RULES) for grid in grids]
    assert sum(more) >= 8
    assert sum(taken) <= 4


def test_both_views_trade_a_day_by_those_before_it() -> None:
    """Both fill the battery in hours 0 to 2. By the level it is emptied from hour 19 on, where the
    dearest fifth of the day before begins; by the time of day in the last two hours."""
    day = 60.0 + np.arange(24) * 10.0
    level, time = virtual_money(np.stack([day, day, day + 5.0]), RULES)
    bought_mwh, sold_mwh = 2.0 / 0.92, 2.0 * 0.92
    costs = 60.0 + 70.0 + (bought_mwh - 2.0) * 80.0
    assert level[0] == pytest.approx(250.0 + (sold_mwh - 1.0) * 260.0 - costs)
    assert time[0] == pytest.approx(280.0 + (sold_mwh - 1.0) * 290.0 - costs)
    assert time[1] == pytest.approx(time[0] + 5.0 * (sold_mwh - bought_mwh))


def test_what_is_left_counts_what_it_costs_to_buy_again() -> None:
    """On a day that is cheaper than the lowest of the day before all is bought and none is sold."""
    day = 100.0 + np.arange(24) * 10.0
    level, _ = virtual_money(np.stack([day, np.full(24, 20.0)]), RULES)
    low = float(np.quantile(day, 0.2))
    assert level[0] == pytest.approx(2.0 / 0.92 * (low - 20.0))
    below_0, _ = virtual_money(np.stack([day - 500.0, np.full(24, -480.0)]), RULES)
    assert below_0[0] == pytest.approx(2.0 / 0.92 * 480.0)


def test_days_that_are_not_known_do_not_count_and_of_few_nothing_is_concluded() -> None:
    energy = duck_days(DAYS)
    energy[4 * 24 + 7] = np.nan
    level, time = virtual_money(grid_of(energy), RULES)
    known = [True, True, True, False, False, True, True]
    assert np.isfinite(level).tolist() == np.isfinite(time).tolist() == known
    assert time_earns_more(grid_of(energy), RULES)
    energy[24] = np.nan  # three days are left that are known with the day before
    assert not time_earns_more(grid_of(energy), RULES)
    assert not time_earns_more(np.full((DAYS, 24), np.nan), RULES)


def test_days_before_are_those_before_midnight_each_price_in_its_place() -> None:
    energy = np.arange(30.0 * 24)
    prices = prices_of(energy, RULES)
    noon_ms = T0 + 20 * DAY_MS + 12 * HOUR_MS
    grid = days_before(prices, noon_ms, RULES)
    np.testing.assert_array_equal(grid, energy[12 * 24 : 20 * 24].reshape(DAYS, 24))
    np.testing.assert_array_equal(grid, days_before(prices, noon_ms + 11 * HOUR_MS, RULES))
    fewer = days_before(prices.cut(slice(18 * 24 + 1, None)), noon_ms, RULES)
    assert np.isnan(fewer[:7]).all()  # the seventh lacks its first hour
    np.testing.assert_array_equal(fewer[7], grid[7])


def test_as_much_of_a_day_is_cheap_and_dear_as_the_battery_takes_to_fill_and_empty() -> None:
    grid = np.tile(np.arange(24.0), (DAYS, 1))
    two, six = (Storage(wh, 1e6, 1e6, 1.0, 1.0) for wh in (2e6, 6e6))
    for storage, count in ((two, 2), (six, 6)):
        times = usual_times(day_shapes(grid, RULES), storage, 24.0)[-1]
        assert times.tolist() == [-1] * count + [0] * (24 - 2 * count) + [1] * count
    shapes = day_shapes(grid, RULES)
    slow = usual_times(shapes, replace(two, charge_w=2.5e5), 24.0)[-1]
    assert slow.tolist() == [-1] * 8 + [0] * 14 + [1] * 2
    assert (usual_times(shapes, replace(two, charge_w=0.0), 24.0)[-1] == -1).sum() == 10


def test_the_times_of_a_day_are_those_of_the_days_before_it() -> None:
    rising, falling = np.arange(24.0), np.arange(24.0)[::-1]
    grid = np.stack([rising] * 4 + [falling] * 4)
    times = usual_times(day_shapes(grid, RULES), BATTERY, 24.0)
    assert times[1][-1] == times[4][-1] == 1
    assert times[8][0] == 1
    assert times[8][-1] == -1


def test_bounds_by_time_buy_what_pays_and_sell_what_covers_it() -> None:
    low, high, spike = np.array(20.0), np.array(100.0), np.array(300.0)
    cheap, between, dear = (
        by_time(low, high, spike, np.array(time, np.int8), WORN) for time in (-1, 0, 1)
    )
    assert cheap == (pytest.approx((100.0 - 10.0) * 0.72), 300.0)
    assert between == (-np.inf, 300.0)
    assert dear == (-np.inf, pytest.approx(10.0 + 20.0 / 0.72))


def test_bounds_by_level_are_the_quantiles_where_they_pay() -> None:
    assert by_level(np.array(20.0), np.array(100.0), WORN) == (20.0, 100.0)
    assert by_level(np.array(95.0), np.array(100.0), WORN)[0] == pytest.approx(90.0 * 0.72)
    assert by_level(np.array(2.0), np.array(8.0), WORN)[1] == 10.0
    assert by_level(np.array(-7.2), np.array(-5.0), WORN)[1] == pytest.approx(0.0)


def test_a_quiet_day_that_repeats_is_bid_by_its_times() -> None:
    days = QuietDays()
    noon, evening = (days.at(position_after(duck_days(DAYS), hour=hour)) for hour in (13, 19))
    assert isinstance(noon, QuietDay)
    assert isinstance(evening, QuietDay)
    assert (noon.time, evening.time) == (-1, 1)
    level = days.at(position_after(drift(DAYS)))
    assert isinstance(level, QuietDay)
    assert level.time is None
    fewer = days.at(position_after(duck_days(4)))
    assert isinstance(fewer, QuietDay)
    assert fewer.time is None


def test_the_chain_decides_where_capacity_is_traded_and_where_supply_is_tight() -> None:
    capacity = replace(RULES, products=("energy", "reserve"))
    assert QuietDays().at(position_after(duck_days(DAYS), capacity)) is None
    tight = duck_days(DAYS)
    tight[-6:-2] = 2000.0
    assert QuietDays().at(position_after(tight)) is None


def test_what_is_kept_for_a_day_changes_no_answer() -> None:
    kept = QuietDays()
    for energy in (duck_days(DAYS), drift(DAYS), duck_days(DAYS, seed=2), drift(DAYS)):
        position = position_after(energy, hour=13)
        assert kept.at(position) == kept.at(position) == QuietDays().at(position)
