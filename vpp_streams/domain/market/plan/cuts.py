"""What a linear programme cannot forbid by itself, taken away by bounds for another solve.

A step may not charge and discharge at once: that pays only where wasting energy does, at prices
below 0. And what is stored outside of the limits backs no capacity: the programme would pay the
price of a slack to have more to back with.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.market.plan.lp import Bounds, Shape
from vpp_streams.domain.market.plan.read import TOLERANCE, PlanColumns
from vpp_streams.domain.market.plan.tidy import UP, Tidy


@dataclass(frozen=True, slots=True, eq=False)
class Forbidden:
    """Steps that break a rule of the two."""

    both_ways: NDArray[np.bool_]
    unbacked_up: NDArray[np.bool_]
    unbacked_down: NDArray[np.bool_]

    def __bool__(self) -> bool:
        return bool((self.both_ways | self.unbacked_up | self.unbacked_down).any())


def forbidden_in(columns: PlanColumns, tidy: Tidy, shape: Shape) -> Forbidden:
    """Where a solution breaks the rules."""
    held = dict(zip(shape.products, shape.sustain, strict=True))
    up = sum((held[p] * columns.capacity[p] for p in held if p in UP), start=np.zeros(shape.steps))
    up = up / tidy.discharge_efficiency
    down = held.get("reg_down", 0.0) * columns.capacity["reg_down"] * tidy.charge_efficiency
    above = np.maximum(columns.stored - tidy.low, 0.0)
    room = np.maximum(tidy.high - columns.stored, 0.0)
    return Forbidden(
        np.minimum(columns.charge, columns.discharge) > TOLERANCE,
        up > np.minimum(above[:-1], above[1:]) + TOLERANCE,
        down > np.minimum(room[:-1], room[1:]) + TOLERANCE,
    )


def cut(
    bounds: Bounds, columns: PlanColumns, forbidden: Forbidden, tidy: Tidy, shape: Shape
) -> Bounds:
    """No charge where the stored energy falls, no discharge where it does not; no capacity."""
    upper = bounds.upper.copy()
    blocks = np.split(upper, np.cumsum(shape.column_blocks)[:-1])  # views
    falls = columns.discharge / tidy.discharge_efficiency > (
        tidy.charge_efficiency * columns.charge + TOLERANCE
    )
    blocks[0][forbidden.both_ways & falls] = 0.0
    blocks[1][forbidden.both_ways & ~falls] = 0.0
    for product, most in zip(shape.products, blocks[2:], strict=False):
        most[forbidden.unbacked_up if product in UP else forbidden.unbacked_down] = 0.0
    return replace(bounds, upper=upper)


def everywhere(forbidden: Forbidden) -> Forbidden:
    """In all steps what is broken in one: to cut this ends each rule's breaches for good."""

    def all_if_any(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.full(len(steps), steps.any())

    return Forbidden(
        all_if_any(forbidden.both_ways),
        all_if_any(forbidden.unbacked_up),
        all_if_any(forbidden.unbacked_down),
    )
