"""How many batteries of a region in one partition can be commanded now, and why others cannot."""

import numpy as np

from schemas.commandable import HINDRANCES, Commandable, Hindered, Hindrance
from vpp_streams.domain.control.lease import CAUSE
from vpp_streams.domain.control.pool import FREE, Pool, View

_OF_CAUSE: dict[int, Hindrance] = {
    CAUSE["islanded"]: "islanded",
    CAUSE["storm"]: "storm",
    CAUSE["refused"]: "refused",
    CAUSE["opted_out"]: "opted_out",
    CAUSE["no_answer"]: "no_answer",
    CAUSE["not_heard"]: "unmeasured",
    CAUSE["measures_only"]: "measures_only",
}


def commandable(pool: Pool, view: View, at: int, region: str) -> Commandable:
    """Of the region's registered batteries in this partition; ``at`` is its index in the view."""
    battery = (view.region == at) & (view.ratings.rated_energy_wh > 0)
    rated_w = view.ratings.rated_discharge_w
    rows = pool.commands
    offline = view.cause == CAUSE["offline"]
    gone = (rows["epoch"] < 0) | (rows["barred_until_ms"] > view.now_ms) & view.reporting
    why = {_OF_CAUSE[code]: view.cause == code for code in _OF_CAUSE}
    why["not_connected"], why["silent"] = offline & gone, offline & ~gone
    count = {name: (int((battery & w).sum()), float(rated_w[battery & w].sum()))
             for name, w in why.items()}  # fmt: skip
    unseen = pool.fleet.roster.unseen().get(region)
    if unseen is not None:
        count["never_seen"] = unseen.devices, unseen.up_w
    free = battery & (view.cause == FREE)
    ours = int(free.sum()), float(rated_w[free].sum())
    hindered = tuple(
        Hindered(cause=name, batteries=count[name][0], rated_w=count[name][1])
        for name in HINDRANCES
        if count.get(name, (0, 0.0))[0]
    )
    return Commandable(
        batteries=ours[0] + sum(h.batteries for h in hindered),
        rated_w=float(np.sum([ours[1], *(h.rated_w for h in hindered)])),
        commandable=ours[0],
        commandable_w=ours[1],
        hindered=hindered,
    )
