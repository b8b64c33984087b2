"""The forecaster learns the home's days, and knows little at first."""

import numpy as np
import pytest

from edge.optimizer.forecaster import DAYS, Forecaster

PER_DAY = 48


def load_of(step: int) -> float:
    day, slot = divmod(step, PER_DAY)
    weekend = day % 7 >= 5
    return 300.0 + (1500.0 if 36 <= slot < 42 else 0.0) + (600.0 if weekend else 0.0)


def solar_of(step: int) -> float:
    return max(3000.0 * float(np.sin((step % PER_DAY - 12) * np.pi / 24)), 0.0)


def taught(days: int, first: int = 0) -> Forecaster:
    made = Forecaster(PER_DAY)
    for step in range(first, days * PER_DAY):
        made.observe(step, load_of(step), solar_of(step))
    return made


def test_a_new_home_expects_nothing() -> None:
    outlook = Forecaster(PER_DAY).outlook(0, 72)
    assert outlook.net_w.shape[1] == 72
    assert not outlook.net_w.any()
    assert outlook.weight.sum() == pytest.approx(1.0)


def test_after_an_hour_the_rest_of_the_day_is_as_that_hour() -> None:
    made = Forecaster(PER_DAY)
    made.observe(0, 400.0, 0.0)
    made.observe(1, 400.0, 0.0)
    load, solar = made.expected(2, 72)
    np.testing.assert_allclose(load, 400.0)
    np.testing.assert_allclose(solar, 0.0)


def test_equal_days_are_expected_again() -> None:
    made = taught(24)  # day 24 is a Thursday
    load, solar = made.expected(24 * PER_DAY, PER_DAY)
    at = range(24 * PER_DAY, 25 * PER_DAY)
    assert load.mean() == pytest.approx(sum(map(load_of, at)) / PER_DAY, rel=0.2)
    assert load[37:41].min() > 1500.0
    assert load[12:30].max() < 600.0
    np.testing.assert_allclose(solar, np.array([solar_of(s) for s in at]), atol=400.0)


def test_a_weekend_is_not_as_a_working_day() -> None:
    made = taught(26)  # day 26 is a Saturday
    friday, _ = made.expected(25 * PER_DAY, PER_DAY)
    saturday, _ = made.expected(26 * PER_DAY, PER_DAY)
    assert saturday.mean() > friday.mean() + 150.0


def test_the_chances_are_chances() -> None:
    outlook = taught(10).outlook(10 * PER_DAY, 72)
    np.testing.assert_allclose(outlook.follows.sum(axis=1), 1.0)
    assert outlook.weight.sum() == pytest.approx(1.0)
    assert (outlook.follows >= 0.0).all()


def test_a_high_load_now_fades_to_the_usual() -> None:
    made = taught(14)
    now = 14 * PER_DAY
    usual, _ = made.expected(now, 48)
    for step in range(now - 6, now):
        made.observe(step, load_of(step) + 2000.0, solar_of(step))
    high, _ = made.expected(now, 48)
    above = high - usual
    assert above[0] > 800.0
    assert above[-10:].max() < 0.3 * above[0]


def test_a_cloudy_morning_lowers_the_afternoon() -> None:
    made = taught(14)
    noon = 14 * PER_DAY + 24
    for step in range(14 * PER_DAY, noon):
        made.observe(step, load_of(step), 0.2 * solar_of(step))
    _, solar = made.expected(noon, 12)
    assert solar.sum() < 0.6 * sum(solar_of(step) for step in range(noon, noon + 12))


def test_gaps_are_not_learnt_and_memory_is_bounded() -> None:
    made = taught(14)
    before, _ = made.expected(15 * PER_DAY, PER_DAY)
    for step in range(14 * PER_DAY, 15 * PER_DAY):
        made.observe(step, float("nan"), float("nan"))
    after, _ = made.expected(15 * PER_DAY, PER_DAY)
    np.testing.assert_allclose(after, before)
    for step in range(15 * PER_DAY, (16 + DAYS) * PER_DAY):
        made.observe(step, 100.0, 0.0)
    forgotten, _ = made.expected((16 + DAYS) * PER_DAY, PER_DAY)
    np.testing.assert_allclose(forgotten, 100.0)
