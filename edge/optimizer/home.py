"""A home's limits and its tariff, as the planner needs them.

Power is measured at the battery's terminals, W, + = discharge; stored energy is in the cells, Wh.
Money is in the tariff's currency; prices are per kWh at the meter.
"""

from dataclasses import dataclass

import numpy as np

from edge.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A battery behind one grid connection. A home without a battery has ``energy_wh`` 0."""

    energy_wh: float
    """Usable energy between soc 0 and 1, in the cells."""
    charge_w: float
    discharge_w: float
    charge_efficiency: float = 0.95
    """Cell energy per terminal energy, above 0, at most 1."""
    discharge_efficiency: float = 0.95
    """Terminal energy per cell energy, above 0, at most 1."""
    reserve_soc: float = 0.0
    """The owner's backup reserve, 0..1: the plan never uses what is below it."""
    export_limit_w: float = np.inf
    """Most power to the grid, W; solar power beyond it is curtailed."""
    import_limit_w: float = np.inf
    """Power from the grid above which the battery does not charge, W."""
    battery_exports: bool = True
    """Whether the terms allow the battery to discharge to the grid."""
    wear_per_mwh: float = 0.0
    """What a discharged MWh wears off the battery."""

    def __post_init__(self) -> None:
        ratings = (self.energy_wh, self.charge_w, self.discharge_w, self.wear_per_mwh)
        if not all(0.0 <= value < np.inf for value in ratings):
            raise ValueError("energy, powers and wear are finite and at least 0")
        if not all(0.0 < e <= 1.0 for e in (self.charge_efficiency, self.discharge_efficiency)):
            raise ValueError("an efficiency is above 0 and at most 1")
        if not 0.0 <= self.reserve_soc <= 1.0:
            raise ValueError("the reserve is a fraction, 0..1")
        if not (self.export_limit_w >= 0.0 and self.import_limit_w >= 0.0):
            raise ValueError("the limits of the grid connection are at least 0")

    @property
    def usable_wh(self) -> float:
        """Energy above the reserve of a full battery, Wh."""
        return (1.0 - self.reserve_soc) * self.energy_wh


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of consecutive steps, per kWh at the meter; both may be negative."""

    buy: Floats
    """Price of energy from the grid, with fees and tax."""
    sell: Floats
    """Payment for energy to the grid; 0 where nothing is paid."""
    step_s: float
    """Length of a step, s."""

    def __post_init__(self) -> None:
        if self.buy.shape != self.sell.shape or self.buy.ndim != 1:
            raise ValueError("both prices are one column of the same length")
        if not self.step_s > 0.0:
            raise ValueError("a step has a length above 0 s")

    @property
    def known_steps(self) -> int:
        """Number of steps before the first whose prices are not both known (NaN)."""
        unknown = np.flatnonzero(~np.isfinite(self.buy + self.sell))
        return int(unknown[0]) if len(unknown) else len(self.buy)


def dynamic(spot_per_mwh: Floats, *, step_s: float, fees_per_kwh: float, tax: float) -> Tariff:
    """A retail tariff that passes a spot price on: fees and tax on purchases, neither on sales."""
    spot = spot_per_mwh / 1e3
    return Tariff((spot + fees_per_kwh) * (1.0 + tax), spot, step_s)


def continued(per_kwh: Floats, past: Floats, per_day: int) -> Floats:
    """The prices with NaN at the end replaced by what to expect: the mean of the last days.

    ``past`` holds complete days before the first of ``per_kwh``, flat; known prices of earlier days
    of ``per_kwh`` count among them. A step that no day knows stays NaN.
    """
    days = np.concatenate([past, per_kwh])
    slots = np.arange(-len(past), len(per_kwh)) % per_day
    known = np.isfinite(days)
    total = np.bincount(slots[known], days[known], per_day)
    count = np.bincount(slots[known], minlength=per_day)
    mean = np.divide(total, count, out=np.full(per_day, np.nan), where=count > 0)
    return np.where(np.isfinite(per_kwh), per_kwh, mean[slots[len(past) :]])
