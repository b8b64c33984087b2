"""Which way a device counts, found by the balance of what it reads.

Every inverter counts its own AC power + = out of it. How the meter counts is the installer's
choice, and shows only in the balance: the load is the inverter's power plus import, and a household
never takes less than nothing, so a sign that makes it negative is the wrong one.
"""

from collections.abc import Sequence
from typing import Literal

from edge.drivers.sunspec_quantities import Powers

_LEAST_W, _SHARE = 50.0, 0.02
"""Errors of meters: W, and as a share of the powers that are compared."""
_LOSS_W, _LOSS_SHARE = 100.0, 0.1
"""What an inverter loses between DC and AC."""

Sign = Literal["as assumed", "reversed", "open", "neither"]
"""``open``: what was read fits both signs."""


def meter_sign(samples: Sequence[Powers]) -> Sign:
    """Whether the meter counts + = import: by which sign the load is never negative."""
    known = [(s.ac_w, s.grid_w) for s in samples if s.ac_w is not None and s.grid_w is not None]
    imports = all(ac_w + grid_w >= -_error_w(ac_w, grid_w) for ac_w, grid_w in known)
    exports = all(ac_w - grid_w >= -_error_w(ac_w, grid_w) for ac_w, grid_w in known)
    return _sign(imports, exports)


def battery_sign(samples: Sequence[Powers]) -> Sign:
    """Whether the battery counts + = discharge: by which sign AC power is solar plus battery."""
    fits, fits_reversed = True, True
    for each in samples:
        if each.ac_w is None or each.solar_w is None or each.battery_w is None:
            continue
        loss_w = max(_LOSS_W, _LOSS_SHARE * (abs(each.solar_w) + abs(each.battery_w)))
        fits &= abs(each.ac_w - each.solar_w - each.battery_w) <= loss_w
        fits_reversed &= abs(each.ac_w - each.solar_w + each.battery_w) <= loss_w
    return _sign(fits, fits_reversed)


def _sign(assumed: bool, reversed_: bool) -> Sign:
    if assumed:
        return "open" if reversed_ else "as assumed"
    return "reversed" if reversed_ else "neither"


def _error_w(ac_w: float, grid_w: float) -> float:
    return max(_LEAST_W, _SHARE * (abs(ac_w) + abs(grid_w)))
