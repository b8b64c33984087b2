"""What stored energy is worth: dynamic programming over a price chain.

The value of stored energy at the end of an interval depends on how much there is and on the
price of the interval (a dear evening may stay dear). From it follows at which price each MWh is
worth selling, which is what a bid curve says (`domain.market.bids`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.connection import Tie
from vpp_streams.domain.market.forecast.capacity import CapacityForecast
from vpp_streams.domain.market.forecast.process import PriceProcess
from vpp_streams.domain.market.rules import MarketRules, Storage

LEVELS = 25
"""Points of the grid of stored energy."""
_ACTIONS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
W_PER_MW = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class ValueTable:
    """Money that stored energy is expected to earn, after each of some intervals.

    ``value[t, j, k]``: after interval t, with ``stored_wh[j]`` left, had its price been
    ``prices[t, k]``.
    """

    prices: Floats
    stored_wh: Floats
    value: Floats

    def after(self, step: int, stored_wh: Floats) -> Floats:
        """Value after interval ``step`` with each of these energies, by price: (n, K)."""
        top = self.stored_wh[-1]
        at = np.clip(stored_wh / top, 0, 1) * (LEVELS - 1) if top > 0 else np.zeros(len(stored_wh))
        low = np.minimum(at.astype(int), LEVELS - 2)
        share = (at - low)[:, None]
        table = self.value[step]
        value: Floats = table[low] * (1 - share) + table[low + 1] * share
        return value

    def per_mwh(self, step: int, stored_wh: float, chances: Floats) -> float:
        """What one more MWh in store is worth after interval ``step``, expected over its price."""
        width = self.stored_wh[1] - self.stored_wh[0]
        ends = np.clip(stored_wh + np.array([-0.5, 0.5]) * width, 0.0, self.stored_wh[-1])
        low, high = self.after(step, ends) @ chances
        return float((high - low) / max(ends[1] - ends[0], 1e-9) * W_PER_MW)


def value_table(
    process: PriceProcess,
    storage: Storage,
    rules: MarketRules,
    *,
    slot: int,
    steps: int,
    keep: int,
    capacity: CapacityForecast | None = None,
    ties: Sequence[Tie] | None = None,
) -> ValueTable:
    """Value after each of the first ``keep`` of ``steps`` intervals from ``slot`` on.

    What is left after the last step is worth nothing: let ``steps`` reach beyond the next peak.
    ``ties`` are those of the steps, in a market that is metered at the connection.
    """
    stored = np.linspace(0.0, storage.energy_wh, LEVELS)
    moves = _Moves(storage, rules, stored)
    prices = process.prices_from(slot, steps)
    value = np.zeros((LEVELS, len(process.nodes)))
    kept = np.empty((keep, *value.shape))
    up, down = (capacity.up, capacity.down) if capacity else (None, None)
    for t in range(steps - 1, -1, -1):
        left = process.expectation(value)
        if t < keep:
            kept[t] = left
        if t:
            moves = moves if ties is None else _Moves(storage, rules, stored, ties[t])
            value = moves.best(left, prices[t], moves.capacity_money(up, down, t))
    return ValueTable(prices[:keep], stored, kept)


class _Moves:
    """What can be done from each stored energy, and what it earns: a row per action and energy."""

    def __init__(
        self, storage: Storage, rules: MarketRules, stored: Floats, tie: Tie | None = None
    ) -> None:
        h = rules.interval_h
        power_w = np.where(_ACTIONS > 0, storage.discharge_w, storage.charge_w) * _ACTIONS
        if tie is not None:  # to cover the net load is an action of its own
            power_w = np.clip(np.append(power_w, tie.net_w), tie.least_w, tie.most_w)
            power_w = np.clip(power_w, -storage.charge_w, storage.discharge_w)
        power_w = feasible_power(power_w[:, None], stored, storage, h)
        self._up_w, self._down_w = spare(power_w, stored, storage, rules)
        used_w = rules.reg_up_used * self._up_w - rules.reg_down_used * self._down_w
        regulated = rules.products != ("energy",)
        given_w = np.clip(
            power_w + (used_w if regulated else 0.0), -storage.charge_w, storage.discharge_w
        )
        given_w = feasible_power(given_w, stored, storage, h)
        after = stored_after(given_w, stored, storage, h)
        self._after = _between(after.ravel(), storage.energy_wh)
        self._mwh = (given_w * h / W_PER_MW).ravel()
        self._costs = storage.wear_per_mwh * np.maximum(self._mwh, 0)
        if tie is not None:
            self._costs = self._costs + tie.fees(given_w, h).ravel()
        self._hours_mw = h / W_PER_MW

    def capacity_money(self, up: Floats | None, down: Floats | None, t: int) -> Floats:
        """What the capacity beside each move earns in interval ``t``, less its wear and fees."""
        money = -self._costs
        if up is not None:
            money = money + (self._up_w * (up[t] * self._hours_mw)).ravel()
        if down is not None:
            money = money + (self._down_w * (down[t] * self._hours_mw)).ravel()
        return np.asarray(money, np.float64)

    def best(self, left: Floats, prices: Floats, beside: Floats) -> Floats:
        """Value before an interval, by stored energy and its price (one of ``prices``)."""
        worth = self._after @ left
        worth += self._mwh[:, None] * prices
        worth += beside[:, None]
        best: Floats = worth.reshape(-1, LEVELS, worth.shape[1]).max(axis=0)
        return best


def _between(after_wh: Floats, energy_wh: float) -> Floats:
    """Each stored energy as shares of the two levels beside it, shape (n, LEVELS)."""
    at = after_wh / max(energy_wh, 1e-9) * (LEVELS - 1)
    apart = np.abs(np.clip(at, 0, LEVELS - 1)[:, None] - np.arange(LEVELS))
    shares: Floats = np.maximum(1 - apart, 0.0)
    return shares


def stored_after(
    power_w: Floats, stored_wh: Floats | float, storage: Storage, hours: float
) -> Floats:
    """Stored energy after an interval at a power."""
    discharge = np.maximum(power_w, 0) / storage.discharge_efficiency
    charge = np.minimum(power_w, 0) * storage.charge_efficiency
    after: Floats = np.asarray(stored_wh - (discharge + charge) * hours)
    return after


def feasible_power(
    power_w: Floats, stored_wh: Floats | float, storage: Storage, hours: float
) -> Floats:
    """The power nearest to each wanted that the stored energy allows for the interval."""
    most = np.maximum(stored_wh, 0) * storage.discharge_efficiency / hours
    room = np.maximum(storage.energy_wh - np.asarray(stored_wh), 0)
    least = -room / storage.charge_efficiency / hours
    clipped: Floats = np.clip(power_w, least, most)
    return clipped


def spare(
    power_w: Floats, stored_wh: Floats | float, storage: Storage, rules: MarketRules
) -> tuple[Floats, Floats]:
    """Capacity up and down that is left beside a power, with the energy to sustain it, W."""
    after = stored_after(power_w, stored_wh, storage, rules.interval_h)
    least, most = np.minimum(after, stored_wh), np.maximum(after, stored_wh)
    held = np.maximum(least, 0) * storage.discharge_efficiency / rules.sustain_h
    room = np.maximum(storage.energy_wh - most, 0) / storage.charge_efficiency / rules.sustain_h
    up = np.minimum(np.maximum(storage.discharge_w - power_w, 0), held)
    down = np.minimum(np.maximum(storage.charge_w + power_w, 0), room)
    return up, down
