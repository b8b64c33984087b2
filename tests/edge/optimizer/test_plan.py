"""The plan against answers by hand, a linear programme, and self-consumption."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.home_plan_foresight import least_cost
from edge.arrays import Floats
from edge.optimizer.home import Home, Tariff
from edge.optimizer.plan import Outlook, Plan, certain, plan
from edge.optimizer.step import change_wh, cost, limits_w, terminal_w

HALF_HOUR_S = 1800.0
BATTERY = Home(
    energy_wh=10_000.0, charge_w=5000.0, discharge_w=5000.0, reserve_soc=0.2, wear_per_mwh=10.0
)
LOSSLESS = Home(
    energy_wh=10_000.0,
    charge_w=5000.0,
    discharge_w=5000.0,
    charge_efficiency=1.0,
    discharge_efficiency=1.0,
)


def tariff(buy: list[float], sell: list[float] | None = None, step_s: float = 3600.0) -> Tariff:
    return Tariff(np.array(buy), np.array(sell if sell is not None else [0.0] * len(buy)), step_s)


def follow(made: Plan, net_w: Floats, stored_wh: float) -> tuple[float, list[float]]:
    """Cost and stored energy of a home that follows a plan step by step, with this net load."""
    home, prices, spent, stored = made.home, made.tariff, 0.0, [stored_wh]
    for step, net in enumerate(net_w):
        soc = stored[-1] / home.energy_wh
        load, solar = max(net, 0.0), max(-net, 0.0)
        power = np.array(made.power_w(step, soc, load, solar, hold_s=prices.step_s))
        buy, sell = prices.buy[step], prices.sell[step]
        spent += float(cost(home, power, net, buy=buy, sell=sell, hold_s=prices.step_s))
        stored.append(stored[-1] + float(change_wh(home, power, prices.step_s)))
    return spent, stored


def self_consumption(home: Home, prices: Tariff, net_w: Floats, stored_wh: float) -> float:
    spent, low = 0.0, home.energy_wh - home.usable_wh
    for step, net in enumerate(net_w):
        least, most = limits_w(home, np.array(net))
        ends = terminal_w(home, np.array([home.energy_wh, low]) - stored_wh, prices.step_s)
        power = np.clip(net, max(float(least), ends[0]), min(float(most), ends[1]))
        buy, sell = prices.buy[step], prices.sell[step]
        spent += float(cost(home, power, net, buy=buy, sell=sell, hold_s=prices.step_s))
        stored_wh += float(change_wh(home, power, prices.step_s))
    return spent


def test_two_steps_by_hand() -> None:
    # Empty at first; 2 kWh are needed at 0.50 in the second hour, and cost 0.10 in the first.
    made = plan(LOSSLESS, tariff([0.1, 0.5]), certain(np.array([0.0, 2000.0])), end_per_kwh=0.0)
    assert made.to_come[0, 0] == pytest.approx(0.2)
    assert made.power_w(0, 0.0, 0.0, 0.0, hold_s=3600.0) == pytest.approx(-2000.0)
    assert made.power_w(1, 0.2, 2000.0, 0.0, hold_s=3600.0) == pytest.approx(2000.0)


def test_losses_and_wear_can_be_more_than_the_spread() -> None:
    # Bought at 0.40, a kWh costs 0.40 / 0.9025 + 0.01 = 0.4532 when it is used.
    for dear, bought_w in ((0.452, 0.0), (0.455, -2000.0 / 0.9025)):
        net = certain(np.array([0.0, 2000.0]))
        made = plan(BATTERY, tariff([0.4, dear]), net, end_per_kwh=0.0, levels=801)
        power = made.power_w(0, 0.2, 0.0, 0.0, hold_s=3600.0)
        assert power == pytest.approx(bought_w, abs=11.0)


def test_the_power_follows_the_load_of_now() -> None:
    made = plan(LOSSLESS, tariff([0.5, 0.1]), certain(np.array([500.0, 500.0])), end_per_kwh=0.0)
    for load_w in (100.0, 500.0, 3000.0, 9000.0):
        power = made.power_w(0.5, 0.9, load_w, 0.0, hold_s=1.0)
        assert power == pytest.approx(min(load_w, 5000.0))
    assert made.power_w(0.5, 0.9, 100.0, 2100.0, hold_s=1.0) == pytest.approx(-2000.0)


def test_energy_is_kept_for_the_dearer_step() -> None:
    # 1 kWh is left, and needed at 0.50 later: not at 0.20 now.
    made = plan(LOSSLESS, tariff([0.2, 0.5]), certain(np.array([3000.0, 1000.0])), end_per_kwh=0.0)
    no_purchase = replace(LOSSLESS, import_limit_w=0.0)
    kept = plan(no_purchase, made.tariff, certain(np.array([3000.0, 1000.0])), end_per_kwh=0.0)
    assert kept.power_w(0, 0.1, 3000.0, 0.0, hold_s=3600.0) == pytest.approx(0.0, abs=1e-6)
    assert kept.power_w(1, 0.1, 1000.0, 0.0, hold_s=3600.0) == pytest.approx(1000.0)


def test_no_export_from_the_battery_where_it_is_forbidden() -> None:
    prices = tariff([0.2, 0.2], [0.9, 0.9])
    net = certain(np.array([1000.0, 1000.0]))
    free = plan(LOSSLESS, prices, net, end_per_kwh=0.0)
    bound = plan(replace(LOSSLESS, battery_exports=False), prices, net, end_per_kwh=0.0)
    assert free.power_w(0, 1.0, 1000.0, 0.0, hold_s=3600.0) == pytest.approx(5000.0)
    assert bound.power_w(0, 1.0, 1000.0, 0.0, hold_s=3600.0) == pytest.approx(1000.0)
    assert bound.power_w(0, 1.0, 0.0, 3000.0, hold_s=3600.0) <= 0.0


def test_the_export_limit_holds_and_saves_solar_power_from_curtailment() -> None:
    # 6 kW of surplus now and a limit of 2 kW; nothing but curtailment makes storing worth it.
    home = replace(LOSSLESS, export_limit_w=2000.0)
    prices = tariff([0.3, 0.3], [0.3, 0.3])
    made = plan(home, prices, certain(np.array([-6000.0, 0.0])), end_per_kwh=0.0)
    assert made.power_w(0, 0.0, 0.0, 6000.0, hold_s=3600.0) <= -4000.0
    assert made.power_w(1, 1.0, 0.0, 0.0, hold_s=3600.0) == pytest.approx(2000.0)


def test_at_a_negative_price_the_battery_buys_and_does_not_sell() -> None:
    prices = tariff([-0.2, 0.3], [-0.3, 0.0])
    made = plan(LOSSLESS, prices, certain(np.array([500.0, 500.0])), end_per_kwh=0.0)
    assert made.power_w(0, 0.1, 500.0, 0.0, hold_s=3600.0) == pytest.approx(-5000.0)
    assert made.power_w(0, 0.5, 0.0, 2000.0, hold_s=1.0) <= -2000.0


def test_a_battery_without_energy_does_nothing() -> None:
    none = Home(energy_wh=0.0, charge_w=0.0, discharge_w=0.0)
    full_reserve = Home(energy_wh=1e4, charge_w=5e3, discharge_w=5e3, reserve_soc=1.0)
    for home in (none, full_reserve):
        made = plan(home, tariff([0.1, 0.5]), certain(np.array([500.0, 500.0])))
        assert made.power_w(0, 1.0, 500.0, 0.0, hold_s=1.0) == 0.0


def test_the_plan_ends_where_prices_are_unknown() -> None:
    nan = float("nan")
    short = plan(LOSSLESS, tariff([0.1, 0.5, nan, 0.9]), certain(np.full(4, 800.0)))
    alone = plan(LOSSLESS, tariff([0.1, 0.5]), certain(np.full(2, 800.0)))
    assert short.steps == 2
    np.testing.assert_allclose(short.to_come, alone.to_come)
    # Beyond its end: self-consumption, within what is stored.
    assert short.power_w(2, 0.5, 800.0, 0.0, hold_s=1.0) == pytest.approx(800.0)
    assert short.power_w(9, 0.5, 0.0, 900.0, hold_s=1.0) == pytest.approx(-900.0)
    assert short.power_w(9, 0.0, 800.0, 0.0, hold_s=1.0) == 0.0


def test_no_price_at_all_is_self_consumption() -> None:
    made = plan(LOSSLESS, tariff([float("nan")]), certain(np.full(1, 800.0)))
    assert made.steps == 0
    assert made.power_w(0, 0.5, 800.0, 0.0, hold_s=1.0) == pytest.approx(800.0)


def test_a_dear_evening_that_may_need_more_is_bought_for() -> None:
    # The mean need is 1 kWh; it may be 3 kWh all evening, and a kWh too few costs most.
    prices, weight = tariff([0.2, 0.6, 0.6]), np.array([0.5, 0.5])
    net = np.array([[0.0, 0.0, 0.0], [0.0, 1500.0, 1500.0]])
    stays, changes = np.eye(2), np.full((2, 2), 0.5)
    outlooks = (
        Outlook(net, weight, stays),
        Outlook(net, weight, changes),
        certain(net.mean(axis=0)),
    )
    made = [plan(LOSSLESS, prices, one, end_per_kwh=0.15, levels=201) for one in outlooks]
    bought = [-one.power_w(0, 0.0, 0.0, 0.0, hold_s=3600.0) for one in made]
    assert bought == pytest.approx([3000.0, 3000.0, 1500.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Home, Tariff, Floats, float]:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    energy = draw(st.sampled_from([0.0, 500.0, 5000.0, 20_000.0]))
    home = Home(
        energy_wh=energy,
        charge_w=draw(st.sampled_from([0.0, 1000.0, 7000.0])),
        discharge_w=draw(st.sampled_from([0.0, 1000.0, 7000.0])),
        charge_efficiency=rng.uniform(0.8, 1.0),
        discharge_efficiency=rng.uniform(0.8, 1.0),
        reserve_soc=draw(st.sampled_from([0.0, 0.2, 0.9, 1.0])),
        export_limit_w=draw(st.sampled_from([0.0, 2000.0, float("inf")])),
        import_limit_w=draw(st.sampled_from([3000.0, float("inf")])),
        battery_exports=draw(st.booleans()),
        wear_per_mwh=draw(st.sampled_from([0.0, 30.0])),
    )
    steps = draw(st.integers(1, 60))
    buy = rng.normal(draw(st.sampled_from([0.0, 0.2])), 0.1, steps)
    sell = buy - rng.uniform(0.0, 0.2, steps) * draw(st.sampled_from([-1.0, 0.0, 1.0]))
    soc = rng.uniform(home.reserve_soc, 1.0)
    return home, Tariff(buy, sell, HALF_HOUR_S), rng.normal(300.0, 2500.0, steps), soc


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_never_below_the_reserve_nor_beyond_the_limits(
    world: tuple[Home, Tariff, Floats, float],
) -> None:
    home, prices, net, soc = world
    made = plan(home, prices, certain(net[::-1].copy()), levels=21)
    stored = soc * home.energy_wh
    for step, net_w in enumerate(net):
        soc = stored / home.energy_wh if home.energy_wh else 0.0
        power = made.power_w(step, soc, max(net_w, 0.0), max(-net_w, 0.0), hold_s=HALF_HOUR_S)
        least, most = limits_w(home, np.array(net_w))
        assert least - 1e-6 <= power <= most + 1e-6
        stored += float(change_wh(home, np.array(power), HALF_HOUR_S))
        assert home.energy_wh - home.usable_wh - 1e-3 <= stored <= home.energy_wh + 1e-3


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_with_a_true_forecast_never_worse_than_self_consumption(
    world: tuple[Home, Tariff, Floats, float],
) -> None:
    home, prices, net, soc = world
    made = plan(home, prices, certain(net), end_per_kwh=0.0, levels=161)
    spent, _ = follow(made, net, soc * home.energy_wh) if home.energy_wh else (0.0, [])
    if home.energy_wh:
        # The levels' spacing allows for a part of what moves between two of them.
        level_wh = home.usable_wh / 160
        slack = 1e-9 + level_wh / 1e3 * float(np.ptp(np.append(prices.buy, prices.sell)))
        assert spent <= self_consumption(home, prices, net, soc * home.energy_wh) + slack


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    buy = 0.25 + 0.1 * rng.random(72)
    prices = Tariff(buy, buy * rng.uniform(0.1, 0.9), HALF_HOUR_S)
    net = rng.normal(400.0, 1500.0, 72)
    stored = 6000.0
    made = plan(BATTERY, prices, certain(net), end_per_kwh=0.2, levels=801)
    spent, path = follow(made, net, stored)
    mine = spent - 0.2 * (path[-1] - stored) / 1e3
    best = least_cost(BATTERY, prices, net, stored_wh=stored, worth_per_kwh=0.2)
    assert best - 1e-9 <= mine <= best + 1e-3 * abs(best)


@pytest.mark.parametrize("missing", range(3))
def test_without_a_measurement_the_battery_rests(missing: int) -> None:
    made = plan(LOSSLESS, tariff([0.1, 0.5]), certain(np.array([0.0, 2000.0])), end_per_kwh=0.0)
    now = [0.5, 2000.0, 0.0]
    assert made.power_w(1, *now, hold_s=1.0) == pytest.approx(2000.0)
    now[missing] = float("nan")
    assert made.power_w(1, *now, hold_s=1.0) == 0.0


def test_between_plans_it_reacts_to_the_load_of_each_minute() -> None:
    # A day of half hours, planned once; the load of a minute is 0.2 to 4 times its expected value.
    rng = np.random.default_rng(7)
    buy = np.where(np.arange(48) < 32, 0.15, 0.45)
    solar = np.maximum(2500.0 * np.sin((np.arange(48) - 14) * np.pi / 20), 0.0)
    load = np.full(48, 700.0)
    prices = Tariff(buy, np.full(48, 0.05), HALF_HOUR_S)
    made = plan(BATTERY, prices, certain(load - solar), end_per_kwh=0.15)
    minute_load = 700.0 * np.repeat(rng.choice([0.2, 0.6, 4.0], 480, p=[0.4, 0.39, 0.21]), 3)
    minute_net = minute_load - np.repeat(solar, 30)
    minutes = Tariff(np.repeat(buy, 30), np.full(1440, 0.05), 60.0)
    stored, spent, powers = 4000.0, 0.0, []
    for minute in range(1440):
        soc, sun = stored / 10_000.0, float(solar[minute // 30])
        power = made.power_w(minute / 30, soc, float(minute_load[minute]), sun, hold_s=60.0)
        powers.append(power)
        price = {"buy": minutes.buy[minute], "sell": minutes.sell[minute], "hold_s": 60.0}
        spent += float(cost(BATTERY, np.array(power), minute_net[minute], **price))
        stored += float(change_wh(BATTERY, np.array(power), 60.0))
    spent -= 0.15 * (stored - 4000.0) / 1e3
    best = least_cost(BATTERY, minutes, minute_net, stored_wh=4000.0, worth_per_kwh=0.15)
    assert best - 1e-9 <= spent < 1.005 * best
    from_surplus = np.flatnonzero((minute_net < 0) & (np.array(powers) > 0))
    assert len(from_surplus) == 0


def test_stored_energy_is_worth_at_the_end_what_it_is_a_day_before() -> None:
    # Two equal days: with their end open, the first day's value is also the second's.
    day = np.where(np.arange(48) < 24, 0.1, 0.4)
    net = np.where(np.arange(48) < 24, 0.0, 800.0)
    prices = Tariff(np.tile(day, 2), np.zeros(96), HALF_HOUR_S)
    made = plan(BATTERY, prices, certain(np.tile(net, 2)))
    worth = np.diff(made.to_come, axis=1)
    np.testing.assert_allclose(worth[0], worth[48], atol=1e-6)
    np.testing.assert_allclose(worth[0], worth[96], atol=1e-6)
