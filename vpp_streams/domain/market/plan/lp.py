"""The plan as a linear programme in arrays: what is in which column and row, and its numbers.

Columns, a block per kind: charge, discharge and each product (a value per step); stored energy
within its limits, what is below them and what is above (a value per point); pieces of the
terminal value; at the connection import, export and what of each is above its limit (a value per
step). The matrix depends on `Shape` only; prices, limits and what is stored are costs
and bounds, which change without it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.tidy import LEAST_H, UP, Tidy

Int32s = NDArray[np.int32]
FREE = np.inf


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the matrix depends on; two problems of one shape share it."""

    hours: tuple[float, ...]
    products: tuple[Product, ...]
    sustain: tuple[float, ...]
    used: tuple[float, ...]
    charge_efficiency: float
    discharge_efficiency: float
    pieces: int
    at_connection: bool = False

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.hours)

    @property
    def column_blocks(self) -> tuple[int, ...]:
        """Lengths of the columns' blocks, in order."""
        n = self.steps
        flows = [n] * (4 if self.at_connection else 0)
        return (n, n, *[n] * len(self.products), n + 1, n + 1, n + 1, self.pieces, *flows)

    @property
    def row_blocks(self) -> tuple[int, ...]:
        """Lengths of the rows' blocks: balance, terminal, those of up, of down, connection."""
        n = self.steps
        sides = any(p in UP for p in self.products) + ("reg_down" in self.products)
        return (n, 1, *[n] * (3 * sides + self.at_connection))


def shape_of(tidy: Tidy) -> Shape:
    """The shape of a problem."""
    return Shape(
        tuple(tidy.hours.tolist()),
        tidy.products,
        tuple(s if s >= LEAST_H else 0.0 for s in (tidy.sustain[p] for p in tidy.products)),
        tuple(tidy.used[product] for product in tidy.products),
        tidy.charge_efficiency,
        tidy.discharge_efficiency,
        len(tidy.widths) + 2,
        tidy.net is not None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Compressed by column."""

    rows: int
    start: Int32s
    index: Int32s
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Costs and bounds of the columns, bounds of the rows."""

    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats


def matrix_of(shape: Shape) -> Matrix:
    """The coefficients."""
    n, at = shape.steps, np.arange(shape.steps)
    ec, ed, h = shape.charge_efficiency, shape.discharge_efficiency, np.array(shape.hours)
    first = np.cumsum((0, *shape.column_blocks))
    charge, discharge, inside = first[0], first[1], first[2 + len(shape.products)]
    below, above, piece = inside + n + 1, inside + 2 * n + 2, inside + 3 * n + 3
    cells: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]] = []

    def put(rows: NDArray[np.int64], columns: NDArray[np.int64], value: Floats | float) -> None:
        cells.append((rows, columns, np.broadcast_to(np.asarray(value, float), rows.shape)))

    for sign, point in ((1.0, at + 1), (-1.0, at)):
        put(at, inside + point, sign)
        put(at, below + point, -sign)
        put(at, above + point, sign)
    put(at, charge + at, -ec * h)
    put(at, discharge + at, h / ed)
    put(np.array([n, n, n]), np.array([inside, below, above]) + n, np.array([1.0, -1.0, 1.0]))
    put(np.full(shape.pieces, n), piece + np.arange(shape.pieces), -1.0)
    row = n + 1
    for up in (True, False):
        mine = [i for i, p in enumerate(shape.products) if (p in UP) == up]
        if not mine:
            continue
        put(row + at, charge + at, -1.0 if up else 1.0)
        put(row + at, discharge + at, 1.0 if up else -1.0)
        for i in mine:
            column, per = first[2 + i] + at, 1.0 / ed if up else -ec
            put(at, column, h * shape.used[i] * per)
            put(row + at, column, 1.0)
            for end in (1, 2):
                put(row + end * n + at, column, -shape.sustain[i] * per)
        for end in (1, 2):
            put(row + end * n + at, inside + at + end - 1, 1.0)
        row += 3 * n
    if shape.at_connection:
        put(row + at, discharge + at, 1.0)
        put(row + at, charge + at, -1.0)
        flows = piece + shape.pieces
        for k, sign in enumerate((1.0, -1.0, 1.0, -1.0)):
            put(row + at, flows + k * n + at, sign)
        row += n
    return _compressed(row, int(first[-1]), cells)


def _compressed(
    rows: int, columns: int, cells: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]]
) -> Matrix:
    row = np.concatenate([r for r, _, _ in cells])
    column = np.concatenate([c for _, c, _ in cells])
    value = np.concatenate([v for _, _, v in cells])
    there = value != 0.0
    row, column, value = row[there], column[there], value[there]
    order = np.lexsort((row, column))
    start = np.searchsorted(column[order], np.arange(columns + 1))
    return Matrix(rows, start.astype(np.int32), row[order].astype(np.int32), value[order])


def bounds_of(tidy: Tidy, shape: Shape) -> Bounds:
    """All that changes from one problem of a shape to the next."""
    dearest = dearest_of(tidy)
    steps = _step_columns(tidy, dearest)
    stored = _stored_columns(tidy, shape, dearest)
    pieces = _pieces(tidy, 2.0 * dearest / tidy.charge_efficiency)
    parts = [*steps, *stored, pieces, *_flows(tidy, dearest)]
    none = np.zeros(shape.steps + 1)
    row_lower, row_upper = [none], [none]
    unlimited = np.full(shape.steps, FREE)
    for up in (True, False):
        if not any((p in UP) == up for p in shape.products):
            continue
        room = tidy.discharge if up else tidy.charge
        ends = (tidy.low if up else tidy.high)[[np.arange(shape.steps), np.arange(shape.steps) + 1]]
        row_lower += [-unlimited, *(ends if up else [-unlimited, -unlimited])]
        row_upper += [room, *([unlimited, unlimited] if up else ends)]
    if tidy.net is not None:
        row_lower, row_upper = [*row_lower, tidy.net], [*row_upper, tidy.net]
    cost, lower, upper = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Bounds(cost, lower, upper, np.concatenate(row_lower), np.concatenate(row_upper))


def dearest_of(tidy: Tidy) -> float:
    """More than any price in it: what slacks cost is a multiple."""
    prices = (tidy.price, tidy.values, *tidy.capacity_price.values())
    most = [float(np.nanmax(np.abs(p), initial=0.0)) for p in prices]
    fees = max(abs(tidy.import_fee), abs(tidy.export_fee))
    return max(most[0] + most[1] + tidy.wear + max(most[2:], default=0.0) + fees, 1.0)


def _step_columns(tidy: Tidy, dearest: float) -> list[tuple[Floats, Floats, Floats]]:
    """Charge, discharge and products.

    What is sold already is an upper bound, and so dear that it is delivered if it can be: that
    needs no slack, and leaves no step both ways.
    """
    h, sold, free = tidy.hours, tidy.committed, np.isnan(tidy.committed)
    none = np.zeros(len(h))
    bonus = 4.0 * dearest * h
    out = np.where(free, tidy.discharge, np.clip(sold, 0.0, tidy.discharge))
    into = np.where(free, tidy.charge, np.clip(-sold, 0.0, tidy.charge))
    found = [
        (tidy.price * h - bonus * (sold < 0.0), none, into),
        ((tidy.wear - tidy.price) * h - bonus * (sold > 0.0), none, out),
    ]
    worth = {"reg_up": tidy.price - tidy.wear, "reg_down": -tidy.price, "reserve": none}
    for product in tidy.products:
        price = tidy.capacity_price[product]
        given = tidy.committed_capacity.get(product, none + np.nan)
        most = np.where(np.isnan(price), 0.0, tidy.charge + tidy.discharge)
        earned = (np.nan_to_num(price) + tidy.used[product] * worth[product]) * h
        cost = -earned - np.where(np.isnan(given), 0.0, bonus / 2.0)
        found.append((cost, none, np.where(np.isnan(given), most, given)))
    return found


def _flows(tidy: Tidy, dearest: float) -> list[tuple[Floats, Floats, Floats]]:
    """Import and export at the connection, then what of them is above the limits.

    The energy's price is in charge and discharge already: the net load's part of it is fixed.
    """
    if tidy.net is None:
        return []
    none, h = np.zeros(len(tidy.hours)), tidy.hours
    fees, limits = (tidy.import_fee, tidy.export_fee), (tidy.import_limit, tidy.export_limit)
    within = [(fee * h, none, none + most) for fee, most in zip(fees, limits, strict=True)]
    above = [((fee + 6.0 * dearest) * h, none, none + FREE) for fee in fees]
    return [*within, *above]


def _stored_columns(
    tidy: Tidy, shape: Shape, dearest: float
) -> list[tuple[Floats, Floats, Floats]]:
    """Within the limits, below and above them."""
    inside = np.clip(tidy.stored, tidy.low[0], tidy.high[0])
    none = np.zeros(shape.steps + 1)
    low, high = tidy.low.copy(), tidy.high.copy()
    low[0] = high[0] = inside
    found = [(none, low, high)]
    cost = none + 8.0 * dearest / tidy.charge_efficiency / tidy.discharge_efficiency
    for outside in (inside - tidy.stored, tidy.stored - inside):
        least, most = none.copy(), none + FREE
        least[0] = most[0] = max(outside, 0.0)
        found.append((cost, least, most))
    return found


def _pieces(tidy: Tidy, short: float) -> tuple[Floats, Floats, Floats]:
    """The terminal value's pieces, those up to the wanted final energy worth so much more."""
    edges, final = np.cumsum(tidy.widths), 0.0 if np.isnan(tidy.final) else tidy.final
    last = min(float(tidy.values[-1]), 0.0) if len(edges) else 0.0
    cut = int(np.searchsorted(edges, final))
    values = np.append(tidy.values, last)
    values = np.insert(values, cut, values[cut])
    edges = np.insert(edges, cut, final)
    values[: cut + 1] += 0.0 if np.isnan(tidy.final) else short
    upper = np.append(np.diff(edges, prepend=0.0), FREE)
    lower = np.zeros(len(upper))
    lower[0] = -FREE
    return -values, lower, upper
