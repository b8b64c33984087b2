"""Compiled and numpy's form of what devices give at a price: the same to the last bit."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.allocation_problems import random_problem
from tests.support.compiled_kernels import compiled
from vpp_streams.domain.control.curves import NO_WEIGHT, Problem, curves, effective_bounds
from vpp_streams.domain.control.two_passes import costs

SIZES = (0, 1, 3, 255, 256, 257, 1_000)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", range(10))
def test_powers_at_a_price_are_the_same_bits(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = random_problem(n, rng)
    both, power_w = curves(one), np.empty(n)
    kinks = np.concatenate((both.ramps.first, both.ramps.last, [0.0]))
    for price in (*rng.choice(kinks, 5).tolist(), *rng.normal(0.0, 2.0, 5).tolist()):
        compiled().powers_at(*costs(one), NO_WEIGHT, price, power_w)
        np.testing.assert_array_equal(power_w, both.at(price))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", range(10))
def test_a_survey_is_what_the_curves_say(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = random_problem(n, rng)
    both = curves(one)
    low, high = np.sort(rng.normal(0.0, 0.5, 2)).tolist()
    rows = np.full(n, -1, np.int64)
    *sums, kinked = compiled().survey(*costs(one), NO_WEIGHT, low, high, rows)
    ramps = both.ramps
    inside = [(kink > low) & (kink < high) for kink in (ramps.first, ramps.last)]
    other = (inside[0] | inside[1]).reshape(2, n).any(axis=0)
    straight = ~np.tile(other, 2)
    through = straight & (ramps.first <= low) & (ramps.last >= high)
    span = ramps.span()
    wanted = (
        both.least_w.sum(),
        both.most_w.sum(),
        *span,
        ramps.risen_w(low)[straight].sum(),
        ramps.slope[through].sum(),
    )
    np.testing.assert_allclose(sums, wanted, rtol=1e-12, atol=1e-12)
    assert rows[:kinked].tolist() == np.flatnonzero(other).tolist()
    assert (rows[kinked:] == -1).all()


def test_effective_bounds_are_those_of_the_curves() -> None:
    one = random_problem(500, np.random.default_rng(1))
    both = curves(one)
    least_w, most_w = effective_bounds(one)
    np.testing.assert_array_equal(least_w, both.least_w)
    np.testing.assert_array_equal(most_w, both.most_w)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["least_w", "most_w", "weight_up", "weight_down", "wear", "stick", "held_w"]
)
def test_what_numpy_refuses_has_no_finite_height(name: str, value: float) -> None:
    one = random_problem(600, np.random.default_rng(2))
    column = getattr(one, name).copy()
    column[[5, 300, 599]] = value
    odd: Problem = replace(one, **{name: column})
    try:
        curves(odd)
        refused = False
    except ValueError:
        refused = True
    found = compiled().survey(*costs(odd), NO_WEIGHT, -0.1, 0.1, np.empty(600, np.int64))
    assert np.isfinite(found[:5]).all() == (not refused)


def test_rows_beyond_the_room_are_counted_and_not_written() -> None:
    one = random_problem(2_000, np.random.default_rng(3))
    rows = np.full(10, -1, np.int64)
    *_, kinked = compiled().survey(*costs(one), NO_WEIGHT, -1e9, 1e9, rows[:5])
    assert kinked > 5
    assert (rows[:5] >= 0).all()
    assert (rows[5:] == -1).all()


def test_columns_of_different_lengths_are_refused() -> None:
    one = random_problem(10, np.random.default_rng(4))
    columns = [*costs(one)]
    columns[3] = columns[3][:9]
    with pytest.raises(ValueError, match="shorter"):
        compiled().powers_at(*columns, NO_WEIGHT, 0.0, np.empty(10))
    with pytest.raises(ValueError, match="shorter"):
        compiled().powers_at(*costs(one), NO_WEIGHT, 0.0, np.empty(9))
