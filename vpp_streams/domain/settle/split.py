"""Divides amounts by weights so that the parts add up exactly: the method of the largest remainder.

Each part is the weight's quota without its fraction; the micros that are left go one each to the
largest fractions. Where fractions are equal, the site with the lower rank is first, so the result
depends neither on the order of the sites nor on the machine.
"""

import numpy as np

from vpp_streams.domain.arrays import Ints

MAX_AMOUNT = 10**15
MAX_WEIGHT = 2**60
"""Largest sum of the weights of one amount."""


def split(amounts: Ints, weights: Ints, ranks: Ints) -> Ints:
    """Parts of each amount, shape (amounts, sites): row k adds up to ``amounts[k]``.

    ``weights`` are >= 0, shape (amounts, sites); ``ranks`` are those of the sites, all different.
    The parts of a negative amount are those of the positive one, negative. An amount without any
    weight is not divided: its parts are 0. Raises `ValueError` for numbers beyond `MAX_AMOUNT` or
    `MAX_WEIGHT`, for which the arithmetic would not be exact.
    """
    parts = np.zeros(weights.shape, np.int64)
    for amount, own, found in zip(amounts.tolist(), weights, parts, strict=True):
        found[:] = _one(abs(amount), own, ranks)
        if amount < 0:
            np.negative(found, out=found)
    return parts


def _one(amount: int, weights: Ints, ranks: Ints) -> Ints:
    total = _total(weights)
    if amount > MAX_AMOUNT or total > MAX_WEIGHT:
        raise ValueError(f"{amount} micros over a weight of {total} is too much to divide exactly")
    if not total:
        return np.zeros(len(weights), np.int64)
    # The estimate is off by less than 2. The remainder, computed modulo 2^64 like all int64, is
    # therefore small and exact, and corrects it.
    parts = (weights.astype(np.float64) * (amount / total)).astype(np.int64)
    with np.errstate(over="ignore"):
        rest = weights * np.int64(amount) - parts * np.int64(total)
    correction, rest = np.divmod(rest, np.int64(total))
    parts += correction
    left = amount - int(parts.sum())
    if left:
        parts[_largest(rest, left, ranks)] += 1
    return parts


def _total(weights: Ints) -> int:
    if len(weights) and int(weights.min()) < 0:
        raise ValueError("a weight is negative")
    about = float(weights.astype(np.float64).sum())
    return int(about) if about > 2 * MAX_WEIGHT else int(weights.sum())


def _largest(values: Ints, count: int, ranks: Ints) -> Ints:
    """Where the ``count`` largest values are; of equal ones those with the lowest ranks."""
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > threshold)
    equal = np.flatnonzero(values == threshold)
    missing = count - len(above)
    if missing < len(equal):
        equal = equal[np.argsort(ranks[equal], kind="stable")[:missing]]
    return np.concatenate([above, equal])
