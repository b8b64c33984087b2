"""How far each battery's power may be moved by a command, from what was measured last.

A device's bounds respect its ratings, the owner's reserve and its share of the room of the site's
grid connection. They limit what the cloud orders; the device enforces its own limits besides,
from its own measurements.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats, Mask
from vpp_streams.domain.fleet.rollup import Latest, Ratings, Sites

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Headroom:
    """Bounds per device, W, shape (devices,); zeros where it may not be commanded."""

    least_w: Floats
    """Most charge, W <= 0."""
    most_w: Floats
    """Most discharge, W >= 0."""
    above_reserve_wh: Floats
    below_full_wh: Floats
    short_of_energy_w: Floats
    """Discharge that the rating allows and the energy above the reserve does not, W >= 0."""
    no_room_w: Floats
    """Discharge that rating and energy allow and the connection does not, W >= 0."""
    too_full_w: Floats
    """Charge that the rating allows and the energy below full does not, W >= 0."""
    no_room_down_w: Floats
    """Charge that rating and energy allow and the connection does not, W >= 0."""


def headroom(
    latest: Latest,
    ratings: Ratings,
    reserve: Floats,
    *,
    reporting: Mask,
    commandable: Mask,
    horizon_s: float,
) -> Headroom:
    """Bounds that can be held for ``horizon_s`` from now.

    ``reserve`` is per site and replaces `Ratings.backup_reserve`. ``reporting`` marks the devices
    whose measurements count, ``commandable`` (a part of them) those that get bounds.
    """
    sites = Sites(latest, replace(ratings, backup_reserve=reserve), reporting, commandable)
    others_w = np.where(reporting & ~commandable, latest.battery_w, 0.0)
    others_by_site = sites.add(np.where(np.isfinite(others_w), others_w, 0.0))
    export_room, import_room = sites.room_w
    per_hour = HOUR_S / horizon_s
    rated_up = np.where(sites.soc_known, ratings.rated_discharge_w, 0.0)
    up = np.minimum(rated_up, sites.above_reserve_wh * per_hour)
    rated_down = np.where(sites.soc_known, ratings.rated_charge_w, 0.0)
    down = np.minimum(rated_down, sites.below_full_wh * per_hour)
    most = up * _fitting(sites.add(up), export_room - others_by_site)[sites.site]
    least = down * _fitting(sites.add(down), import_room + others_by_site)[sites.site]
    return Headroom(
        least_w=-least,
        most_w=most,
        above_reserve_wh=sites.above_reserve_wh,
        below_full_wh=sites.below_full_wh,
        short_of_energy_w=rated_up - up,
        no_room_w=up - most,
        too_full_w=rated_down - down,
        no_room_down_w=down - least,
    )


def _fitting(wanted_w: Floats, room_w: Floats) -> NDArray[np.float64]:
    """Per site: the share of the wanted power that there is room for, 0..1."""
    fits = np.ones_like(wanted_w)
    tight = wanted_w > room_w
    fits[tight] = room_w[tight].clip(0.0) / wanted_w[tight].clip(1e-9)
    return fits
