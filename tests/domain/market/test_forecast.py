"""Forecasts: what they may see, what they are worth, and what they do without data."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.market_factory import HOURLY, T0, duck_days, prices_of
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.boosted import Boosted
from vpp_streams.domain.market.forecast.capacity import capacity_ahead
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.day_pattern import day_pattern
from vpp_streams.domain.market.forecast.days import Days, error_quantiles, naive, profile
from vpp_streams.domain.market.forecast.lear import lear, ridge
from vpp_streams.domain.market.forecast.moves import on_nodes
from vpp_streams.domain.market.forecast.process import (
    PriceProcess,
    expected_price,
    fit_process,
    price_quantile,
    slot_of,
)
from vpp_streams.domain.market.forecast.scores import coverage, mean_absolute_error, pinball
from vpp_streams.domain.market.rules import Prices

NONE = prices_of(np.array([]))


def days_of(count: int, seed: int = 1) -> Days:
    return Days(duck_days(count, seed).reshape(-1, 24), np.arange(count + 1) % 7)


def quick(days: Days) -> Floats:
    """The regression of regions, with a window for prices."""
    return lear(days, (84, 364), spiky=True)


@pytest.mark.parametrize("forecast", [quick, day_ahead])
def test_it_learns_what_yesterday_tells_of_today(forecast: Callable[[Days], Floats]) -> None:
    """Each day is 60 % of the day before: no mean of days knows that."""
    rng = np.random.default_rng(3)
    level = [0.0]
    for _ in range(200):
        level.append(0.6 * level[-1] + rng.normal(0, 10))
    shape = duck_days(1).reshape(1, 24)
    values = shape + np.array(level)[:, None] + rng.normal(0, 0.5, (201, 24))
    days = Days(values[:200], np.zeros(201, np.int64))
    found = forecast(days)
    assert mean_absolute_error(shape[0] + 0.6 * level[199], found) < 4.0
    truth = shape[0] + level[200]
    assert mean_absolute_error(truth, found) < mean_absolute_error(truth, profile(days))
    assert mean_absolute_error(shape[0] + 0.6 * level[199], quick(days)) < 4.0


@pytest.mark.parametrize("forecast", [quick, day_ahead, profile, naive, Boosted()])
def test_forecasts_see_only_what_is_known(forecast: object) -> None:
    assert callable(forecast)
    days = days_of(60)
    later = Days(days.values.copy(), days.kind)
    later.values[50:] = 1e6
    np.testing.assert_array_equal(forecast(days.known(50)), forecast(later.known(50)))


def test_lear_does_not_learn_across_a_gap() -> None:
    days = days_of(60)
    days.values[30, 4] = np.nan
    before = Days(days.values.copy(), days.kind)
    before.values[:30] = -1e5
    np.testing.assert_array_equal(quick(days), quick(before))


def test_with_few_days_the_profile_stands_in() -> None:
    days = days_of(5)
    np.testing.assert_allclose(quick(days), days.values.mean(axis=0))
    assert np.isnan(naive(Days(np.empty((0, 24)), np.zeros(1, np.int64)))).all()


def test_trees_and_regression_together_beat_the_profile() -> None:
    days = days_of(120)
    truth = duck_days(121).reshape(-1, 24)[120]
    assert mean_absolute_error(truth, Boosted()(days)) < 20


def test_ridge_finds_what_is_there() -> None:
    rng = np.random.default_rng(2)
    x, true = rng.normal(size=(400, 5)), rng.normal(size=(5, 3))
    x -= x.mean(axis=0)
    y = x @ true + rng.normal(0, 0.01, (400, 3))
    np.testing.assert_allclose(ridge(x, y - y.mean(axis=0)), true, atol=0.02)


def test_quantiles_are_those_of_the_errors() -> None:
    rng = np.random.default_rng(1)
    forecast = np.full((400, 24), 50.0)
    actual = forecast + rng.normal(0, 10, (400, 24))
    bands = error_quantiles(forecast[0], forecast, actual, (0.1, 0.9))
    assert bands[0.1].mean() == pytest.approx(50 - 12.8, abs=1)
    assert coverage(actual, bands[0.1], bands[0.9]) == pytest.approx(0.8, abs=0.02)


def test_pinball_is_least_at_the_quantile() -> None:
    values = np.arange(101.0)
    loss = {q: pinball(values, np.full(101, q), 0.9) for q in (50.0, 90.0, 99.0)}
    assert min(loss, key=lambda q: loss[q]) == 90.0


def test_nodes_share_a_value_between_the_two_beside_it() -> None:
    nodes = np.array([-2.0, 0.0, 0.5, 3.0])
    shares = on_nodes(np.array([0.1, -1e9, 1e9]), nodes)
    expected = np.array([[0.0, 0.8, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(shares, expected)


def means(process: PriceProcess, price: float | None, slot: int, steps: int) -> Floats:
    return expected_price(process.ahead(price, slot, steps), process.prices_from(slot, steps))


@given(st.lists(st.floats(-500, 4000), max_size=80), st.floats(-500, 4000), st.integers(0, 23))
@settings(max_examples=50, deadline=None)
def test_chances_are_chances(energy: list[float], price: float, slot: int) -> None:
    process = fit_process(prices_of(np.array(energy)), HOURLY)
    ahead, prices = process.ahead(price, slot, 30), process.prices_from(slot, 30)
    assert (ahead >= 0).all()
    np.testing.assert_allclose(ahead.sum(axis=1), 1)
    low, high = price_quantile(ahead, prices, 0.1), price_quantile(ahead, prices, 0.9)
    assert (low <= high).all()
    assert (low >= HOURLY.floor).all()
    assert (high <= HOURLY.cap).all()


def test_a_quantile_lies_between_the_prices_of_nodes() -> None:
    chances = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    prices = np.tile([10.0, 20.0, 60.0], (4, 1))
    for q in (0.05, 0.1, 0.3, 0.9):
        reached = np.cumsum(chances, axis=1) - chances / 2
        expected = [np.interp(q, *row) for row in zip(reached, prices, strict=True)]
        np.testing.assert_allclose(price_quantile(chances, prices, q), expected)


@given(st.lists(st.floats(-500, 4000), max_size=80))
@settings(max_examples=50, deadline=None)
def test_a_nodes_price_follows_its_slot_from_floor_to_cap(energy: list[float]) -> None:
    process = fit_process(prices_of(np.array(energy)), HOURLY)
    assert (process.prices[:, 0] == HOURLY.floor).all()
    assert (process.prices[:, -1] == HOURLY.cap).all()
    assert (np.diff(process.prices, axis=1) >= 0).all()
    usual = process.prices[:, process.nodes == 0.0][:, 0]
    np.testing.assert_allclose(usual, process.usual)


def test_with_no_history_a_duck_curve_is_expected_and_a_spike_possible() -> None:
    process = fit_process(NONE, HOURLY)
    ahead, prices = process.ahead(None, 0, 24), process.prices_from(0, 24)
    mean = expected_price(ahead, prices)
    assert mean[18] > mean[3] > mean[13]
    assert ahead[18, prices[18] >= 1000].sum() > 1e-5


def test_history_moves_the_forecast_and_newer_days_more() -> None:
    cheap, dear = np.full(72, 20.0), np.full(24, 200.0)
    first = fit_process(prices_of(np.concatenate([dear, cheap])), HOURLY)
    last = fit_process(prices_of(np.concatenate([cheap, dear])), HOURLY)
    assert means(last, None, 5, 24).mean() > means(first, None, 5, 24).mean() + 50


def test_the_daily_shape_is_expected_as_far_as_it_came_true() -> None:
    hour = np.arange(24)
    shape = 40.0 * np.sin(hour / 24 * 2 * np.pi)
    same = fit_process(prices_of(100 + np.tile(shape, 20)), HOURLY).usual
    rng = np.random.default_rng(4)
    moved = np.concatenate([np.roll(shape, rng.integers(24)) for _ in range(20)])
    other = fit_process(prices_of(100 + moved), HOURLY).usual
    assert np.corrcoef(same, shape)[0, 1] > 0.99
    assert np.ptp(same) > 0.75 * np.ptp(shape)
    assert np.ptp(other) < 0.1 * np.ptp(shape)
    assert other.mean() == pytest.approx(100, abs=3)


def test_a_jump_counts_as_an_error_of_the_forecast_made_before_it() -> None:
    """The level at a jump is that of the day before it, and follows within a day."""
    numbers = np.arange(480)
    found = day_pattern(numbers, np.where(numbers < 400, 50.0, 90.0), HOURLY)
    np.testing.assert_allclose(found.residual[392:400], 0, atol=2)
    assert found.residual[400] == pytest.approx(40, abs=2)
    assert found.residual[412] == pytest.approx(20, abs=2)
    assert abs(found.residual[424]) < 10


def test_spikes_are_waited_for_where_prices_were_dear_lately() -> None:
    """Both markets had the same prices above what was usual; only one of them was dear."""
    five = replace(HOURLY, interval_ms=300_000, cap=15_000.0)
    calm = np.tile(np.where(np.arange(288) // 24 == 9, 100.0, 50.0), 3)
    tight = np.tile(np.where(np.arange(288) // 24 == 9, 280.0, 50.0), 3)

    def spike(energy: Floats) -> float:
        process = fit_process(prices_of(energy, five), five)
        ahead = process.ahead(400.0, 0, 12)[-1]
        return float(ahead[process.prices[11] >= 1000].sum())

    assert spike(tight) > 0.1
    assert spike(calm) < 0.02


def test_a_dear_price_is_expected_to_stay_a_while_and_then_to_fall() -> None:
    process = fit_process(prices_of(duck_days(10)), HOURLY)
    mean, usual = means(process, 300.0, 3, 20), means(process, None, 3, 20)
    assert mean[0] > usual[0]
    assert mean[0] - usual[0] > abs(mean[-1] - usual[-1])


def test_unknown_prices_teach_nothing() -> None:
    energy = duck_days(4)
    with_gap = energy.copy()
    with_gap[10:20] = np.nan
    known = prices_of(energy)
    keep = np.isfinite(with_gap)
    shorter = Prices("test", "EUR", known.interval_ms, known.start_ms[keep],
                     {"energy": energy[keep]})  # fmt: skip
    np.testing.assert_array_equal(
        fit_process(prices_of(with_gap), HOURLY).moves, fit_process(shorter, HOURLY).moves
    )


def test_capacity_falls_from_its_newest_price_to_the_usual_one() -> None:
    energy = np.full(96, 100.0)
    energy[-1] = 3000.0
    found = capacity_ahead(prices_of(energy), HOURLY, T0 + 96 * 3_600_000, 48)
    up = found.up
    assert up is not None
    assert up[0] > 11
    assert up[30] == pytest.approx(10.0, rel=0.01)
    assert slot_of(T0 + 96 * 3_600_000, HOURLY) == 0
