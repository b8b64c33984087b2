"""Several batteries of one site as one: their state of charge is weighted by their capacities."""

import math
from collections.abc import Sequence

from edge.vendor_fields.document import NAN
from schemas.bodies import Quality


def joint_soc(
    socs: Sequence[float], capacities_wh: Sequence[float] | None = None
) -> tuple[float, Quality]:
    """The state of charge (0..1) of all batteries; NaN if that of one is not measured.

    ``capacities_wh`` has the capacity of each battery (NaN or 0 = not known; None = of none of
    them). If one is not known, the batteries are taken to be alike, which is an estimate unless
    their states of charge are equal.
    """
    if not socs or any(map(math.isnan, socs)):
        return NAN, Quality.OK
    if min(socs) == max(socs):
        return socs[0], Quality.OK
    if capacities_wh is not None and all(wh > 0 for wh in capacities_wh):
        weighted = sum(soc * wh for soc, wh in zip(socs, capacities_wh, strict=True))
        return weighted / sum(capacities_wh), Quality.OK
    return sum(socs) / len(socs), Quality.ESTIMATED
