"""Prices as a Markov chain: what the next interval's price may be, given this one's.

The state is the price, on a grid of nodes. A step of the chain either stays in the present
regime (`PriceProcess.stay`: counted moves from price to price) or falls back to what the time
of day is used to (`PriceProcess.by_slot`). Both are counted from history, newer counting more,
on top of a prior that knows what any market with solar power looks like: a duck curve, and
seldom a spike that comes in the evening and lasts. So the first day has a forecast too, and a
market that never had a spike is still expected to have one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import MarketRules, Prices

# fmt: off
_BASE = np.array([
    -500, -200, -100, -60, -30, -10, 10, 30, 50, 70, 90, 115, 150, 200, 260,
    330, 450, 700, 1200, 2500, 5000, 9000, 13000,
], float)
# fmt: on
"""Nodes for a typical price of 60, between the market's floor and cap."""
_SPIKES, _SPIKE_SHARE = np.array([320.0, 1000, 5000, 14000]), np.array([0.55, 0.15, 0.1, 0.2])
_DAY = 288
"""Belief's numbers are for so many intervals a day."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of prices before any is seen, and how fast what was seen is forgotten.

    The defaults were chosen on five months of the Australian market at five minutes
    (`docs/adr/0013-autobidder.md`); they are not tuned to a region.
    """

    day_keeps: float = 0.5
    """Weight of a day's prices, of that of the day after it."""
    count_keeps: float = 0.9995
    """Weight of a move from price to price, of that of the move after it."""
    prior_days: float = 0.06
    """Days of history that the prior duck curve weighs as much as."""
    prior_moves: float = 10.0
    """Moves from each node that the prior weighs as much as."""
    widen_slots: float = 4.0
    """Prices count for their neighbours in time of day, falling by e after so many slots."""
    pull: float = 0.1
    """Chance to fall back to the time of day's prices in an interval."""
    pull_dear: float = 0.01
    """As above, while prices are dear: tight evenings last."""
    dear: float = 260.0
    """From here on prices are dear (of a typical 60)."""
    very_dear: float = 800.0
    spike_from_dear: float = 0.05
    """Prior chance that a dear price is followed by a spike,"""
    spike_ends: float = 0.2
    """and that a spike moves far."""
    spikes: float = 0.004
    """Least chance of a spike out of nothing, about, in an evening's interval."""


@dataclass(frozen=True, slots=True, eq=False)
class PriceProcess:
    """The chain. K nodes, S slots of a day."""

    nodes: Floats
    """Rising prices, shape (K,)."""
    stay: Floats
    """Chance from node to node within the regime, shape (K, K), rows sum to 1."""
    by_slot: Floats
    """Chance of each node by time of day, shape (S, K), rows sum to 1."""
    pull: Floats
    """Chance to leave the regime, shape (K,)."""

    def expectation(self, value: Floats, slot: int) -> Floats:
        """Expected ``value`` (..., K) of the next interval, in ``slot``, for each price now."""
        back = value @ self.by_slot[slot % len(self.by_slot)]
        expected: Floats = value @ self.stay.T * (1 - self.pull) + back[..., None] * self.pull
        return expected

    def ahead(self, price: float | None, slot: int, steps: int) -> Floats:
        """Chance of each node in the ``steps`` intervals from ``slot`` on, shape (steps, K).

        ``price`` is that of the interval before; None = not known.
        """
        chances = np.empty((steps, len(self.nodes)))
        slots = len(self.by_slot)
        now = self.by_slot[(slot - 1) % slots] if price is None else on_nodes(price, self.nodes)[0]
        for t in range(steps):
            back = self.by_slot[(slot + t) % slots] * (now @ self.pull)
            now = (now * (1 - self.pull)) @ self.stay + back
            chances[t] = now
        return chances

    def mean(self, chances: Floats) -> Floats:
        """Expected prices of `ahead`'s answer, shape (steps,)."""
        mean: Floats = chances @ self.nodes
        return mean

    def quantile(self, chances: Floats, q: float) -> Floats:
        """The price that is not passed with chance ``q``, shape (steps,), between nodes."""
        reached = np.cumsum(chances, axis=1) - chances / 2
        return np.array([float(np.interp(q, row, self.nodes)) for row in reached])


def on_nodes(price: Floats | float, nodes: Floats) -> Floats:
    """Prices as shares of the two nodes beside them, shape (n, K)."""
    prices = np.clip(np.atleast_1d(np.asarray(price, float)), nodes[0], nodes[-1])
    low = np.clip(np.searchsorted(nodes, prices, side="right") - 1, 0, len(nodes) - 2)
    share = (prices - nodes[low]) / (nodes[low + 1] - nodes[low])
    shares = np.zeros((len(prices), len(nodes)))
    rows = np.arange(len(prices))
    shares[rows, low] = 1 - share
    shares[rows, low + 1] += share
    return shares


def price_nodes(rules: MarketRules) -> Floats:
    """The grid of prices for a market: fine where prices usually are, from floor to cap."""
    scaled = _BASE * (rules.typical_price / 60.0)
    inside = scaled[(scaled > rules.floor) & (scaled < rules.cap)]
    return np.concatenate([[rules.floor], inside, [rules.cap]]).astype(float)


def slot_of(start_ms: NDArray[np.int64] | int, rules: MarketRules) -> NDArray[np.int64]:
    """Time of day as the number of an interval."""
    return np.asarray(start_ms, np.int64) // rules.interval_ms % rules.day_slots


def fit_process(history: Prices, rules: MarketRules, belief: Belief | None = None) -> PriceProcess:
    """The chain as history tells it; with none, the prior. Unknown prices are left out."""
    belief = belief or Belief()
    nodes = price_nodes(rules)
    known = np.isfinite(history.energy)
    start_ms, shares = history.start_ms[known], on_nodes(history.energy[known], nodes)
    scale = rules.typical_price / 60.0
    pull = np.where(nodes >= belief.dear * scale, belief.pull_dear, belief.pull)
    pace = _DAY / rules.day_slots
    return PriceProcess(
        nodes=nodes,
        stay=_moves(start_ms, shares, nodes / scale, rules, belief),
        by_slot=_by_slot(start_ms, shares, nodes, rules, belief),
        pull=1 - (1 - pull) ** pace,
    )


def _moves(
    start_ms: NDArray[np.int64], shares: Floats, base: Floats, rules: MarketRules, belief: Belief
) -> Floats:
    """Chance from node to node, counted over neighbouring intervals."""
    counts = belief.prior_moves * _prior_moves(base, belief)
    if len(start_ms) > 1:
        follows = np.diff(start_ms) == rules.interval_ms
        weight = belief.count_keeps ** np.arange(len(start_ms) - 2, -1, -1) * follows
        counts = counts + (shares[:-1] * weight[:, None]).T @ shares[1:]
    chances: Floats = counts / counts.sum(axis=1, keepdims=True)
    return chances


def _prior_moves(base: Floats, belief: Belief) -> Floats:
    index = np.arange(len(base))
    near = np.exp(-np.abs(index[:, None] - index) / 0.35)
    near /= near.sum(axis=1, keepdims=True)
    very = base >= belief.very_dear
    dear = (base >= belief.dear) & ~very
    spike = on_nodes(_SPIKES[1:], base).mean(axis=0)
    calmer = on_nodes(_SPIKES[:1], base)[0]
    ends, begins = belief.spike_ends, belief.spike_from_dear
    near[very] = (1 - ends) * near[very] + ends * (0.6 * spike + 0.4 * calmer)
    near[dear] = (1 - begins) * near[dear] + begins * spike
    moves: Floats = near
    return moves


def _by_slot(
    start_ms: NDArray[np.int64], shares: Floats, nodes: Floats, rules: MarketRules, belief: Belief
) -> Floats:
    """Chance of each node by time of day: newer days count more, neighbours in time count too."""
    slots = rules.day_slots
    counts = np.zeros((slots, len(nodes)))
    if len(start_ms):
        day = start_ms // (rules.interval_ms * slots)
        _, age = np.unique(-day, return_inverse=True)  # days without prices do not count
        np.add.at(counts, slot_of(start_ms, rules), shares * (belief.day_keeps**age)[:, None])
    widened = _widen(counts, belief.widen_slots * slots / _DAY)
    usual, spike = _prior_by_slot(nodes, rules, belief)
    weight = widened + belief.prior_days * usual * (
        widened.sum() / counts.sum() if len(start_ms) else 1
    )
    chances = weight / weight.sum(axis=1, keepdims=True)
    mixed: Floats = chances * (1 - spike.sum(axis=1, keepdims=True)) + spike
    return mixed


def _widen(counts: Floats, width: float) -> Floats:
    """Circular smoothing along the slots by exp(-|distance| / width), up to 9/4 of the width."""
    reach = min(int(width * 9 / 4), (len(counts) - 1) // 2)
    widened = counts.copy()
    for off in range(1, reach + 1):
        share = np.exp(-off / width)
        widened += share * (np.roll(counts, off, axis=0) + np.roll(counts, -off, axis=0))
    return widened


def _prior_by_slot(nodes: Floats, rules: MarketRules, belief: Belief) -> tuple[Floats, Floats]:
    """Usual prices of each slot (rows sum to 1), and spikes that always may come."""
    hour: Floats = np.arange(rules.day_slots) * np.float64(24 / rules.day_slots)
    scale = rules.typical_price / 60.0
    morning, noon, evening = ((7.5, 1.5), (12.5, 2.8), (18.5, 2.0))
    duck = 60 + 25 * _bell(hour, *morning) - 45 * _bell(hour, *noon) + 60 * _bell(hour, *evening)
    spread = (-36.0, -12.0, 0.0, 12.0, 36.0)
    usual = np.mean([on_nodes((duck + off) * scale, nodes) for off in spread], axis=0)
    tail = _SPIKE_SHARE @ on_nodes(_SPIKES * scale, nodes)
    often = belief.spikes * (0.3 + 1.4 * _bell(hour, 18, 2.0) + 0.4 * _bell(hour, 7.5, 1.0))
    return usual, often[:, None] * tail


def _bell(hour: Floats, at: float, width: float) -> Floats:
    bell: Floats = np.exp(-(((hour - at) / width) ** 2))
    return bell
