"""Offers from what stored energy is worth: monotone, within what can be delivered."""

import math

import numpy as np

from schemas.market import CapacityOffer, EnergyOffer, Product, Step
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.clearing import UP
from vpp_streams.domain.market.connection import Tie
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import W_PER_MW, ValueTable, feasible_power, stored_after

LEAST_W = 1.0
"""Less capacity than this is a rounding error, not an offer."""
_BETWEEN = 6
"""Prices evaluated from one node to the next."""


def energy_offer(
    table: ValueTable,
    step: int,
    chances: Floats,
    stored_wh: float,
    *,
    storage: Storage,
    rules: MarketRules,
    least_w: float,
    most_w: float,
    tie: Tie | None = None,
) -> EnergyOffer:
    """The rising offer that is expected to earn most, counting what is left in store.

    ``chances`` is how likely the interval's price is at each node. A high price may mean that a
    higher one follows, so the best power need not rise with the price; an offer must, and where
    the two differ it is right where prices are likely. ``least_w <= most_w`` bound the power;
    the stored energy bounds it further. ``tie`` is the interval's, in a market that is metered at
    the connection.
    """
    powers = _powers(least_w, most_w, stored_wh, storage, rules)
    if tie is not None:
        powers = _with_power(powers, tie.net_w)
    after = stored_after(powers, stored_wh, storage, rules.interval_h)
    mwh = powers * rules.interval_h / W_PER_MW
    costs = storage.wear_per_mwh * np.maximum(mwh, 0)
    if tie is not None:
        costs = costs + tie.fees(powers, rules.interval_h)
    prices, left, likely = _between_nodes(table.prices[step], table.after(step, after), chances)
    worth = (left + mwh[:, None] * prices - costs[:, None]) * likely
    # At floor and cap several nodes may have the same price: an offer cannot tell them apart.
    prices, first = np.unique(prices.round(4), return_index=True)
    rising = _rising(np.add.reduceat(worth, first, axis=1))
    return _as_steps(prices, powers[rising], rules)


def _between_nodes(prices: Floats, left: Floats, chances: Floats) -> tuple[Floats, Floats, Floats]:
    """Prices at and between the nodes, what is ``left`` worth there, and how likely they are.

    ``left`` has a column for each node. No price is impossible.
    """
    node = np.arange(len(prices))
    at = np.arange(_BETWEEN * node[-1] + 1) / _BETWEEN
    between = np.stack([np.interp(at, node, row) for row in left])
    return np.interp(at, node, prices), between, np.interp(at, node, chances + 1e-7)


def _rising(worth: Floats) -> list[int]:
    """The row to take in each column, never falling, so that the sum is greatest.

    Rows are few, so plain numbers are several times quicker here than arrays.
    """
    best, came_from = [0.0] * len(worth), list[list[int]]()
    for column in worth.T.tolist():
        so_far, row, rows = -math.inf, 0, list[int]()
        for at, value in enumerate(column):
            if best[at] >= so_far:
                so_far, row = best[at], at
            rows.append(row)
            best[at] = so_far + value
        came_from.append(rows)
    row, taken = best.index(max(best)), list[int]()
    for rows in reversed(came_from):
        taken.append(row)
        row = rows[row]
    return taken[::-1]


def fixed_offer(power_w: float) -> EnergyOffer:
    """This power at any price."""
    return EnergyOffer(round(power_w, 3))


def capacity_offers(
    wanted: dict[Product, float],
    offer: EnergyOffer,
    stored_wh: float,
    *,
    worth_per_mwh: float,
    price: float,
    storage: Storage,
    rules: MarketRules,
) -> tuple[CapacityOffer, ...]:
    """Capacity that can be sustained whatever of the energy offer is taken, at what it costs.

    ``wanted`` is the most of each product, W. Energy sold or bought in the interval
    comes first: capacity is offered on what is sure to be left. Its price is what its expected
    use takes out of the store or buys into it, at ``worth_per_mwh`` inside and ``price`` outside.
    """
    powers = np.array([offer.below_w, *(step.power_w for step in offer.steps)])
    after = stored_after(powers, stored_wh, storage, rules.interval_h)
    sure = max(min(float(after.min()), stored_wh), 0.0) * storage.discharge_efficiency
    room_wh = storage.energy_wh - max(float(after.max()), stored_wh)
    room = max(room_wh, 0.0) / storage.charge_efficiency
    costs = _capacity_costs(worth_per_mwh, price, storage, rules)
    offers = []
    for product in rules.products:
        if product == "energy":
            continue
        hours = rules.reserve_sustain_h if product == "reserve" else rules.sustain_h
        upwards = product in UP
        power = min(wanted.get(product, 0.0), (sure if upwards else room) / hours)
        if power >= LEAST_W:
            cost = min(max(0.0, costs.get(product, 0.0)), rules.cap)  # 0.0 first: no -0.0
            offers.append(CapacityOffer(product, round(power, 3), round(cost, 4)))
            sure -= power * hours if upwards else 0.0
            room -= 0.0 if upwards else power * hours
    return tuple(offers)


def _capacity_costs(
    worth_per_mwh: float, price: float, storage: Storage, rules: MarketRules
) -> dict[Product, float]:
    """What the expected use of each product costs, per MW and hour."""
    given = worth_per_mwh / storage.discharge_efficiency + storage.wear_per_mwh - price
    taken = price - worth_per_mwh * storage.charge_efficiency
    return {"reg_up": rules.reg_up_used * given, "reg_down": rules.reg_down_used * taken}


def _powers(
    least_w: float, most_w: float, stored_wh: float, storage: Storage, rules: MarketRules
) -> Floats:
    """Powers to choose from: even steps down to the most charge and up to the most discharge."""
    ends = np.array([least_w, most_w])
    low, high = feasible_power(ends, stored_wh, storage, rules.interval_h)
    low, high = min(low, high), max(low, high)
    half = max(rules.max_steps // 2, 1)
    rest = float(np.clip(0.0, low, high))
    powers = np.concatenate([np.linspace(low, rest, half + 1), np.linspace(rest, high, half + 1)])
    return np.unique(powers.round(3))


def _with_power(powers: Floats, power_w: float) -> Floats:
    """The powers with one of those between the ends moved to ``power_w``, where that is between."""
    if len(powers) < 3 or not powers[0] < power_w < powers[-1]:
        return powers
    moved = powers.copy()
    moved[1 + np.abs(powers[1:-1] - power_w).argmin()] = power_w
    return np.unique(moved.round(3))


def _as_steps(prices: Floats, powers: Floats, rules: MarketRules) -> EnergyOffer:
    rises = np.flatnonzero(np.diff(powers) > 0) + 1
    steps = tuple(Step(round(float(prices[i]), 4), float(powers[i])) for i in rises)
    return EnergyOffer(float(powers[0]), steps[: rules.max_steps])
