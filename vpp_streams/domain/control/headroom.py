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
    per_hour = HOUR_S / horizon_s
    up_w, down_w = sites.above_reserve_wh * per_hour, sites.below_full_wh * per_hour
    up_room, down_room = _room_w(sites, latest.battery_w, reporting & ~commandable)
    most, short_of_energy, no_room = _bound(sites, ratings.rated_discharge_w, up_w, up_room)
    least, too_full, no_room_down = _bound(sites, ratings.rated_charge_w, down_w, down_room)
    return Headroom(
        least_w=-least,
        most_w=most,
        above_reserve_wh=sites.above_reserve_wh,
        below_full_wh=sites.below_full_wh,
        short_of_energy_w=short_of_energy,
        no_room_w=no_room,
        too_full_w=too_full,
        no_room_down_w=no_room_down,
    )


def _room_w(sites: Sites, battery_w: Floats, others: Mask) -> tuple[Floats, Floats]:
    """Power (up, down) per site that its connection has room for beside that of ``others``, W."""
    others_w = np.where(others, battery_w, 0.0)
    others_by_site = sites.add(np.where(np.isfinite(others_w), others_w, 0.0))
    export_room, import_room = sites.room_w
    return export_room - others_by_site, import_room + others_by_site


def _bound(
    sites: Sites, rated_w: Floats, energy_w: Floats, room_w: Floats
) -> tuple[Floats, Floats, Floats]:
    """The bound of one direction per device, and how much energy and the connection take off it.

    ``energy_w`` is the power that a device's energy can hold, ``room_w`` is per site.
    """
    rated = np.where(sites.soc_known, rated_w, 0.0)
    held = np.minimum(rated, energy_w)
    bound = held * _fitting(sites.add(held), room_w)[sites.site]
    return bound, rated - held, held - bound


def _fitting(wanted_w: Floats, room_w: Floats) -> NDArray[np.float64]:
    """Per site: the share of the wanted power that there is room for, 0..1."""
    fits = np.ones_like(wanted_w)
    tight = wanted_w > room_w
    fits[tight] = room_w[tight].clip(0.0) / wanted_w[tight].clip(1e-9)
    return fits
