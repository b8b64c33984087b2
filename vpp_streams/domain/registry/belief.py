"""How far a device's readings are believed: as far as the registry makes them possible.

The holder of a device's token can report anything. A power is possible up to the registered rating
or connection times `MARGIN`, plus `SLACK_W`. Beyond that the reading has quality *bad*: it is kept
and shown, and neither steers nor earns. Beyond `ABSURD` times as much it is a dead letter.

What the registry does not state has a bound all the same (`UNREGISTERED_W`), or a record without
ratings would be a licence to report anything:

- A powerwall or megapack without power ratings, a site without rated solar, and a connection
  without a limit are taken as those of a large house. A site that is larger has to have its
  limits registered.
- A solar device without power ratings has no battery: what it reports of one is bad.
- Without an import limit, the site's rated charge is added; without an export limit, what its
  batteries and panels are rated for is the limit.
- The load is never registered; by the identity it is at most import, discharge and sun together.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Arrays, Floats
from vpp_streams.domain.moments import HOUR_MS

MARGIN = 1.25
"""Inverters may overload by a tenth to a fifth for seconds, meters are off by up to 2 % each, and
nameplates are rounded."""
SLACK_W = 500.0
"""Standby, fans and what switches within a second, where a rating is small or 0."""
ABSURD = 10.0
"""Beyond this many times the bound it is a wrong unit, a broken meter or a lie."""
UNREGISTERED_W = 50_000.0
"""A house's connection carries less (200 A at 240 V, or 3 x 63 A at 230 V), and so do its panels
and batteries."""
MAX_FUTURE_MS = HOUR_MS
"""A reading may stand for a time that ends this long after it was received; one that claims
more would be paid for energy that was not measured."""

BOUNDS = ("discharge", "charge", "import", "export", "solar", "load")
"""Rows of the bounds' matrix."""


def bounds_w(device: Mapping[str, Floats], site: Mapping[str, Floats]) -> Floats:
    """The most that devices can report, W > 0, shape (6, devices) in the order of `BOUNDS`.

    ``device`` holds ``charge_w``, ``discharge_w`` of each device (NaN = not registered), ``site``
    the same and ``solar_w`` summed over its site (NaN = not registered), and its
    ``export_limit_w`` and ``import_limit_w`` (inf = none).
    """
    charge, discharge = (_or_large(site[name]) for name in ("charge_w", "discharge_w"))
    solar = _or_large(site["solar_w"])
    import_w = _or(site["import_limit_w"], UNREGISTERED_W + charge)
    export_w = _or(site["export_limit_w"], discharge + solar)
    possible = np.stack(
        [
            _or_large(device["discharge_w"]),
            _or_large(device["charge_w"]),
            import_w,
            export_w,
            solar,
            import_w + discharge + solar,
        ]
    )
    return possible * MARGIN + SLACK_W


def _or(limit_w: Floats, otherwise_w: Floats) -> Floats:
    return np.where(np.isfinite(limit_w), limit_w, otherwise_w)


def _or_large(rating_w: Floats) -> Floats:
    return np.where(np.isnan(rating_w), UNREGISTERED_W, rating_w)


def excesses(columns: Arrays, bounds: Floats) -> Floats:
    """Each power as a share of its bound, shape (6, n); NaN = not measured. Above 1 is too much.

    ``columns`` are readings as in ``telemetry.v1``, ``bounds`` those of their devices, (6, n).
    """
    shares: Floats = np.empty_like(bounds)
    battery_w, grid_w = columns["battery_w"], columns["grid_w"]
    np.divide(battery_w, bounds[0], out=shares[0])
    np.divide(battery_w, -bounds[1], out=shares[1])
    np.divide(grid_w, bounds[2], out=shares[2])
    np.divide(grid_w, -bounds[3], out=shares[3])
    np.divide(columns["solar_w"], bounds[4], out=shares[4])
    np.divide(columns["load_w"], bounds[5], out=shares[5])
    return shares


def reaches_too_far(columns: Arrays) -> NDArray[np.bool_]:
    """Which readings stand for a time that was still in the future when they were received."""
    end_ms = columns["measured_at_ms"] + columns["interval_ms"]
    too_far: NDArray[np.bool_] = end_ms > columns["received_at_ms"] + MAX_FUTURE_MS
    return too_far
