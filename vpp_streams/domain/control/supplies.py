"""What a pool reports: supply curves, deliverable power, what is missing and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from schemas.dispatch import Cause, Missing, Supply, SupplyPartial
from schemas.windows import Deliverable
from vpp_streams.domain.arrays import Floats, Mask
from vpp_streams.domain.control.commandable import commandable
from vpp_streams.domain.control.headroom import HOUR_S
from vpp_streams.domain.control.lease import CAUSE, CAUSES, CODE, NAMES
from vpp_streams.domain.control.pool import FREE, Pool, View
from vpp_streams.domain.control.supply import supply_curve
from vpp_streams.domain.fleet.rollup import DURATIONS_S, Sites

POTENTIAL_S = 900.0
"""Power that is missing is counted as what could have been held for this long."""


@dataclass(frozen=True, slots=True)
class _Everyone:
    """What is computed once for the devices of all regions; shape (devices,), W."""

    held_w: Floats
    """The setpoint that each device follows; NaN = none."""
    up_w: Floats
    """See `_potential_w`."""
    down_w: Floats
    net_load_w: Floats
    """Of each site, shape (sites,)."""


def supplies(pool: Pool, view: View, applied_ms: dict[str, int]) -> list[SupplyPartial]:
    """The supply of each region from its batteries in this partition."""
    sites = Sites(
        view.latest,
        replace(view.ratings, backup_reserve=view.site_reserve),
        view.reporting,
        view.able,
    )
    held = {d: [sites.by_region(side) for side in sites.deliverable_w(d)] for d in DURATIONS_S}
    everyone = _Everyone(pool.commands.held_w(view.now_ms), *_potential_w(view), _net_load_w(sites))
    return [
        _supply_of(
            pool,
            view,
            at,
            region,
            deliverable=tuple(
                Deliverable(d, float(u[at]), float(w[at])) for d, (u, w) in held.items()
            ),
            everyone=everyone,
            applied_ms=applied_ms.get(region, 0),
        )
        for at, region in enumerate(view.ratings.regions)
    ]


def _supply_of(
    pool: Pool,
    view: View,
    at: int,
    region: str,
    *,
    deliverable: tuple[Deliverable, ...],
    everyone: _Everyone,
    applied_ms: int,
) -> SupplyPartial:
    mine = view.region == at
    commanded = everyone.held_w[mine & view.able]
    return SupplyPartial(
        region=region,
        partition=pool.fleet.partition,
        at_ms=view.now_ms,
        supplies=tuple(_supply_by_feeder(pool, view, at, everyone.net_load_w)),
        deliverable=deliverable,
        commanded_w=float(np.nansum(commanded)),
        measured_w=float(view.power_w[mine].sum()),
        states=_states(pool, view, mine),
        missing=_missing(pool, view, mine, region, everyone),
        storm_wh=_storm_wh(view, mine),
        applied_ms=applied_ms,
        commandable=commandable(pool, view, at, region),
    )


def _supply_by_feeder(pool: Pool, view: View, at: int, net_load_w: Floats) -> Iterator[Supply]:
    """The supply curve of each feeder of a region; ``at`` is the region's number."""
    site_feeder, names = pool.fleet.roster.feeders()
    ratings = view.ratings
    for feeder in np.unique(site_feeder[ratings.region == at]).tolist():
        here = (view.region == at) & (view.feeder == feeder)
        curve = supply_curve(pool.problem(view, np.flatnonzero(here & view.able)))
        sites = (ratings.region == at) & (site_feeder == feeder)
        yield Supply(
            feeder=names[feeder],
            prices=tuple(curve.prices.tolist()),
            power_w=tuple(curve.power_w.tolist()),
            uncontrolled_w=view.uncontrolled_w(here),
            net_load_w=float(net_load_w[sites].sum()),
        )


def _states(pool: Pool, view: View, mine: Mask) -> dict[str, int]:
    """Number of batteries by the state of the command that counts now."""
    rows = pool.commands
    battery = mine & (view.ratings.rated_energy_wh > 0)
    counts = Counter[str]()
    counts["offline"] = int((battery & (view.cause == CAUSE["offline"])).sum())
    counts["storm"] = int((battery & (view.cause == CAUSE["storm"])).sum())
    there = battery & (view.cause != CAUSE["offline"]) & (view.cause != CAUSE["storm"])
    live = (rows["valid_until_ms"] > view.now_ms) & np.isfinite(rows["setpoint_w"])
    barred = there & (view.cause != FREE)
    state = np.where(live, rows["state"], CODE["none"])
    for code, count in zip(*np.unique(state[there & ~barred], return_counts=True), strict=True):
        counts[NAMES[code]] += int(count)
    for code, count in zip(*np.unique(view.cause[barred], return_counts=True), strict=True):
        counts[CAUSES[code]] += int(count)
    return {name: count for name, count in counts.items() if count}


def _potential_w(view: View) -> tuple[Floats, Floats]:
    """Power (up, down) that each device could have held for `POTENTIAL_S`, W."""
    r, latest = view.ratings, view.latest
    soc = np.where(np.isfinite(latest.soc), latest.soc, 1.0)
    per_hour = HOUR_S / POTENTIAL_S
    reserve = r.backup_reserve[r.site]  # the owner's: what a storm withholds is to show
    up = np.minimum(r.rated_discharge_w, ((soc - reserve) * r.rated_energy_wh * per_hour).clip(0.0))
    down = np.minimum(r.rated_charge_w, ((1 - soc) * r.rated_energy_wh * per_hour).clip(0.0))
    return up, down


def _missing(
    pool: Pool, view: View, mine: Mask, region: str, everyone: _Everyone
) -> tuple[Missing, ...]:
    """Power that these batteries could give otherwise, by what prevents it."""
    up, down = everyone.up_w, everyone.down_w
    found = [
        Missing(
            cause=CAUSES[code],
            devices=int(rows.sum()),
            up_w=float(up[rows].sum()),
            down_w=float(down[rows].sum()),
        )
        for code in np.unique(view.cause[mine & (view.cause != FREE)]).tolist()
        if (rows := mine & (view.cause == code)).any()
    ]
    if (unseen := pool.fleet.roster.unseen().get(region)) is not None:
        found.append(
            Missing(
                cause="not_heard", devices=unseen.devices, up_w=unseen.up_w, down_w=unseen.down_w
            )
        )
    bounded = mine & view.able & (pool.commands["bound_until_ms"] > view.now_ms)
    free, room = mine & view.able & ~bounded, view.room
    found += _short("not_following", bounded, up - room.most_w, down + room.least_w)
    found += _short("reserve", free, room.short_of_energy_w, room.too_full_w)
    found += _short("connection", free, room.no_room_w, room.no_room_down_w)
    return tuple(found)


def _short(cause: Cause, rows: Mask, up_w: Floats, down_w: Floats) -> list[Missing]:
    """Power missing from these devices for one cause: a record for each direction concerned."""
    up, down = rows & (up_w > 1.0), rows & (down_w > 1.0)
    found = [
        Missing(cause=cause, devices=int(up.sum()), up_w=float(up_w[up].sum()), down_w=0.0),
        Missing(cause=cause, devices=int(down.sum()), up_w=0.0, down_w=float(down_w[down].sum())),
    ]
    return [missing for missing in found if missing.devices]


def _storm_wh(view: View, mine: Mask) -> float:
    """Energy that batteries in a storm's way are missing to their reserve, Wh."""
    rows = mine & (view.cause == CAUSE["storm"]) & np.isfinite(view.latest.soc)
    missing = (view.reserve - view.latest.soc)[rows].clip(0.0)
    return float((missing * view.ratings.rated_energy_wh[rows]).sum())


def _net_load_w(sites: Sites) -> Floats:
    """Load less solar per site, W, where the grid connection is measured, else 0."""
    p, m = sites.power_w, sites.measured
    return np.where(m["grid_w"], p["grid_w"] + p["battery_w"], 0.0)
