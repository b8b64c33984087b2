"""The batteries of one fleet partition that can be commanded now, and what each can give.

Joins the twins (what was measured), the registry (what is rated and reserved), the command rows
(which are connected, what they were ordered) and the storms. Time is passed in.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.droop import droop_w
from schemas.grid import Alert, Droop
from vpp_streams.domain.arrays import Floats, Mask, Rows
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.curves import Problem
from vpp_streams.domain.control.headroom import Headroom, headroom
from vpp_streams.domain.control.lease import CAUSE, IS_STANDING
from vpp_streams.domain.control.storms import reserves
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.rollup import Latest, Ratings, reporting_devices

FREE = -1
"""In place of a cause: nothing keeps the device from being commanded."""
STICK = 0.25
"""Moving a setpoint costs this share of what giving the power costs."""


@dataclass(frozen=True, slots=True)
class View:
    """The partition at one moment; arrays are per device row unless said otherwise.

    It is out of date once anything is applied to the partition; a new device makes it too short.
    """

    now_ms: int
    latest: Latest
    ratings: Ratings
    region: NDArray[np.int64]
    """Index into ``ratings.regions``, -1 = not registered."""
    feeder: NDArray[np.int64]
    reserve: Floats
    """Reserve per device that counts now, a fraction: the owner's or a storm's."""
    site_reserve: Floats
    declined: Mask
    """Whether the owner takes no part now: has paused, has left, or skips the region's request."""
    reporting: Mask
    cause: NDArray[np.int64]
    """Why a battery cannot be commanded, index into `CAUSES`; FREE where it can. Rows that are
    no battery have FREE and are not able."""
    able: Mask
    room: Headroom
    power_w: Floats
    """Measured power; the last one of a silent device that holds a lease, the setpoint of one whose
    readings are bad; else 0."""

    def uncontrolled_w(self, rows: Mask) -> float:
        """Power of those of the rows that cannot be commanded, W.

        The others make up for it: a device counts up to what it is registered for.
        """
        ratings, at = self.ratings, np.flatnonzero(rows & ~self.able)
        most_w, least_w = ratings.rated_discharge_w[at], -ratings.rated_charge_w[at]
        return float(self.power_w[at].clip(least_w, most_w).sum())


class Pool:
    """What a partition's batteries can give, and the setpoint of each for it."""

    def __init__(self, fleet: FleetPartition, commands: CommandRows) -> None:
        self.commands = commands
        self.fleet = fleet
        self._policy = commands.policy
        # The energy for twice a lease must be there: telemetry is a little old, leases renew.
        self._horizon_s = 2 * commands.policy.lease_ms / 1000
        self.droop: dict[str, Droop | None] = {}
        """Region -> the droop that its devices are armed with."""
        self.request: dict[str, str] = {}
        """Region -> the request that it is ordered to carry out; "" = none."""

    def view_at(self, now_ms: int, alerts: Collection[Alert] = ()) -> View:
        """The view of the partition at this time."""
        fleet, rows = self.fleet, self.commands
        rows.grow()
        latest, ratings = fleet.twins.latest(), fleet.roster.ratings()
        sites = fleet.roster.rows()
        n = rows.columns.rows
        reporting = reporting_devices(latest, now_ms, self._policy.silent_after_ms)
        site_reserve, in_storm = reserves(
            alerts,
            now_ms,
            sites.site_ids,
            sites.regions,
            owners=(ratings.backup_reserve, fleet.roster.choices().storm_mode),
        )
        declined = self._declined(now_ms)[ratings.site]
        region = ratings.region[ratings.site].astype(np.int64) if n else np.zeros(0, np.int64)
        battery = (ratings.rated_energy_wh > 0) & (region >= 0)
        cause = self._causes(
            now_ms, latest, reporting, in_storm=in_storm[ratings.site] & battery, declined=declined
        )
        able = battery & (cause == FREE)
        feeder, _ = fleet.roster.feeders()
        room = headroom(
            latest,
            ratings,
            site_reserve,
            reporting=reporting,
            commandable=able,
            horizon_s=self._horizon_s,
        )
        known = np.isfinite(latest.battery_w) & (reporting | rows.acting(now_ms))
        return View(
            now_ms=now_ms,
            latest=latest,
            ratings=ratings,
            region=region,
            feeder=feeder[ratings.site] if n else np.zeros(0, np.int64),
            reserve=site_reserve[ratings.site],
            site_reserve=site_reserve,
            declined=declined,
            reporting=reporting,
            cause=np.where(battery, cause, FREE),
            able=able,
            room=self._bounded(room, now_ms),
            power_w=np.where(known, latest.battery_w, self._assumed_w(latest, now_ms)),
        )

    def _assumed_w(self, latest: Latest, now_ms: int) -> Floats:
        """Power of devices that is not measured, W: a bad reading says nothing about it."""
        if latest.bad is None:
            return np.zeros(len(latest.battery_w))
        asked_w = np.where(self.commands.acting(now_ms), self.commands.held_w(now_ms), 0.0)
        return np.where(latest.bad & np.isfinite(asked_w), asked_w, 0.0)

    def bounds(self, view: View, rows: Mask) -> Headroom:
        """Bounds as in ``view.room``, for devices that the pool does not command."""
        return headroom(
            view.latest,
            view.ratings,
            view.site_reserve,
            reporting=view.reporting,
            commandable=rows,
            horizon_s=self._horizon_s,
        )

    def _declined(self, now_ms: int) -> Mask:
        """Whether each site's owner takes no part now."""
        roster = self.fleet.roster
        declined: Mask = roster.choices().paused_until_ms > now_ms
        declined[roster.skipping(self.request)] = True
        return declined

    def _causes(
        self, now_ms: int, latest: Latest, reporting: Mask, *, in_storm: Mask, declined: Mask
    ) -> Rows:
        rows, twins = self.commands, self.fleet.twins
        islanded = twins.columns["islanded"][: rows.columns.rows] == 1
        barred = rows["barred_until_ms"] > now_ms
        offline = (rows["epoch"] < 0) | ~reporting
        bad = np.zeros(len(offline), np.bool_) if latest.bad is None else latest.bad
        found = (
            (islanded & reporting, CAUSE["islanded"]),
            (offline, CAUSE["offline"]),
            (rows["measures_only"], CAUSE["measures_only"]),
            (in_storm, CAUSE["storm"]),
            (declined, CAUSE["opted_out"]),
            (barred, rows["bar"]),
            (bad, CAUSE["not_believed"]),
            (~np.isfinite(latest.soc), CAUSE["not_heard"]),
        )
        masks, causes = zip(*found, strict=True)
        cause: Rows = np.select(masks, causes, FREE).astype(np.int64)
        return cause

    def _bounded(self, room: Headroom, now_ms: int) -> Headroom:
        """Bounds that cap a device that did not follow at its measured power."""
        rows = self.commands
        bound = np.where(rows["bound_until_ms"] > now_ms, rows["bound_w"], np.nan)
        asked_up = np.isfinite(bound) & (rows["setpoint_w"] > 0)
        asked_down = np.isfinite(bound) & (rows["setpoint_w"] < 0)
        return replace(
            room,
            most_w=np.where(asked_up, np.minimum(room.most_w, bound.clip(0.0)), room.most_w),
            least_w=np.where(
                asked_down, np.maximum(room.least_w, np.minimum(bound, 0.0)), room.least_w
            ),
        )

    def problem(self, view: View, rows: Rows) -> Problem:
        """The allocation problem of these rows."""
        n = len(rows)
        held = self.commands.held_w(view.now_ms)[rows]
        up, down = view.room.above_reserve_wh[rows], view.room.below_full_wh[rows]
        weight = np.where(held < 0, down, up).clip(1.0)
        return Problem(
            least_w=view.room.least_w[rows],
            most_w=view.room.most_w[rows],
            weight_up=up,
            weight_down=down,
            wear=np.zeros(n),
            stick=np.where(np.isfinite(held), STICK / weight, 0.0),
            held_w=np.nan_to_num(held),
            min_w=np.zeros(n),
            group=np.zeros(n, np.int64),
            group_least_w=np.array([-np.inf]),
            group_most_w=np.array([np.inf]),
        )

    def observe(self, view: View) -> None:
        """Compare measured powers with setpoints; cap devices that do not follow."""
        rows, policy, now_ms = self.commands, self._policy, view.now_ms
        settled = rows["acting_from_ms"] + policy.settle_ms
        judged = (
            IS_STANDING[rows["state"]]
            & rows.acting(now_ms)
            & (view.latest.received_at_ms > settled)  # the device's own clock may be wrong
            & view.reporting
            & np.isfinite(rows["setpoint_w"])
        )
        commanded = rows["setpoint_w"] + self._droop_w(view)
        off = np.abs(view.latest.battery_w - commanded)
        far = off > np.maximum(policy.off_share * np.abs(commanded), policy.off_w)
        since = rows["off_since_ms"]
        since[~(judged & far)] = 0
        since[judged & far & (since == 0)] = now_ms
        straggles = (since > 0) & (now_ms - since >= policy.off_ms)
        rows["bound_w"][straggles] = view.latest.battery_w[straggles]
        rows["bound_until_ms"][straggles] = now_ms + policy.bound_ms
        since[straggles] = 0
        rows.counts["not_following"] += int(straggles.sum())

    def _droop_w(self, view: View) -> Floats:
        response = np.zeros(len(view.region))
        hz = self.fleet.twins.columns["frequency_hz"][: len(response)]
        for at, region in enumerate(view.ratings.regions):
            droop = self.droop.get(region)
            mine = (view.region == at) & np.isfinite(hz)
            if droop is not None and mine.any():
                r = view.ratings
                response[mine] = droop_w(
                    hz[mine], droop, r.rated_charge_w[mine], r.rated_discharge_w[mine]
                )
        return response
