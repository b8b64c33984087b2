"""Chances of a price to move, counted from the moves of the past on top of a prior.

Prices are residuals z on nodes (`process` defines both). Nodes that were seldom visited borrow from
the others: the prior of a move is a fall back towards the usual price as fast as all moves on its
side of it showed. Only in a market that was dear lately do dear prices last, and lead to spikes:
waiting for a spike pays where supply is tight, and costs the day's earnings where it is not.
"""

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.day_pattern import DAY, DayPattern, price_unit
from vpp_streams.domain.market.rules import MarketRules

_COUNT_KEEPS = 0.9997
"""Weight of a move, of that of the move after it."""
_PRIOR_MOVES = 20.0
"""Moves from each node that the prior weighs as much as."""
_KEEPS, _SPREAD, _POOL_MOVES = 0.97, 0.2, 20.0
"""Prior share of z that is left after an interval, standard deviation of its move, and the moves
that these weigh as much as, from z = 1."""
_FARTHEST, _LARGEST = 4.0, 1.0
"""Residuals and surprises count no more than these for the learned share and deviation."""
_TIGHT_KEEPS = 0.99
"""Share of z that is left after an interval where a price is dear and supply tight."""
_DEAR, _VERY_DEAR = 111.0, 675.0
"""Distances above the usual price from which on a price is dear, and very dear (a spike)."""
_TIGHT_SHARE = 0.01
"""Share of dear prices at which supply is tight with chance 1/2."""
_SPIKE_BEGINS = 0.12
"""Chance that a dear price is followed by a spike where supply is tight."""
_SPIKE_FROM_NOTHING = 0.0002
_SPIKE_GROWS, _SPIKE_FALLS = 0.12, 0.1
"""Chances that a very dear price becomes another spike, or falls to a dear price."""
_SPIKES, _SPIKE_SHARE = np.array([320.0, 1000, 5000, 14000]), np.array([0.55, 0.15, 0.15, 0.15])
"""Prices that a spike may have, and how often."""


def move_chances(
    z: Floats, follows: NDArray[np.bool_], nodes: Floats, pattern: DayPattern, rules: MarketRules
) -> Floats:
    """Chance from node to node in an interval, shape (K, K), rows sum to 1.

    ``z`` are known residuals in order of time; ``follows`` (one less) tells where the next one is
    of the next interval.
    """
    pace = DAY / rules.day_slots
    age = np.arange(len(follows) - 1, -1, -1.0)
    weight = np.asarray(_COUNT_KEEPS ** (pace * age) * follows, np.float64)
    counts = _PRIOR_MOVES * _prior(_pooled(z, weight, pace), nodes, pattern, rules)
    if len(follows):
        shares = on_nodes(z, nodes)
        counts = counts + (shares[:-1] * weight[:, None]).T @ shares[1:]
    chances = counts / counts.sum(axis=1, keepdims=True)
    from_nothing = 1 - (1 - _SPIKE_FROM_NOTHING) ** pace
    spike = _SPIKE_SHARE @ _spikes(nodes, pattern, rules)
    moves: Floats = (1 - from_nothing) * chances + from_nothing * spike
    return moves


def on_nodes(z: Floats | float, nodes: Floats) -> Floats:
    """Values as shares of the two nodes beside them, shape (n, K)."""
    inside = np.clip(np.atleast_1d(np.asarray(z, float)), nodes[0], nodes[-1])
    low = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(nodes) - 2)
    share = (inside - nodes[low]) / (nodes[low + 1] - nodes[low])
    shares = np.zeros((len(inside), len(nodes)))
    rows = np.arange(len(inside))
    shares[rows, low] = 1 - share
    shares[rows, low + 1] += share
    return shares


def _pooled(z: Floats, weight: Floats, pace: float) -> tuple[float, float, float]:
    """Share of z that is left after a move, below and above 0, and the moves' deviation."""
    keeps, spread = _KEEPS**pace, _prior_spread(pace)
    if not len(weight):
        return keeps, keeps, spread
    near = np.clip(z, -_FARTHEST, _FARTHEST)
    before, after = near[:-1], near[1:]

    def kept(side: Floats) -> float:
        prior, square = _POOL_MOVES * keeps, float((side * before**2).sum())
        return float(
            np.clip((prior + (side * before * after).sum()) / (_POOL_MOVES + square), 0, 1)
        )

    below, above = kept(weight * (before < 0)), kept(weight * (before > 0))
    surprise = np.clip(after - np.where(before > 0, above, below) * before, -_LARGEST, _LARGEST)
    squares = _POOL_MOVES * spread**2 + float((weight * surprise**2).sum())
    return below, above, float(np.sqrt(squares / (_POOL_MOVES + weight.sum())))


def _prior_spread(pace: float) -> float:
    """Deviation of the prior's moves in an interval that is ``pace`` times five minutes long."""
    return float(_SPREAD * np.sqrt((1 - _KEEPS ** (2 * pace)) / (1 - _KEEPS**2)))


def _prior(
    pooled: tuple[float, float, float], nodes: Floats, pattern: DayPattern, rules: MarketRules
) -> Floats:
    """Chances that the counts are added to, shape (K, K)."""
    below, above, spread = pooled
    pace, unit = DAY / rules.day_slots, price_unit(rules)
    moves = _towards(np.where(nodes > 0, above, below) * nodes, nodes, spread)
    distance = pattern.scale * np.sinh(nodes)
    very = distance >= _VERY_DEAR * unit
    dear = (distance >= _DEAR * unit) & ~very
    tight = pattern.dear_share / (pattern.dear_share + _TIGHT_SHARE)
    spikes = _spikes(nodes, pattern, rules)
    lasting = _towards(_TIGHT_KEEPS**pace * nodes, nodes, _prior_spread(pace))
    begins = (1 - _SPIKE_BEGINS) * lasting[dear] + _SPIKE_BEGINS * (_SPIKE_SHARE @ spikes)
    goes_on = (1 - _SPIKE_GROWS - _SPIKE_FALLS) * lasting[very]
    goes_on += _SPIKE_GROWS * spikes[1:].mean(axis=0) + _SPIKE_FALLS * spikes[0]
    moves[dear] = tight * begins + (1 - tight) * moves[dear]
    moves[very] = tight * goes_on + (1 - tight) * moves[very]
    return moves


def _towards(goal: Floats, nodes: Floats, spread: float) -> Floats:
    """Normal moves to a goal for each node, shape (K, K), rows sum to 1."""
    width = np.gradient(nodes)
    # A spread far below the nodes' distance would leave some rows without any chance.
    at_least = np.maximum(spread, 0.4 * width)[:, None]
    near = np.exp(-(((nodes - goal[:, None]) / at_least) ** 2) / 2) * width
    towards: Floats = near / near.sum(axis=1, keepdims=True)
    return towards


def _spikes(nodes: Floats, pattern: DayPattern, rules: MarketRules) -> Floats:
    """Each spike's price on the nodes, shape (spikes, K)."""
    price = np.minimum(_SPIKES * price_unit(rules), rules.cap)
    return on_nodes(np.arcsinh((price - rules.typical_price) / pattern.scale), nodes)
