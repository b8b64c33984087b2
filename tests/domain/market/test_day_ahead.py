"""Forecasts of day-ahead prices: what they learn from, may see, and go without."""

import numpy as np
import pytest

from tests.support.market_factory import duck_days
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.boosted import Boosted
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import Days, profile
from vpp_streams.domain.market.forecast.linear_fit import (
    PENALTIES,
    Features,
    fit_and_forecast,
    ridge_each,
)
from vpp_streams.domain.market.forecast.price_features import Window, day_features, slot_features
from vpp_streams.domain.market.forecast.scores import mean_absolute_error
from vpp_streams.domain.market.forecast.series import Feed, known_before_gates

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def days_with_wind(count: int, seed: int = 1, slots: int = 24) -> tuple[Days, Floats]:
    """Days whose prices are low where much wind is forecast, and the prices of the day to come,
    which has much."""
    rng = np.random.default_rng(seed)
    wind = rng.uniform(0, 20, (count + 1, 1)) + rng.uniform(0, 5, (count + 1, slots))
    wind[count] = 20
    values = duck_days(count + 1, seed, slots).reshape(-1, slots) - 3 * wind
    kind = np.arange(count + 1) % 7
    return Days(values[:count], kind, {"wind": wind}), values[count]


def without(days: Days) -> Days:
    """The same days, of which no series is known."""
    return Days(days.values, days.kind)


def test_a_series_tells_what_past_prices_cannot() -> None:
    days, truth = days_with_wind(200)
    blind = mean_absolute_error(truth, day_ahead(without(days)))
    assert mean_absolute_error(truth, day_ahead(days)) < 0.7 * blind
    assert blind < 40


def test_two_series_are_better_than_either() -> None:
    rng = np.random.default_rng(4)
    load, wind = rng.uniform(40, 80, (2, 301, 24))
    values = (load - wind + rng.normal(0, 1, (301, 24)))[:300]
    kind = np.zeros(301, np.int64)
    errors = [
        mean_absolute_error((load - wind)[300], day_ahead(Days(values, kind, known)))
        for known in ({"load": load}, {"wind": wind}, {"load": load, "wind": wind})
    ]
    assert errors[2] < 4 < min(errors[:2])


def test_a_weekend_that_is_cheap_is_forecast_cheap() -> None:
    values = np.full((140, 24), 50.0) + np.random.default_rng(1).normal(0, 1, (140, 24))
    kind = np.arange(141) % 7
    values[kind[:140] == 6] -= 30
    assert day_ahead(Days(values[:139], kind[:140])).mean() < 30  # the day to come is a 6
    assert day_ahead(Days(values, kind)).mean() > 40


@pytest.mark.parametrize("forecast", [day_ahead, Boosted()])
def test_a_scrambled_future_changes_no_forecast_before_it(forecast: object) -> None:
    """Neither the prices of the day to come and later ones, nor the series of later ones."""
    assert callable(forecast)
    days, _ = days_with_wind(80)
    later = Days(days.values.copy(), days.kind.copy(), {"wind": days.known_before["wind"].copy()})
    later.values[60:] = -later.values[60:][::-1] * 7
    later.known_before["wind"][61:] = 1e6
    later.kind[61:] = 3
    np.testing.assert_array_equal(forecast(days.known(60)), forecast(later.known(60)))
    later.known_before["wind"][60] += 10
    assert (forecast(days.known(60)) != forecast(later.known(60))).any()


def test_a_series_that_is_not_known_of_the_day_is_not_used() -> None:
    days, _ = days_with_wind(120)
    load = np.random.default_rng(2).normal(size=(121, 24))
    load[120, 17] = np.nan
    both = Days(days.values, days.kind, {**days.known_before, "load": load})
    np.testing.assert_array_equal(day_ahead(both), day_ahead(days))


def test_days_of_which_a_series_is_not_known_do_not_teach() -> None:
    """A wrong value in its place would."""
    days, truth = days_with_wind(200)
    wind = days.known_before["wind"].copy()
    wind[40:60] = np.nan
    error = mean_absolute_error(truth, day_ahead(Days(days.values, days.kind, {"wind": wind})))
    assert error < 1.3 * mean_absolute_error(truth, day_ahead(days))
    blind = mean_absolute_error(truth, day_ahead(without(days)))
    assert error < 0.8 * blind


def test_a_series_with_too_short_a_past_is_not_used() -> None:
    days, _ = days_with_wind(120)
    wind = days.known_before["wind"].copy()
    wind[:115] = np.nan
    forecast = day_ahead(Days(days.values, days.kind, {"wind": wind}))
    np.testing.assert_array_equal(forecast, day_ahead(without(days)))


@pytest.mark.parametrize("missing", [(30, 4), (119, 4), (119, slice(None)), (113, 7)])
def test_a_gap_costs_the_days_that_touch_it(missing: tuple[int, int | slice]) -> None:
    days, truth = days_with_wind(120)
    whole = mean_absolute_error(truth, day_ahead(days))
    days.values[missing] = np.nan
    forecast = day_ahead(days)
    assert np.isfinite(forecast).all()
    assert mean_absolute_error(truth, forecast) < whole + 4
    unknown = Days(days.values.copy(), days.kind, days.known_before)
    unknown.values[missing] = 1e4
    assert (day_ahead(unknown) != forecast).any()


def test_with_few_days_the_profile_stands_in() -> None:
    for count in (0, 1, 5, 20):
        days, _ = days_with_wind(count)
        np.testing.assert_array_equal(day_ahead(days), profile(days))
    days, _ = days_with_wind(21)
    assert np.isfinite(day_ahead(days)).all()
    assert (day_ahead(days) != profile(days)).any()
    unknown = Days(np.full((60, 24), np.nan), np.zeros(61, np.int64))
    assert np.isnan(day_ahead(unknown)).all()


def test_what_never_changes_teaches_nothing() -> None:
    days, _ = days_with_wind(120)
    flat = {**days.known_before, "flat": np.full((121, 24), 1e7 / 3)}
    with_flat = day_ahead(Days(days.values, days.kind, flat))
    np.testing.assert_allclose(with_flat, day_ahead(days), rtol=1e-6)
    constant = Days(np.full((120, 24), 42.0), days.kind, days.known_before)
    np.testing.assert_allclose(day_ahead(constant), 42.0)
    mostly = np.full((120, 24), 42.0)
    mostly[60, 3] = 43.0  # the median absolute deviation is 0
    np.testing.assert_allclose(day_ahead(Days(mostly, days.kind)), 42.0, atol=0.2)


def test_quarter_hours_are_forecast_from_hours() -> None:
    days, truth = days_with_wind(100, slots=96)
    forecast = day_ahead(days)
    assert forecast.shape == (96,)
    assert mean_absolute_error(truth, forecast) < mean_absolute_error(truth, profile(days))
    window = Window(days.values, [days.known_before["wind"][:100]], days.kind[:100], 28)
    assert day_features(window).x.shape == (24 * 6 + 4 + 24 * 3, 72)
    assert [features.x.shape for features in slot_features(window)] == [(16 + 13, 72)] * 96


def test_features_of_a_day_are_what_they_are_called() -> None:
    prices = np.arange(40.0 * 24).reshape(40, 24)
    load = prices + 1000
    of_hours = slot_features(Window(prices, [load], np.arange(40) % 7, 30))
    row = of_hours[5].x[:, 2]  # hour 5 of day 32
    assert row[:5].tolist() == [prices[32 - back, 5] for back in (1, 2, 3, 7, 14)]
    assert row[5:9].tolist() == [prices[31, hour] for hour in (3, 4, 6, 7)]
    assert row[9:11].tolist() == [prices[25:32, 5].mean(), prices[4:32, 5].mean()]
    assert row[11:16].tolist() == [
        prices[31].mean(), prices[31].max(), prices[31].min(), prices[31].std(), prices[31, 23]
    ]  # fmt: skip
    assert row[16:20].tolist() == [load[32, 5], load[31, 5], load[25, 5], load[25:32, 5].mean()]
    assert row[20:24].tolist() == [load[32, hour] for hour in (3, 4, 6, 7)]
    assert row[24:27].tolist() == [load[32].mean(), load[32].max(), load[32].min()]
    assert of_hours[5].kinds[:, 2].argmax() == 32 % 7


def test_the_penalty_of_each_output_is_the_one_of_least_error_left_out() -> None:
    """Compared with fits that leave out a row, one after another."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 8))
    x -= x.mean(axis=0)
    y = np.column_stack([x @ rng.normal(size=8) + rng.normal(0, 0.1, 60), rng.normal(size=60)])
    y -= y.mean(axis=0)

    def fit(x: Floats, y: Floats, penalty: float) -> Floats:
        found: Floats = np.linalg.inv(x.T @ x + penalty * np.eye(8)) @ x.T @ y
        return found

    def left_out(penalty: float) -> Floats:
        errors = np.zeros(2)
        for row in range(60):
            others = np.arange(60) != row
            middle, usual = x[others].mean(axis=0), y[others].mean(axis=0)
            coefficients = fit(x[others] - middle, y[others] - usual, penalty)
            errors += (y[row] - usual - (x[row] - middle) @ coefficients) ** 2
        return errors

    found = ridge_each(x.T, y.T)
    best = np.array([left_out(penalty) for penalty in PENALTIES]).argmin(axis=0)
    assert best[0] < best[1]
    for output in (0, 1):
        expected = fit(x, y[:, output], PENALTIES[best[output]])
        np.testing.assert_allclose(found[:, output], expected, rtol=1e-6, atol=1e-9)


def test_a_feature_that_is_not_known_of_the_day_is_left_out_before_days_are() -> None:
    rng = np.random.default_rng(5)
    x, noise = rng.normal(size=(2, 41)), rng.normal(0, 0.01, 40)
    y = (3 * x[0, :-1] + noise)[None]
    x[1] = np.nan  # known of no day: were days left out first, none would remain
    found = fit_and_forecast(Features(x, np.full(2, 5.0), np.zeros((0, 41))), y)
    assert found is not None
    assert found[0] == pytest.approx(3 * x[0, -1], rel=0.05)
    few = Features(x[:, -10:], np.full(2, 5.0), np.zeros((0, 10)))
    assert fit_and_forecast(few, y[:, -9:]) is None


def test_of_a_feed_only_what_was_published_before_a_gate_is_known() -> None:
    """Gates close at noon of the day before."""
    noon = 12 * HOUR_MS
    rows = [
        # interval, published, value
        (DAY_MS, noon + 1, 9.0),  # corrected a moment after the gate
        (DAY_MS, noon, 2.0),
        (DAY_MS, 0, 1.0),
        (DAY_MS + HOUR_MS, 5, 3.0),
        (DAY_MS + HOUR_MS, 5, 4.0),  # published at the same time, later in the feed
        (DAY_MS + 2 * HOUR_MS, noon + 1, 9.0),  # published after the gate only
        (DAY_MS + 3 * HOUR_MS, 0, 5.0),
        (DAY_MS + 3 * HOUR_MS, 1, np.nan),  # withdrawn
        (2 * DAY_MS, DAY_MS + noon, 6.0),  # the next day's gate is a day later
    ]
    start, published, value = (np.array(column) for column in zip(*rows, strict=True))
    feed = Feed(start.astype(np.int64), published.astype(np.int64), value.astype(float))
    midnights = np.arange(4, dtype=np.int64) * DAY_MS
    known = known_before_gates(feed, midnights, noon)
    assert known.start_ms.tolist() == [DAY_MS, DAY_MS + HOUR_MS, DAY_MS + 3 * HOUR_MS, 2 * DAY_MS]
    np.testing.assert_array_equal(known.values, [2.0, 4.0, np.nan, 6.0])
    # Days that begin an hour before midnight UTC have their gate an hour earlier.
    earlier = known_before_gates(feed, midnights - HOUR_MS, noon)
    assert earlier.values[0] == 1.0
    nothing = Feed(feed.start_ms[:0], feed.published_ms[:0], value[:0])
    none = known_before_gates(nothing, midnights, noon)
    assert len(none.start_ms) == len(none.values) == 0
