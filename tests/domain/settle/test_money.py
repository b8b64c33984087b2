"""Money is rounded once, by one rule, and never lost."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settlement import MAX_MICROS
from vpp_streams.domain.settle.money import micros_of, milli_wh, minor_units, paid_for, shares_of

AMOUNTS = st.integers(-MAX_MICROS, MAX_MICROS)


@pytest.mark.parametrize(
    ("money", "micros"),
    [(1.0, 1_000_000), (0.1, 100_000), (-0.1, -100_000), (2**-22, 0), (-2.44, -2_440_000)],
)
def test_money_becomes_the_nearest_micro(money: float, micros: int) -> None:
    assert micros_of(money) == micros


def test_a_half_becomes_the_even_micro() -> None:
    """2^-7 = 0.0078125 is stored exactly: 7 812.5 micros."""
    assert micros_of(2**-7) == 7_812
    assert micros_of(3 * 2**-7) == 23_438
    assert micros_of(-(2**-7)) == -7_812


def test_energy_that_was_not_measured_has_no_weight() -> None:
    assert milli_wh(np.array([1.2344, np.nan, -0.5])).tolist() == [1234, 0, -500]


@given(amount=AMOUNTS, millionths=st.integers(0, 1_000_000))
def test_a_share_is_exact_and_towards_nought(amount: int, millionths: int) -> None:
    (found,) = shares_of(np.array([amount]), np.array([millionths])).tolist()
    exact = Fraction(amount * millionths, 1_000_000)
    assert found == int(exact)


@given(energy=st.integers(0, 10**10), price=st.integers(-(10**8), 10**12 // 10**4))
def test_energy_at_a_price_is_the_nearest_micro(energy: int, price: int) -> None:
    (found,) = paid_for(np.array([energy]), price).tolist()
    assert found == round(Fraction(energy * price, 1_000_000))


@pytest.mark.parametrize(
    ("kwh", "price", "micros"),
    [(0.5, 1, 0), (0.5, 3, 2), (1.5, 1, 2), (2.5, 1, 2), (3.5, 1, 4), (0.5, -1, 0), (0.5, -3, -2)],
)
def test_half_a_micro_becomes_the_even_one(kwh: float, price: int, micros: int) -> None:
    assert paid_for(np.array([round(kwh * 1e6)]), price).tolist() == [micros]


@given(balance=AMOUNTS, digits=st.sampled_from([0, 2, 3]))
def test_a_payout_and_what_is_carried_are_the_balance(balance: int, digits: int) -> None:
    units, carried = minor_units(balance, digits)
    assert units * 10 ** (6 - digits) + carried == balance
    assert abs(carried) < 10 ** (6 - digits)
    assert units * balance >= 0
    assert carried * balance >= 0
