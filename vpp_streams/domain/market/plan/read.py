"""From a solved programme's columns to a plan."""

from dataclasses import dataclass

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.lp import Bounds, Shape
from vpp_streams.domain.market.plan.problem import Slack
from vpp_streams.domain.market.plan.tidy import CAPACITY, Tidy

TOLERANCE = 1e-6
"""Of the storage's energy (per hour): less is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanColumns:
    """A solution in the programme's units, by kind."""

    charge: Floats
    discharge: Floats
    capacity: dict[Product, Floats]
    """0 for products that are not planned."""
    stored: Floats


def columns_of(values: Floats, bounds: Bounds, shape: Shape) -> PlanColumns:
    """The columns by kind; what rounding puts outside of the bounds is taken off."""
    n = shape.steps * (2 + len(shape.products))
    steps = np.clip(values[:n], bounds.lower[:n], bounds.upper[:n]).reshape(-1, shape.steps)
    inside, below, above = values[n : n + 3 * (shape.steps + 1)].reshape(3, -1)
    capacity: dict[Product, Floats] = {p: np.zeros(shape.steps) for p in CAPACITY}
    capacity.update(zip(shape.products, steps[2:], strict=True))
    return PlanColumns(steps[0], steps[1], capacity, inside - below + above)


def money_of(columns: PlanColumns, tidy: Tidy) -> float:
    """Expected income less wear and fees, and the terminal value, without what slacks cost."""
    h, used = tidy.hours, tidy.used
    up = columns.discharge + used["reg_up"] * columns.capacity["reg_up"]
    down = columns.charge + used["reg_down"] * columns.capacity["reg_down"]
    earned = float((tidy.price * (up - down) * h).sum() - tidy.wear * (up * h).sum())
    for product in tidy.products:
        price = np.nan_to_num(tidy.capacity_price[product])
        earned += float((price * columns.capacity[product] * h).sum())
    if tidy.net is not None:
        given = columns.discharge - columns.charge - tidy.net
        fees = tidy.export_fee * np.maximum(given, 0) - tidy.import_fee * np.minimum(given, 0)
        earned -= float(((tidy.price * tidy.net + fees) * h).sum())
    return (earned + terminal_of(float(columns.stored[-1]), tidy)) * tidy.unit_wh / 1e6


def terminal_of(stored: float, tidy: Tidy) -> float:
    """The worth of stored energy at the end; below 0 the first piece goes on."""
    if not len(tidy.widths):
        return 0.0
    edges = np.cumsum(tidy.widths)
    filled = np.clip(stored - (edges - tidy.widths), 0.0, tidy.widths)
    beyond = max(stored - float(edges[-1]), 0.0) * min(float(tidy.values[-1]), 0.0)
    return float((filled * tidy.values).sum()) + min(stored, 0.0) * float(tidy.values[0]) + beyond


def slacks_of(columns: PlanColumns, tidy: Tidy) -> dict[Slack, float]:
    """What a solution does not keep, each at its worst, Wh or W."""
    net = columns.discharge - columns.charge
    short = 0.0 if np.isnan(tidy.final) else tidy.final - float(columns.stored[-1])
    found: dict[Slack, float] = {
        "stored_below_reserve": float((tidy.low - columns.stored).max()),
        "stored_above_full": float((columns.stored - tidy.high).max()),
        "commitment_missed": float(np.nanmax(np.abs(tidy.committed - net), initial=0.0)),
        "final_short": short,
        **over_limits(net, tidy),
    }
    missed: dict[Product, Slack] = {
        "reg_up": "reg_up_missed",
        "reg_down": "reg_down_missed",
        "reserve": "reserve_missed",
    }
    for product, sold in tidy.committed_capacity.items():
        gap = np.nanmax(sold - columns.capacity[product], initial=0.0)
        found[missed[product]] = float(gap)
    return {name: most * tidy.unit_wh for name, most in found.items() if most > TOLERANCE}


def over_limits(net: Floats, tidy: Tidy) -> dict[Slack, float]:
    """How far battery powers leave the connection above its limits at the worst."""
    if tidy.net is None:
        return {}
    given = net - tidy.net
    return {
        "import_over_limit": float((-given - tidy.import_limit).max()),
        "export_over_limit": float((given - tidy.export_limit).max()),
    }
