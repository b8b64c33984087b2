"""A simulated device's use of prices without a command: sell in dear hours, buy in cheap ones.

A real home makes a plan instead (`edge.optimizer`), which takes some 30 ms: for a hundred thousand
simulated homes that is an hour of a core. This rule has no forecast and costs nothing.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.arrays import Floats
from edge.battery import BatterySpec, BatteryState
from edge.ladder import above_reserve
from schemas.protocol import Prices

Actions = NDArray[np.int8]
SELL, BUY, NEITHER = 1, -1, 0

_DAY_MS = 86_400_000
_MOST = 576
"""Largest number of prices in one series, by the protocol."""


@lru_cache(maxsize=64)  # a fleet gets the same series device by device
def actions(prices: Prices) -> Actions:
    """The action for each interval: `SELL` in its day's dearest quarter, `BUY` in its cheapest.

    Days are counted from the series' first price; the last may be incomplete. A price that most of
    the day has is neither expensive nor cheap.
    """
    price = np.array(prices.per_mwh)
    act = np.zeros(len(price), np.int8)
    per_day = max(_DAY_MS // prices.interval_ms, 1)
    for first in range(0, len(price), per_day):
        day = price[first : first + per_day]
        cheap, usual, dear = np.quantile(day, (0.25, 0.5, 0.75))
        is_dear, is_cheap = (day >= dear) & (day > usual), (day <= cheap) & (day < usual)
        act[first : first + per_day] = np.select([is_dear, is_cheap], [SELL, BUY])
    return act


def price_response(
    spec: BatterySpec,
    state: BatteryState,
    reserve: Floats,
    *,
    action: Actions,
    otherwise_w: Floats,
    dt_s: float,
) -> Floats:
    """Discharge in expensive intervals and charge in cheap ones, at the ratings; else as before.

    ``action`` is `SELL`, `BUY` or `NEITHER`; ``otherwise_w`` is the request without prices.
    """
    wish = np.select([action == SELL, action == BUY], [spec.discharge_w, -spec.charge_w])
    sold = above_reserve(spec, state, reserve, wish, dt_s)
    return np.where((action == SELL) | (action == BUY), sold, otherwise_w)


class KnownPrices:
    """The newest price series of each device, by row."""

    def __init__(self, rows: int) -> None:
        self._from_ms = np.zeros(rows, np.int64)
        self._interval_ms = np.ones(rows, np.int64)
        self._count = np.zeros(rows, np.int64)
        self._actions = np.zeros((rows, _MOST), np.int8)

    def take(self, row: int, prices: Prices) -> None:
        """Store a device's price series; the previous one is forgotten."""
        act = actions(prices)
        self._from_ms[row], self._interval_ms[row] = prices.from_, prices.interval_ms
        self._count[row] = len(act)
        self._actions[row, : len(act)] = act

    def action(self, now_ms: NDArray[np.int64], follows: NDArray[np.bool_]) -> Actions:
        """The action now of each device that follows its prices; `NEITHER` if none is known."""
        if not follows.any():
            return np.full(len(follows), NEITHER, np.int8)
        at = (now_ms - self._from_ms) // self._interval_ms
        known = follows & (at >= 0) & (at < self._count)
        rows = np.arange(len(at))
        return np.where(known, self._actions[rows, np.where(known, at, 0)], np.int8(NEITHER))
