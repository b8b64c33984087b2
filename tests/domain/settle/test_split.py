"""An amount is divided to the micro, whatever the order of those who have a claim."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.settle.split import MAX_AMOUNT, MAX_WEIGHT, split

AMOUNT = st.integers(-MAX_AMOUNT, MAX_AMOUNT) | st.integers(-50, 50)
WEIGHTS = st.lists(st.integers(0, 10**12) | st.integers(0, 3), min_size=1, max_size=30)


def one(amount: int, weights: list[int], ranks: list[int] | None = None) -> list[int]:
    order = np.arange(len(weights)) if ranks is None else np.array(ranks)
    parts = split(np.array([amount]), np.array([weights]), order)
    return parts[0].tolist()


def by_fractions(amount: int, weights: list[int], ranks: list[int]) -> list[int]:
    """The largest remainder as its definition says it."""
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    quotas = [Fraction(abs(amount) * weight, total) for weight in weights]
    parts = [int(quota) for quota in quotas]
    left = abs(amount) - sum(parts)
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - quotas[i], ranks[i]))
    for i in order[:left]:
        parts[i] += 1
    return [part if amount >= 0 else -part for part in parts]


@given(amount=AMOUNT, weights=WEIGHTS, data=st.data())
def test_it_is_the_method_of_the_largest_remainder(
    amount: int, weights: list[int], data: st.DataObject
) -> None:
    ranks = data.draw(st.permutations(range(len(weights))))
    found = one(amount, weights, ranks)
    assert found == by_fractions(amount, weights, ranks)
    assert sum(found) == (amount if any(weights) else 0)


@given(amount=AMOUNT, weights=WEIGHTS, data=st.data())
def test_the_order_of_the_sites_does_not_matter(
    amount: int, weights: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(weights))))
    moved = one(amount, [weights[i] for i in order], list(order))
    assert moved == [one(amount, weights)[i] for i in order]


def test_equal_claims_are_decided_by_rank() -> None:
    assert one(2, [1, 1, 1]) == [1, 1, 0]
    assert one(2, [1, 1, 1], [2, 0, 1]) == [0, 1, 1]
    assert one(-2, [1, 1, 1]) == [-1, -1, 0]


def test_the_largest_numbers_are_divided_exactly() -> None:
    weights = [MAX_WEIGHT // 3, MAX_WEIGHT // 3 + 1, MAX_WEIGHT // 3 - 1]
    assert one(MAX_AMOUNT, weights) == by_fractions(MAX_AMOUNT, weights, [0, 1, 2])


def test_an_estimate_that_is_just_below_an_integer_is_corrected() -> None:
    """In floating point, 0.29 x 100 is 28.999999999999996: the first part would be 28."""
    assert one(58, [100, 50, 50]) == [29, 15, 14]


def test_many_amounts_are_divided_at_once() -> None:
    rng = np.random.default_rng(7)
    amounts = rng.integers(-(10**9), 10**9, 24)
    weights = rng.integers(0, 5_000_000, (24, 5_000))
    weights[3] = 0
    parts = split(amounts, weights, np.arange(5_000))
    assert parts.sum(axis=1).tolist() == np.where(np.arange(24) == 3, 0, amounts).tolist()
    assert (parts[:, :] * np.sign(amounts)[:, None] >= 0).all()


@pytest.mark.parametrize(
    ("amount", "weights"),
    [(MAX_AMOUNT + 1, [1]), (1, [MAX_WEIGHT, 1]), (1, [2**62, 2**62, 2**62]), (1, [-1, 2])],
)
def test_what_could_not_be_divided_exactly_is_refused(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"exactly|negative"):
        one(amount, weights)
