"""Prices as a Markov chain: what the next interval's price may be, given this one's.

The state is how far a price is from the usual one of its time of day (`day_pattern`):
z = asinh(distance / scale), on a grid of nodes. So a node's price differs from slot to slot, while
the chances of moves between nodes (`moves`) are the same all day. Both are learned from history,
newer counting more, on top of a prior that knows what any market with solar power looks like: a
duck curve, and seldom a spike. So the first day has a forecast too, and a market that never had a
spike is still expected to have one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.forecast.day_pattern import day_pattern
from vpp_streams.domain.market.forecast.moves import move_chances, on_nodes
from vpp_streams.domain.market.forecast.series import NOTHING_KNOWN, Series
from vpp_streams.domain.market.rules import MarketRules, Prices

_INSIDE = np.concatenate(
    [np.arange(-5.0, -2.5, 0.5), np.arange(-2.5, 2.5, 0.25), np.arange(2.5, 8.5, 0.5)]
)
"""Nodes between those of the market's floor and cap: fine where prices usually are."""
_LEAST_GAP = 0.1
_MOST_DAYS = 60
"""Days of history that are used at most; older ones would hardly count."""


@dataclass(frozen=True, slots=True, eq=False)
class PriceProcess:
    """The chain. K nodes, S slots of a day."""

    nodes: Floats
    """Rising values of z, shape (K,)."""
    usual: Floats
    """Usual price of each slot, shape (S,)."""
    scale: float
    prices: Floats
    """Price of each node in each slot, shape (S, K), rows do not fall: from floor to cap."""
    moves: Floats
    """Chance from node to node, shape (K, K), rows sum to 1."""

    def expectation(self, value: Floats) -> Floats:
        """Expected ``value`` (..., K) of the next interval, for each node now."""
        expected: Floats = value @ self.moves.T
        return expected

    def ahead(self, price: float | None, slot: int, steps: int) -> Floats:
        """Chance of each node in the ``steps`` intervals from ``slot`` on, shape (steps, K).

        ``price`` is that of the interval before; None = not known.
        """
        slots = len(self.usual)
        if price is None:
            now = on_nodes(0.0, self.nodes)[0] @ np.linalg.matrix_power(self.moves, slots)
        else:
            apart = price - self.usual[(slot - 1) % slots]
            now = on_nodes(np.arcsinh(apart / self.scale), self.nodes)[0]
        chances = np.empty((steps, len(self.nodes)))
        for t in range(steps):
            now = now @ self.moves
            chances[t] = now
        return chances

    def prices_from(self, slot: int, steps: int) -> Floats:
        """Price of each node in the ``steps`` intervals from ``slot`` on, shape (steps, K)."""
        found: Floats = self.prices[(slot + np.arange(steps)) % len(self.prices)]
        return found


def expected_price(chances: Floats, prices: Floats) -> Floats:
    """Expected prices, shape (steps,), from the chances and prices of nodes, (steps, K) each."""
    mean: Floats = (chances * prices).sum(axis=1)
    return mean


def price_quantile(chances: Floats, prices: Floats, q: float) -> Floats:
    """The price that is not passed with chance ``q``, shape (steps,), between nodes."""
    reached = np.cumsum(chances, axis=1) - chances / 2
    row = np.arange(len(reached))
    # The last node that is reached with chance q or less, and the next; as `np.interp` does it.
    node = np.clip((reached <= q).sum(axis=1) - 1, 0, reached.shape[1] - 2)
    left, right = reached[row, node], reached[row, node + 1]
    low, high = prices[row, node], prices[row, node + 1]
    slope = (high - low) / np.maximum(right - left, 1e-300)
    between: Floats = low + slope * (np.clip(q, left, right) - left)
    return between


def slot_of(start_ms: NDArray[np.int64] | int, rules: MarketRules) -> NDArray[np.int64]:
    """Time of day as the number of an interval."""
    return np.asarray(start_ms, np.int64) // rules.interval_ms % rules.day_slots


def fit_process(
    history: Prices, rules: MarketRules, published: Series = NOTHING_KNOWN
) -> PriceProcess:
    """The chain as history shows it; with none, the prior. Unknown prices are left out.

    ``published`` prices are the usual ones of their intervals, from that of the newest known
    price on for a day.
    """
    lately = history.cut(slice(-_MOST_DAYS * rules.day_slots, None))
    known = np.isfinite(lately.energy)
    numbers, first = np.unique(lately.start_ms[known] // rules.interval_ms, return_index=True)
    pattern = day_pattern(numbers, lately.energy[known][first], rules)
    usual = _with_published(pattern.usual, numbers, published, rules)
    nodes = _nodes(pattern.scale, rules)
    z = np.arcsinh(pattern.residual / pattern.scale)
    prices = np.clip(usual[:, None] + pattern.scale * np.sinh(nodes), rules.floor, rules.cap)
    prices[:, 0], prices[:, -1] = rules.floor, rules.cap
    return PriceProcess(
        nodes=nodes,
        usual=usual,
        scale=pattern.scale,
        prices=prices,
        moves=move_chances(z, np.diff(numbers) == 1, nodes, pattern, rules),
    )


def _with_published(usual: Floats, numbers: Ints, published: Series, rules: MarketRules) -> Floats:
    """Usual prices of the slots, replaced by the published ones of the coming day."""
    of_interval = published.start_ms // rules.interval_ms
    # The newest price is part of the day: what is unusual about it is its distance from what was
    # published for it.
    apart = of_interval - (numbers[-1] if len(numbers) else of_interval[:1])
    coming = (apart >= 0) & (apart < rules.day_slots) & np.isfinite(published.values)
    replaced = usual.copy()
    replaced[of_interval[coming] % rules.day_slots] = np.clip(
        published.values[coming], rules.floor, rules.cap
    )
    return replaced


def _nodes(scale: float, rules: MarketRules) -> Floats:
    """The grid of z for a market: from its floor to its cap, at a typical price."""
    ends = np.array([rules.floor, rules.cap]) - rules.typical_price
    low, high = np.arcsinh(ends / scale)
    from_ends = np.minimum(_INSIDE - low, high - _INSIDE)
    inside = _INSIDE[from_ends > _LEAST_GAP]
    return np.concatenate([[low], inside, [high]])
