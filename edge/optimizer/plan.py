"""The plan: what stored energy is worth by step, and the power that follows from it.

A dynamic programme over the stored energy. Going backward from the end, the cost from a step on is
the least over the battery's powers, in expectation over scenarios of the net load, because the home
sees its actual load before it chooses. Between levels the cost is linear. Nothing is assumed about
the prices: negative ones, and sales above purchases, are solved as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge.arrays import Floats
from edge.optimizer.home import Home, Tariff
from edge.optimizer.step import bends_w, change_wh, cost, limits_w, terminal_w

LEVELS = 61
"""Levels of stored energy between the reserve and full, if nothing else is requested."""
_DAY_S = 86_400.0
_NOISE_WH = 1e-6
"""Energies and powers closer than this are the same."""
_TIE = 1e-12
"""Costs closer than this are the same: the power nearest to the net load is taken then."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the home's net load (load less solar power) may be: a Markov chain of scenarios."""

    net_w: Floats
    """W, shape (scenarios, steps)."""
    weight: Floats
    """Probability of each scenario in the first step; the sum is 1."""
    follows: Floats
    """Probability that a scenario (row) is followed by another (column) in the next step."""


def certain(net_w: Floats) -> Outlook:
    """The outlook that expects this net load and no other."""
    return Outlook(net_w[None], np.ones(1), np.ones((1, 1)))


@dataclass(frozen=True, slots=True)
class Plan:
    """The cost that is still to come, by step and stored energy."""

    home: Home
    tariff: Tariff
    stored_wh: Floats
    """The levels: stored energy from the reserve to full, Wh, shape (levels,)."""
    to_come: Floats
    """Cost from the start of each step, and from the end, to come; shape (steps + 1, levels)."""

    @property
    def steps(self) -> int:
        """Number of planned steps; fewer than the tariff's if its prices end earlier."""
        return len(self.to_come) - 1

    def power_w(
        self, at: float, soc: float, load_w: float, solar_w: float, *, hold_s: float
    ) -> float:
        """The best power for the next ``hold_s`` with this load and solar power, W, + = discharge.

        ``at`` counts steps from the plan's start, with the part of the present one (3.5 = half of
        the fourth is over). At and below the reserve, the battery only charges or rests. Beyond the
        plan's end, the answer is self-consumption. What is not measured is NaN: then the battery
        rests.
        """
        home, low, high = self.home, self.stored_wh[0], self.stored_wh[-1]
        if high - low <= _NOISE_WH or not np.isfinite(soc + load_w + solar_w):
            return 0.0
        now_wh = float(np.clip(soc * home.energy_wh, low, high))
        net = np.array(load_w - solar_w)
        bends = change_wh(home, bends_w(home, net), hold_s)
        reach = np.concatenate([bends, self.stored_wh - now_wh])
        reach = np.clip(reach, max(bends.min(), low - now_wh), min(bends.max(), high - now_wh))
        power = terminal_w(home, reach, hold_s)
        if at >= self.steps:
            return float(np.clip(net, power.min(), power.max()))
        buy, sell = self.tariff.buy[int(at)], self.tariff.sell[int(at)]
        after = self._to_come_at(at + hold_s / self.tariff.step_s)
        total = cost(home, power, net, buy=buy, sell=sell, hold_s=hold_s)
        total = total + np.interp(now_wh + reach, self.stored_wh, after)
        best = np.flatnonzero(total <= total.min() + _TIE)
        return float(power[best[np.argmin(np.abs(power[best] - net))]])

    def _to_come_at(self, at: float) -> Floats:
        """Cost to come by level at a time between two rows, or at the end if it is later."""
        at = min(at, self.steps)
        row = min(int(at), self.steps - 1)
        part = at - row
        between: Floats = (1.0 - part) * self.to_come[row] + part * self.to_come[row + 1]
        return between


@dataclass(frozen=True, slots=True)
class _Moves:
    """What each step's scenarios cost, for all moves between levels and at the bends of cost.

    Shapes: steps, scenarios, and then moves or bends.
    """

    stored_wh: Floats
    between: Floats
    """Cost of moving by a number of levels, from the most discharge to the most charge."""
    down: int
    """Levels of the largest discharge."""
    bend_wh: Floats
    """Change of stored energy at each bend."""
    bend: Floats
    """Its cost."""


def plan(
    home: Home,
    tariff: Tariff,
    outlook: Outlook,
    *,
    end_per_kwh: float | None = None,
    levels: int = LEVELS,
) -> Plan:
    """Plan the steps whose prices and net load are known.

    ``end_per_kwh`` is what a stored kWh is worth at the end. Without it, stored energy is worth
    what it is a day before the end; in a plan shorter than a day, the mean purchase price.
    """
    steps = min(tariff.known_steps, outlook.net_w.shape[1])
    stored = np.linspace(home.energy_wh - home.usable_wh, home.energy_wh, levels)
    if home.usable_wh <= _NOISE_WH or not steps:
        return Plan(home, tariff, stored, np.zeros((steps + 1, levels)))
    moves = _moves(home, tariff, outlook.net_w[:, :steps], stored)
    worth = end_per_kwh
    if worth is None:
        worth = max(float(tariff.buy[:steps].mean()) * home.discharge_efficiency, 0.0)
    end = np.tile(-worth * (stored - stored[0]) / 1e3, (len(outlook.net_w), 1))
    day = round(_DAY_S / tariff.step_s)
    if end_per_kwh is None and steps >= day:
        *_, end = _backward(moves, outlook.follows, end, range(steps - day, steps))
        end = end - end[:, :1]
    to_come = np.zeros((steps + 1, levels))
    # What is likely at the start of a step, before its own net load is known.
    likely = [outlook.weight]
    for _ in range(steps):
        likely.append(likely[-1] @ outlook.follows)
    to_come[-1] = likely[-1] @ end
    for step, by_scenario in zip(
        range(steps - 1, -1, -1), _backward(moves, outlook.follows, end, range(steps)), strict=True
    ):
        to_come[step] = likely[step] @ by_scenario
    return Plan(home, tariff, stored, to_come)


def _moves(home: Home, tariff: Tariff, net_w: Floats, stored_wh: Floats) -> _Moves:
    """All moves of all steps, with inf for the cost of one that the limits forbid."""
    hold_s, net = tariff.step_s, net_w.T[:, :, None]
    buy, sell = (price[: len(net), None, None] for price in (tariff.buy, tariff.sell))
    level_wh = stored_wh[1] - stored_wh[0]
    ratings = change_wh(home, np.array([home.discharge_w, -home.charge_w]), hold_s)
    down, up = (int(x) for x in np.abs(ratings) / level_wh + _NOISE_WH)
    down, up = min(down, len(stored_wh) - 1), min(up, len(stored_wh) - 1)
    power = terminal_w(home, np.arange(-down, up + 1) * level_wh, hold_s)
    least, most = limits_w(home, net)
    allowed = (power >= least - _NOISE_WH) & (power <= most + _NOISE_WH)
    money = cost(home, power, net, buy=buy, sell=sell, hold_s=hold_s)
    bend_w = np.moveaxis(bends_w(home, net[..., 0]), 0, -1)
    return _Moves(
        stored_wh,
        between=np.where(allowed, money, np.inf),
        down=down,
        bend_wh=change_wh(home, bend_w, hold_s),
        bend=cost(home, bend_w, net, buy=buy, sell=sell, hold_s=hold_s),
    )


def _backward(moves: _Moves, follows: Floats, end: Floats, steps: range) -> Iterator[Floats]:
    """Cost to come by scenario and level at the start of each of these steps, the last first.

    ``end`` is what it is after the last of them.
    """
    stored, width = moves.stored_wh, moves.between.shape[2]
    low, high = stored[0] - _NOISE_WH, stored[-1] + _NOISE_WH
    level_wh = stored[1] - stored[0]
    scenario = np.arange(len(follows))[:, None, None]
    padded = np.full((len(follows), len(stored) + width - 1), np.inf)
    inside = slice(moves.down, moves.down + len(stored))
    to_come = end
    for step in reversed(steps):
        after = follows @ to_come
        padded[:, inside] = after
        ways = sliding_window_view(padded, width, axis=1)
        least = (moves.between[step][:, None, :] + ways).min(axis=2)
        ends = stored + moves.bend_wh[step][:, :, None]
        at = np.clip((ends - stored[0]) / level_wh, 0.0, len(stored) - 1 - 1e-9)
        row = at.astype(np.intp)
        below, above = after[scenario, row], after[scenario, row + 1]
        at_bends = below + (at - row) * (above - below) + moves.bend[step][:, :, None]
        at_bends[(ends < low) | (ends > high)] = np.inf
        to_come = np.minimum(least, at_bends.min(axis=1))
        yield to_come
