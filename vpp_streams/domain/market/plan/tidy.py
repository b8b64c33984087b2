"""From any numbers to a plan's problem that can be solved: what is mended is told by name.

Inside, energy counts in units of (mostly) the storage's energy, power in units per hour, and money
in prices times units: so the numbers of a home and of a power station are alike.
"""

from dataclasses import dataclass

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.problem import PlanFailure, PlanProblem
from vpp_streams.domain.market.rules import MarketRules

UP: tuple[Product, ...] = ("reg_up", "reserve")
CAPACITY: tuple[Product, ...] = ("reg_up", "reserve", "reg_down")
MOST_PRICE = 1e6
MOST_PER_H = 1e3
"""No storage is charged or emptied quicker than in some seconds."""
MOST_NET_PER_H = 1e4
"""A storage of less than a ten-thousandth of what the homes draw in an hour changes nothing."""
MOST_CHARGE_H = 100.0
LEAST_H = 1.0 / 3600.0
MOST_HOURS = 1e3
MOST_WH = 1e15


@dataclass(frozen=True, slots=True, eq=False)
class Tidy:
    """A problem without faults, in units of ``unit_wh``; see `PlanProblem` for the fields."""

    unit_wh: float
    hours: Floats
    price: Floats
    capacity_price: dict[Product, Floats]
    charge: Floats
    discharge: Floats
    low: Floats
    """Limits of the stored energy at the points."""
    high: Floats
    stored: float
    committed: Floats
    committed_capacity: dict[Product, Floats]
    widths: Floats
    """Of the pieces of the terminal value, from 0 up."""
    values: Floats
    final: float
    charge_efficiency: float
    discharge_efficiency: float
    wear: float
    sustain: dict[Product, float]
    used: dict[Product, float]
    faults: tuple[str, ...]
    net: Floats | None = None
    """None = metered at the battery; fees and limits are then not used."""
    import_fee: float = 0.0
    export_fee: float = 0.0
    import_limit: float = np.inf
    export_limit: float = np.inf

    @property
    def products(self) -> tuple[Product, ...]:
        """Besides energy, in the order of the model."""
        return tuple(product for product in CAPACITY if product in self.capacity_price)


class _Mending:
    """Faults in the order found, each once."""

    def __init__(self) -> None:
        self.faults: dict[str, None] = {}

    def put(self, name: str, what: Floats, wrong: np.ndarray, instead: Floats | float) -> Floats:
        """``instead`` where it is wrong."""
        if not wrong.any():
            return what
        self.faults[name] = None
        return np.where(wrong, instead, what)

    def within(self, name: str, what: Floats, least: float, most: float) -> Floats:
        """Cut to a range; NaN stays."""
        return self.put(name, what, (what < least) | (what > most), np.clip(what, least, most))

    def power(self, name: str, limit: Floats) -> Floats:
        """Limits of power; an unknown one is 0."""
        return self.within(name, self.put(name, limit, np.isnan(limit), 0.0), 0.0, MOST_PER_H)

    def number(self, name: str, what: float, least: float, most: float, unknown: float) -> float:
        """As `within`, of one number; ``unknown`` for NaN."""
        if least <= what <= most:
            return float(what)
        self.faults[name] = None
        return unknown if np.isnan(what) else min(max(float(what), least), most)


def tidy(problem: PlanProblem) -> Tidy | PlanFailure:
    """The problem in its own units, mended; a failure where a mended one would be a guess."""
    bad = _unusable(problem)
    if bad:
        return PlanFailure("bad_input", bad)
    mend = _Mending()
    storage, rules, n = problem.storage, problem.rules, len(problem.hours)
    hours = np.asarray(problem.hours, float)
    energy_wh = mend.number("energy_wh", storage.energy_wh, 0.0, MOST_WH, 0.0)
    unit = _unit_wh(energy_wh, max(storage.charge_w, storage.discharge_w))
    low, high = _energy_limits(problem, energy_wh, unit, mend)
    final = problem.final_wh / unit
    if not np.isnan(final):
        final = mend.number("final_wh", final, 0.0, float(high[-1]), final)
    widths, values = _terminal(problem, energy_wh, unit, mend)
    prices: dict[Product, Floats] = {
        product: mend.within("capacity_price", _floats(price), -MOST_PRICE, MOST_PRICE)
        for product, price in problem.capacity_price.items()
        if product != "energy"
    }
    sold: dict[Product, Floats] = {
        product: mend.within("committed_capacity_w", _floats(sold) / unit, 0.0, MOST_PER_H)
        for product, sold in problem.committed_capacity_w.items()
        if product in prices
    }
    if set(problem.committed_capacity_w) - set(prices) - {"energy"}:
        mend.faults["committed_product"] = None
    regulation_h = mend.number("sustain_h", rules.sustain_h, 0.0, 24.0, 0.5)
    reserve_h = mend.number("reserve_sustain_h", rules.reserve_sustain_h, 0.0, 24.0, 1.0)
    import_fee, export_fee = _fees(rules, mend)
    return Tidy(
        unit_wh=unit,
        hours=hours,
        price=mend.within("energy_price", _floats(problem.energy_price), -MOST_PRICE, MOST_PRICE),
        capacity_price=prices,
        charge=mend.power("charge_w", _capped(problem.charge_w, storage.charge_w, n) / unit),
        discharge=mend.power(
            "discharge_w", _capped(problem.discharge_w, storage.discharge_w, n) / unit
        ),
        low=low,
        high=high,
        stored=mend.number(
            "stored_wh", problem.stored_wh / unit, -energy_wh / unit, 2.0 * energy_wh / unit, 0.0
        ),
        committed=mend.within(
            "committed_w", _given(problem.committed_w, np.nan, n) / unit, -MOST_PER_H, MOST_PER_H
        ),
        committed_capacity=sold,
        widths=widths,
        values=values,
        final=final,
        charge_efficiency=mend.number("efficiency", storage.charge_efficiency, 0.2, 1.0, 0.95),
        discharge_efficiency=mend.number(
            "efficiency", storage.discharge_efficiency, 0.2, 1.0, 0.95
        ),
        wear=mend.number("wear_per_mwh", storage.wear_per_mwh, 0.0, MOST_PRICE, 0.0),
        sustain={"reg_up": regulation_h, "reg_down": regulation_h, "reserve": reserve_h},
        used={
            "reg_up": mend.number("reg_up_used", rules.reg_up_used, 0.0, 1.0, 0.1),
            "reg_down": mend.number("reg_down_used", rules.reg_down_used, 0.0, 1.0, 0.1),
            "reserve": 0.0,
        },
        net=_net_load(problem, unit, mend),
        import_fee=import_fee,
        export_fee=export_fee,
        import_limit=mend.number("import_limit_w", problem.limits.import_w / unit, 0, np.inf, 0),
        export_limit=mend.number("export_limit_w", problem.limits.export_w / unit, 0, np.inf, 0),
        faults=tuple(mend.faults),
    )


def _net_load(problem: PlanProblem, unit: float, mend: _Mending) -> Floats | None:
    """Net load; one that is not known is 0."""
    if problem.net_load_w is None:
        return None
    net = _floats(problem.net_load_w) / unit
    net = mend.put("net_load_w", net, np.isnan(net), 0.0)
    return mend.within("net_load_w", net, -MOST_NET_PER_H, MOST_NET_PER_H)


def _fees(rules: MarketRules, mend: _Mending) -> tuple[float, float]:
    """Fees of import and export: together not below 0, or going round in circles would pay."""
    import_fee = mend.number("import_fee", rules.import_fee, -MOST_PRICE, MOST_PRICE, 0.0)
    export_fee = mend.number("export_fee", rules.export_fee, -import_fee, MOST_PRICE, 0.0)
    return import_fee, max(export_fee, -import_fee)


def _unit_wh(energy_wh: float, most_w: float) -> float:
    """The storage's energy; less where it could not be charged in days."""
    few_days_wh = MOST_CHARGE_H * most_w if most_w > 0.0 else np.inf
    return max(min(energy_wh, few_days_wh), 1.0)


def _unusable(problem: PlanProblem) -> str:
    """Why nothing can be planned; empty where a plan is possible."""
    hours = np.asarray(problem.hours, float)
    n = len(hours) if hours.ndim == 1 else 0
    named: dict[str, Floats | None] = {
        "energy_price": problem.energy_price,
        "charge_w": problem.charge_w,
        "discharge_w": problem.discharge_w,
        "energy_min_wh": problem.energy_min_wh,
        "energy_max_wh": problem.energy_max_wh,
        "committed_w": problem.committed_w,
        "net_load_w": problem.net_load_w,
        **{str(name): price for name, price in problem.capacity_price.items()},
        **{f"committed {name}": sold for name, sold in problem.committed_capacity_w.items()},
    }
    if not n:
        return "there are no steps"
    wrong = [name for name, array in named.items() if array is not None and len(array) != n]
    if wrong:
        return f"{', '.join(wrong)}: not {n} values, one per step"
    if len(problem.terminal_wh) != len(problem.terminal_per_mwh):
        return "terminal_wh and terminal_per_mwh are not of one length"
    return _missing_number(problem, hours)


def _missing_number(problem: PlanProblem, hours: Floats) -> str:
    """The first missing number that a plan cannot do without; empty where none is missing."""
    if not ((hours >= LEAST_H) & (hours <= MOST_HOURS)).all():
        return "a step has no sensible length"
    if not np.isfinite(_floats(problem.energy_price)).all():
        return "an energy price is not known"
    if not (np.isfinite(problem.stored_wh) and np.isfinite(problem.storage.energy_wh)):
        return "the stored energy, or the storage's, is not known"
    return ""


def _floats(values: object) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _given(values: Floats | None, default: float, n: int) -> Floats:
    return np.full(n, default) if values is None else _floats(values)


def _capped(limit_w: Floats | None, own_w: float, n: int) -> Floats:
    """Limits of power in each step, none above the storage's own; NaN = not known."""
    capped: Floats = np.minimum(_given(limit_w, own_w, n), own_w)
    return capped


def _energy_limits(
    problem: PlanProblem, energy_wh: float, unit: float, mend: _Mending
) -> tuple[Floats, Floats]:
    """Least and most stored energy at the points: that of the steps at either side."""
    n = len(problem.hours)
    most = energy_wh / unit
    low = _given(problem.energy_min_wh, 0.0, n) / unit
    low = mend.within("energy_min_wh", mend.put("energy_min_wh", low, np.isnan(low), 0.0), 0, most)
    high = _given(problem.energy_max_wh, energy_wh, n) / unit
    high = mend.put("energy_max_wh", high, np.isnan(high), most)
    high = mend.within("energy_max_wh", high, 0.0, most)
    low, high = np.append(low, low[-1]), np.append(high, high[-1])
    low[1:-1], high[1:-1] = np.maximum(low[1:-1], low[:-2]), np.minimum(high[1:-1], high[:-2])
    return low, mend.put("energy_limits_cross", high, high < low, low)


def _terminal(
    problem: PlanProblem, energy_wh: float, unit: float, mend: _Mending
) -> tuple[Floats, Floats]:
    """Widths and values of the terminal value's pieces; made concave by pooling neighbours."""
    out_of_reach_wh = 2.0 * max(energy_wh, unit)
    upto = np.minimum(_floats(problem.terminal_wh), out_of_reach_wh) / unit
    value = _floats(problem.terminal_per_mwh)
    good = np.isfinite(upto) & np.isfinite(value) & (upto > 0.0)
    good &= upto > np.maximum.accumulate(np.append(0.0, np.where(good, upto, 0.0)))[:-1]
    if not good.all():
        mend.faults["terminal_wh"] = None
    upto, value = upto[good], mend.within("terminal_per_mwh", value[good], -MOST_PRICE, MOST_PRICE)
    pieces: list[tuple[float, float]] = []
    for piece in zip(np.diff(upto, prepend=0.0).tolist(), value.tolist(), strict=True):
        width, worth = piece
        while pieces and pieces[-1][1] < worth:
            mend.faults["terminal_not_concave"] = None
            before, least = pieces.pop()
            worth = (worth * width + least * before) / (width + before)
            width += before
        pieces.append((width, worth))
    pieces += [(0.0, pieces[-1][1] if pieces else 0.0)] * (len(problem.terminal_wh) - len(pieces))
    return _floats([width for width, _ in pieces]), _floats([worth for _, worth in pieces])
