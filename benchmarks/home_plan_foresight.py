"""The least that a home could have paid, had it known everything: a linear programme."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from edge.arrays import Floats
from edge.optimizer.home import Home, Tariff


def least_cost(
    home: Home, tariff: Tariff, net_w: Floats, *, stored_wh: float, worth_per_kwh: float
) -> float:
    """Cost of the steps of ``net_w``, less what the energy stored beyond the start's is worth.

    Without limits of the grid connection. Where an import price is negative, the programme may
    charge and discharge at once, which no battery can: then it is a bound only.
    """
    steps, hours = len(net_w), tariff.step_s / 3600.0
    buy, sell = tariff.buy[:steps], tariff.sell[:steps]
    wear = home.wear_per_mwh / 1e6
    one, none = sp.eye(steps), sp.csr_matrix((steps, steps))
    # Columns: charge, discharge, from the grid, to the grid (W), stored after the step (Wh).
    balance: list[Any] = [one, -one, -one, one, none]
    charged = -home.charge_efficiency * hours * one
    discharged = hours / home.discharge_efficiency * one
    energy: list[Any] = [charged, discharged, none, none, one - sp.eye(steps, k=-1)]
    money = [np.zeros(steps), np.full(steps, wear * hours), buy * hours / 1e3, -sell * hours / 1e3]
    end = np.zeros(steps)
    end[-1] = -worth_per_kwh / 1e3
    start = np.zeros(steps)
    start[0] = stored_wh
    to_grid = np.where(home.battery_exports, np.inf, np.maximum(-net_w, 0.0))
    most = [np.full(steps, home.charge_w), np.full(steps, home.discharge_w), np.full(steps, np.inf)]
    low = home.energy_wh - home.usable_wh
    highest = np.concatenate([*most, to_grid, np.full(steps, home.energy_wh)])
    lowest = np.concatenate([np.zeros(4 * steps), np.full(steps, low)])
    done = linprog(
        np.concatenate([*money, end]),
        A_eq=sp.vstack([sp.hstack(balance), sp.hstack(energy)]).tocsr(),
        b_eq=np.concatenate([-net_w, start]),
        bounds=np.stack([lowest, highest], axis=1),
        method="highs",
    )
    if done.status != 0:
        raise RuntimeError(done.message)
    return float(done.fun) + worth_per_kwh * stored_wh / 1e3
