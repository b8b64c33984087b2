"""Which device's measurement counts where several of a site measure the same power.

A site has one grid connection. Two devices at it that both report the one meter report the same
power, not twice as much: one meter counts once. The registry says whose measurements are of their
own (panels in its rating; meters that are marked), and these add up. Where none of those measures
it, one of the other devices counts for the site.
"""

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Mask


def counted(
    site: NDArray[np.intp], sites: int, known: Mask, own: Mask, order: NDArray[np.int64] | None
) -> Mask:
    """Which of the devices that measure a power count for their site; shapes (devices,).

    ``site`` is each device's site; ``known`` marks those that measure, ``own`` those that add up.
    Of the others the first in ``order`` counts (an index; None = as they stand).
    """
    adds_up = known & own
    has_own = np.bincount(site, adds_up, sites) > 0
    rest = known & ~has_own[site]
    at = np.flatnonzero(rest) if order is None else order[rest[order]]
    first = np.full(sites, -1, np.int64)
    first[site[at[::-1]]] = at[::-1]
    adds_up[first[first >= 0]] = True
    return adds_up
