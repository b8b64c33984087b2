"""Sites on a map: single ones, and the many of a cell of the grid as one cluster."""

from typing import NamedTuple

import numpy as np

from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.explorer.site_table import SiteTable
from vpp_streams.domain.explorer.site_values import LEVELS, SiteValues

_COLUMNS = 1 << 32
"""More than there are cells around the Earth."""


class Box(NamedTuple):
    """A part of the map, degrees."""

    south: float
    west: float
    north: float
    east: float


class Cluster(NamedTuple):
    """Sites of one cell."""

    latitude: float
    """Mean of its sites, as the longitude."""
    longitude: float
    counts: tuple[int, ...]
    """Number of sites of each of `LEVELS`."""
    row: int
    """Row of its first site."""


def placed(rows: Ints, table: SiteTable) -> Ints:
    """The rows of sites that have a position."""
    return rows[_has_position(rows, table)]


def box_of(rows: Ints, table: SiteTable) -> Box | None:
    """The smallest box with these sites, which have positions; None = there are none."""
    if not len(rows):
        return None
    north, east = (table.columns[name][rows] for name in ("latitude", "longitude"))
    return Box(float(north.min()), float(east.min()), float(north.max()), float(east.max()))


def clusters(
    rows: Ints, table: SiteTable, values: SiteValues, box: Box, cell_deg: float
) -> list[Cluster]:
    """The sites among ``rows`` inside a box, by cells of ``cell_deg`` degrees each way.

    Cells are aligned with the equator and the prime meridian, so that a cluster stays in its place
    while the map is moved.
    """
    north, east = table.columns["latitude"][rows], table.columns["longitude"][rows]
    inside = (north >= box.south) & (north <= box.north) & (east >= box.west) & (east <= box.east)
    rows, north, east = rows[inside], north[inside], east[inside]
    lines = (np.floor(degrees / cell_deg).astype(np.int64) for degrees in (north, east))
    along_north, along_east = lines
    _, first, cell = np.unique(
        along_north * _COLUMNS + along_east, return_index=True, return_inverse=True
    )
    count = len(first)
    sites = np.bincount(cell, minlength=count)
    counts = np.zeros((count, len(LEVELS)), np.int64)
    np.add.at(counts, (cell, values.level[rows]), 1)
    means = [np.bincount(cell, degrees, count) / sites for degrees in (north, east)]
    columns = (*(mean.tolist() for mean in means), counts.tolist(), rows[first].tolist())
    return [Cluster(at, along, tuple(of), row) for at, along, of, row in zip(*columns, strict=True)]


def _has_position(rows: Ints, table: SiteTable) -> Ints:
    known = np.isfinite(table.columns["latitude"]) & np.isfinite(table.columns["longitude"])
    return np.flatnonzero(known[rows])
