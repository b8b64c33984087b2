"""What a plan breaks of its problem: checked from the numbers alone, apart from the solver."""

from collections.abc import Mapping

import numpy as np

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.plan.problem import Plan, PlanFailure, PlanProblem, Slack
from vpp_streams.domain.market.plan.read import over_limits
from vpp_streams.domain.market.plan.tidy import LEAST_H, Tidy, tidy

TOLERANCE = 1e-5
"""Of the storage's energy (per hour)."""


def breaches(plan: Plan, problem: PlanProblem) -> tuple[str, ...]:
    """The limits that a plan passes, by name; empty for every plan that was made of the problem.

    A soft limit is broken only where the plan does not name it among its slacks.
    """
    mended = tidy(problem)
    if isinstance(mended, PlanFailure):
        return ("nothing can be planned",)
    unit = mended.unit_wh
    arrays = (plan.charge_w, plan.discharge_w, plan.reg_up_w, plan.reg_down_w, plan.reserve_w)
    if any(len(array) != len(mended.hours) for array in arrays):
        return ("steps",)
    if not all(np.isfinite(array).all() for array in (*arrays, plan.stored_wh, plan.power_w)):
        return ("not a number",)
    stored = plan.stored_wh / unit
    charge, discharge, up, down, reserve = (array / unit for array in arrays)
    capacity: dict[Product, Floats] = {"reg_up": up, "reg_down": down, "reserve": reserve}
    excess = {
        **_power(plan, mended, charge, discharge, capacity),
        **_energy(mended, stored, charge, discharge, capacity),
        **_soft(mended, plan.slacks, stored, discharge - charge, capacity),
    }
    return tuple(name for name, most in excess.items() if most > TOLERANCE)


def _power(
    plan: Plan, tidy: Tidy, charge: Floats, discharge: Floats, capacity: Mapping[Product, Floats]
) -> dict[str, float]:
    net = discharge - charge
    up, down, reserve = capacity["reg_up"], capacity["reg_down"], capacity["reserve"]
    unsold = [array for product, array in capacity.items() if product not in tidy.capacity_price]
    return {
        "below zero": max(float(-array.min()) for array in (charge, discharge, up, down, reserve)),
        "net power": float(np.abs(plan.power_w / tidy.unit_wh - net).max()),
        "charge limit": float((charge - tidy.charge).max()),
        "discharge limit": float((discharge - tidy.discharge).max()),
        "both ways": float(np.minimum(charge, discharge).max()),
        "room upwards": float((up + reserve + net - tidy.discharge).max()),
        "room downwards": float((down - net - tidy.charge).max()),
        "not offered": max((float(array.max()) for array in unsold), default=0.0),
    }


def _energy(
    tidy: Tidy,
    stored: Floats,
    charge: Floats,
    discharge: Floats,
    capacity: Mapping[Product, Floats],
) -> dict[str, float]:
    given = discharge + tidy.used["reg_up"] * capacity["reg_up"]
    taken = charge + tidy.used["reg_down"] * capacity["reg_down"]
    moved = taken * tidy.charge_efficiency - given / tidy.discharge_efficiency
    up = _held(tidy, "reg_up") * capacity["reg_up"] + _held(tidy, "reserve") * capacity["reserve"]
    up = up / tidy.discharge_efficiency
    down = _held(tidy, "reg_down") * capacity["reg_down"] * tidy.charge_efficiency
    found = {
        "start": abs(float(stored[0]) - tidy.stored),
        "balance": float(np.abs(np.diff(stored) - moved * tidy.hours).max()),
    }
    # What is outside of the limits backs nothing, and is itself a soft limit.
    for name, ends in (("start", slice(None, -1)), ("end", slice(1, None))):
        above = np.maximum(stored - tidy.low, 0.0)[ends]
        room = np.maximum(tidy.high - stored, 0.0)[ends]
        found[f"energy upwards at the {name}"] = float((up - above).max())
        found[f"room for energy at the {name}"] = float((down - room).max())
    return found


def _held(tidy: Tidy, product: Product) -> float:
    held_h = tidy.sustain[product]
    return held_h if held_h >= LEAST_H else 0.0


def _soft(
    tidy: Tidy,
    slacks: Mapping[Slack, float],
    stored: Floats,
    net: Floats,
    capacity: Mapping[Product, Floats],
) -> dict[str, float]:
    found: dict[Slack, float] = {
        "stored_below_reserve": float((tidy.low - stored).max()),
        "stored_above_full": float((stored - tidy.high).max()),
        "commitment_missed": float(np.nanmax(np.abs(tidy.committed - net), initial=0.0)),
        "final_short": float(np.nan_to_num(tidy.final, nan=-np.inf)) - float(stored[-1]),
        **over_limits(net, tidy),
    }
    names: dict[Product, Slack] = {
        "reg_up": "reg_up_missed",
        "reg_down": "reg_down_missed",
        "reserve": "reserve_missed",
    }
    for product, sold in tidy.committed_capacity.items():
        gap = np.nan_to_num(np.abs(sold - capacity[product]))
        found[names[product]] = float(gap.max())
    return {
        f"{name} is not told": passed - slacks.get(name, 0.0) / tidy.unit_wh
        for name, passed in found.items()
    }
