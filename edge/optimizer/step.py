"""One step of a home: which powers its battery can have, and what each costs."""

import numpy as np

from edge.arrays import Floats
from edge.optimizer.home import Home

HOUR_S = 3600.0


def terminal_w(home: Home, change_wh: Floats, hold_s: float) -> Floats:
    """Power at the terminals that changes the stored energy by ``change_wh`` in ``hold_s``."""
    per_cell = np.where(change_wh > 0, 1.0 / home.charge_efficiency, home.discharge_efficiency)
    return -change_wh * per_cell * (HOUR_S / hold_s)


def change_wh(home: Home, power_w: Floats, hold_s: float) -> Floats:
    """Change of the stored energy by ``power_w`` held for ``hold_s``, Wh."""
    per_terminal = np.where(power_w < 0, home.charge_efficiency, 1.0 / home.discharge_efficiency)
    return -power_w * per_terminal * (hold_s / HOUR_S)


def limits_w(home: Home, net_w: Floats) -> tuple[Floats, Floats]:
    """Least and most power, + = discharge, beside a net load (load less solar power), W.

    Neither depends on the stored energy. The least is at most 0 and the most at least 0.
    """
    room = home.export_limit_w if home.battery_exports else 0.0
    most = np.minimum(np.maximum(net_w + room, 0.0), home.discharge_w)
    least = np.maximum(np.minimum(net_w - home.import_limit_w, 0.0), -home.charge_w)
    return least, most


def bends_w(home: Home, net_w: Floats) -> Floats:
    """Powers at which cost changes its slope, within the limits; ``net_w``'s shape after a 5.

    With the levels at which the value of stored energy bends, they are all candidates for the best.
    """
    least, most = limits_w(home, net_w)
    at_limit = net_w + home.export_limit_w
    powers = [least, np.zeros_like(net_w), net_w, at_limit, most]
    return np.clip(np.stack(powers), least, most)


def cost(
    home: Home, power_w: Floats, net_w: Floats, *, buy: Floats, sell: Floats, hold_s: float
) -> Floats:
    """Money for energy and wear while the battery holds ``power_w`` beside the net load."""
    grid_w = np.maximum(net_w - power_w, -home.export_limit_w)
    per_kwh = np.where(grid_w > 0, buy, sell)
    hours = hold_s / HOUR_S
    wear = home.wear_per_mwh * np.maximum(power_w, 0.0) * (hours / 1e6)
    return grid_w * per_kwh * (hours / 1e3) + wear
