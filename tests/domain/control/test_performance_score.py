"""The performance score of regulation: known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.control.performance_score import moves, performance_score

RNG = np.random.default_rng(1)
SIGNAL = np.repeat(RNG.normal(0, 1000, 360), 10)  # an hour, a new value each 10 s


def test_a_perfect_response_scores_one() -> None:
    score = performance_score(SIGNAL, SIGNAL, 1.0)
    assert (score.accuracy, score.delay, score.precision) == pytest.approx((1, 1, 1))
    assert score.score == pytest.approx(1)
    assert score.mean_signal == pytest.approx(np.abs(SIGNAL).mean())


@pytest.mark.parametrize("delay_s", [10, 60, 300])
def test_a_late_response_is_as_accurate_and_less_precise(delay_s: int) -> None:
    late = np.concatenate((np.zeros(delay_s), SIGNAL[:-delay_s]))
    score = performance_score(SIGNAL, late, 1.0)
    assert score.delay_s == delay_s
    assert score.delay == pytest.approx(1 - delay_s / 300)
    assert score.accuracy == pytest.approx(1)
    assert score.precision < 0


def test_half_of_it_is_accurate_and_half_precise() -> None:
    score = performance_score(SIGNAL, 0.5 * SIGNAL, 1.0)
    assert (score.accuracy, score.delay, score.precision) == pytest.approx((1, 1, 0.5))


def test_no_response_scores_next_to_nothing() -> None:
    score = performance_score(SIGNAL, np.zeros_like(SIGNAL), 1.0)
    assert (score.accuracy, score.precision) == (0, 0)


@given(st.floats(1e-3, 1e9))
def test_the_unit_does_not_matter(scale: float) -> None:
    response = SIGNAL + RNG.normal(0, 50, len(SIGNAL))
    a, b = (performance_score(SIGNAL * k, response * k, 1.0).score for k in (1.0, scale))
    assert a == pytest.approx(b)


@pytest.mark.parametrize(
    ("signal", "step_s", "message"),
    [
        (np.full(3600, 99.0), 1.0, "stands still"),
        (np.zeros(3600), 1.0, "stands still"),
        (SIGNAL[:300], 1.0, "needs more than 300 s"),
        (SIGNAL, 4.0, "do not divide 10 s"),
    ],
)
def test_what_cannot_be_scored_says_why(signal: np.ndarray, step_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        performance_score(signal, signal, step_s)


def test_stuck_and_saturated_hours_do_not_move() -> None:
    hour = RNG.uniform(-99, 99, 900)
    assert moves(hour)
    assert not moves(np.full(900, 99.0))
    assert not moves(np.where(np.arange(900) < 20, hour, 99.0))
    assert not moves(hour / 50)
