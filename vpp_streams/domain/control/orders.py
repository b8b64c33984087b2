"""From a region's share to leases: each device's setpoint, and which devices need a new command.

A device is sent a command only when its setpoint moves, its lease is half over, or it has none.
Every setpoint is checked against the ratings and the reserve before it is sent.
"""

from collections.abc import Collection

import msgspec
import numpy as np

from schemas.commands import CommandFrame, CommandRow
from schemas.dispatch import Dispatch
from schemas.grid import Alert, Droop
from vpp_streams.domain.arrays import Floats, Mask, Rows
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.lease import CAUSE, CREATED, IS_STANDING
from vpp_streams.domain.control.pool import Pool, View
from vpp_streams.domain.control.storms import in_storm

STALE_MS = 3_000
"""An order older than this is not carried out: a newer one is on its way."""
MOVES_W = 10.0
"""A setpoint that moves by less is not sent again before its lease is half over."""
MAX_ROWS = 2_000
"""Most rows of a frame: some 150 KB, well under Kafka's 1 MB, and a few ms of work to apply."""
FULL_RAMP_S = 1.0
"""Devices ramp from zero to their rating in this time."""


class Orders:
    """Makes the command frames of one partition."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rows = pool.commands
        self._policy = pool.commands.policy
        self.applied_ms: dict[str, int] = {}
        """Region -> ``issued_at_ms`` of the newest order carried out."""

    def carry_out(self, order: Dispatch, view: View) -> list[CommandFrame]:
        """The commands that a region's order calls for now; none where the order is old."""
        newest = self.applied_ms.get(order.region, 0)
        if order.issued_at_ms < max(newest, view.now_ms - STALE_MS):
            self._rows.counts["orders_stale"] += 1
            return []
        self.applied_ms[order.region] = order.issued_at_ms
        if order.region not in view.ratings.regions:
            return []
        mine = view.region == view.ratings.regions.index(order.region)
        rearmed = self._pool.droop.get(order.region) != order.droop
        self._pool.droop[order.region] = order.droop
        until_ms = view.now_ms + self._policy.lease_ms
        if order.shares is None:
            rows, setpoint_w = self._to_release(view, mine)
        else:
            until_ms = min(until_ms, order.until_ms)
            rows, setpoint_w = self._to_move(order, view, mine, everyone=rearmed)
        template = self._template(
            order.region,
            order.request_id,
            asked_at_ms=order.asked_at_ms,
            now_ms=view.now_ms,
            until_ms=until_ms,
            droop=order.droop,
        )
        return self._frames(view, rows, setpoint_w, template)

    def _template(
        self,
        region: str,
        request_id: str,
        *,
        asked_at_ms: int,
        now_ms: int,
        until_ms: int,
        droop: Droop | None = None,
    ) -> CommandFrame:
        """A frame of a request's commands, without its rank, slot and rows."""
        return CommandFrame(
            partition=self._rows.partition,
            rank=0,
            slot=0,
            region=region,
            request_id=request_id,
            created_at_ms=now_ms,
            asked_at_ms=asked_at_ms,
            not_before_ms=now_ms,
            valid_until_ms=until_ms,
            droop=droop,
            rows=(),
        )

    def fill_for_storms(self, view: View, alerts: Collection[Alert]) -> list[CommandFrame]:
        """Charge the batteries in the way of a storm and keep them full, ahead of any order."""
        frames = []
        rows = self._rows
        for alert in alerts:
            sites = self._pool.fleet.roster.rows()
            here = in_storm(alert, view.now_ms, sites.site_ids, sites.regions)
            if not here.any():
                continue
            able = here[view.ratings.site] & (view.cause == CAUSE["storm"])
            at = np.flatnonzero(able & (rows["barred_until_ms"] <= view.now_ms))
            room = self._pool.bounds(view, able)
            wanted = room.least_w[at]
            held = rows.held_w(view.now_ms)[at]
            # Near full the room shrinks with every second: only real moves are sent.
            moves = ~(np.abs(held - wanted) <= np.maximum(0.05 * np.abs(wanted), 200.0))
            send = moves | self._to_renew(view, at, alert.ends_at_ms)
            for region in sorted({view.ratings.regions[r] for r in view.region[at[send]]}):
                of = send & (view.region[at] == view.ratings.regions.index(region))
                template = self._storm_frame(region, alert, view.now_ms)
                frames += self._frames(view, at[of], wanted[of], template)
        return frames

    def expect(self, order: Dispatch) -> None:
        """Note the request of a newer order, before the view that it is carried out with."""
        if order.issued_at_ms >= self.applied_ms.get(order.region, 0):
            self._pool.request[order.region] = order.request_id if order.shares is not None else ""

    def release_excluded(self, view: View) -> list[CommandFrame]:
        """The ends of the leases of devices that take no part any more: their sites are not active,
        or their owners have paused, have left, or skip the request."""
        at, released_w = self._to_release(view, (view.region < 0) | view.declined)
        regions = self._pool.fleet.roster.rows().regions
        region_of = np.array([regions[site] for site in view.ratings.site[at].tolist()], object)
        frames = []
        for region in sorted(set(region_of.tolist()) - {""}):  # "": it is not registered
            of, now_ms = region_of == region, view.now_ms
            until_ms = now_ms + self._policy.lease_ms
            template = self._template(
                region, "", asked_at_ms=now_ms, now_ms=now_ms, until_ms=until_ms
            )
            frames += self._frames(view, at[of], released_w[of], template)
        return frames

    def _storm_frame(self, region: str, alert: Alert, now_ms: int) -> CommandFrame:
        return self._template(
            region,
            alert.alert_id,
            asked_at_ms=alert.prepare_from_ms,
            now_ms=now_ms,
            until_ms=min(now_ms + self._policy.lease_ms, alert.ends_at_ms),
        )

    def _to_move(
        self, order: Dispatch, view: View, mine: Mask, *, everyone: bool
    ) -> tuple[Rows, Floats]:
        _, feeders = self._pool.fleet.roster.feeders()
        chosen: list[Rows] = []
        setpoints: list[Floats] = []
        for share in order.shares or ():
            if share.feeder not in feeders:
                continue
            feeder = feeders.index(share.feeder)
            here = mine & (view.feeder == feeder)
            rows = np.flatnonzero(here & view.able)
            share_w = share.share_w
            if share.uncontrolled_w is not None:
                # A device that has returned, or left, since the region counted: its power has
                # moved from one side of the sum to the other.
                share_w += share.uncontrolled_w - view.uncontrolled_w(here)
            setpoint_w = self._settle(view, rows, share_w)
            held = self._rows.held_w(view.now_ms)[rows]
            send = ~(np.abs(setpoint_w - held) <= MOVES_W)
            send |= self._to_renew(view, rows, order.until_ms) | everyone
            chosen.append(rows[send])
            setpoints.append(setpoint_w[send])
        if not chosen:
            return np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(chosen), np.concatenate(setpoints)

    def _settle(self, view: View, rows: Rows, share_w: float) -> Floats:
        """Setpoints that sum to the share, W: the current ones while they do so closely enough."""
        room, held = view.room, self._rows.held_w(view.now_ms)[rows]
        kept = np.clip(held, room.least_w[rows], room.most_w[rows])
        near = max(self._policy.keep_share * abs(share_w), 1.0)
        if len(rows) and np.isfinite(kept).all() and abs(float(kept.sum()) - share_w) <= near:
            return np.asarray(kept)
        return allocate(self._pool.problem(view, rows), share_w).setpoint_w

    def _to_renew(self, view: View, rows: Rows, until_ms: int) -> Mask:
        """Rows whose lease is half over and could be longer."""
        valid = self._rows["valid_until_ms"][rows]
        could = min(view.now_ms + self._policy.lease_ms, until_ms)
        return np.asarray((valid - view.now_ms < self._policy.renew_ms) & (could > valid + 1000))

    def _to_release(self, view: View, mine: Mask) -> tuple[Rows, Floats]:
        rows = self._rows
        holds = rows.acting(view.now_ms) | np.isfinite(rows.held_w(view.now_ms))
        released = np.isnan(rows["setpoint_w"]) & (
            IS_STANDING[rows["state"]] | (rows["state"] == CREATED)
        )
        released &= view.now_ms - rows["created_ms"] < self._policy.again_ms
        storm = view.cause == CAUSE["storm"]
        gone = (rows["bar"] == CAUSE["offline"]) & (rows["barred_until_ms"] > view.now_ms)
        at = np.flatnonzero(mine & holds & ~released & ~storm & ~gone & (rows["epoch"] >= 0))
        return at, np.full(len(at), np.nan)

    def _frames(
        self, view: View, rows: Rows, setpoint_w: Floats, common: CommandFrame
    ) -> list[CommandFrame]:
        """Commands by gateway slot, noted as sent."""
        rows, setpoint_w = self._checked(view, rows, setpoint_w, common)
        if not len(rows):
            return []
        order = np.argsort(self._rows["slot"][rows], kind="stable")
        rows, setpoint_w = rows[order], setpoint_w[order]  # a frame's rows side by side in memory
        epochs, slots = self._rows["epoch"][rows], self._rows["slot"][rows]
        made = self._command_rows(view, rows, epochs, setpoint_w)
        ranked = msgspec.structs.replace(common, rank=self._rows.next_rank(view.now_ms))
        self._rows.note(ranked, rows, setpoint_w, epochs)
        found, starts = np.unique(slots, return_index=True)
        return [
            msgspec.structs.replace(
                ranked, slot=slot, rows=tuple(made[first : min(first + MAX_ROWS, end)])
            )
            for slot, start, end in zip(
                found.tolist(), starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True
            )
            for first in range(start, end, MAX_ROWS)
        ]

    def _command_rows(
        self, view: View, rows: Rows, epochs: Rows, setpoint_w: Floats
    ) -> list[CommandRow]:
        """A `CommandRow` for each of these rows."""
        ids, ratings = self._pool.fleet.twins.device_ids, view.ratings
        ramp_w_s = np.maximum(ratings.rated_discharge_w, ratings.rated_charge_w)[rows] / FULL_RAMP_S
        watts: list[float | None] = setpoint_w.tolist()
        if np.isnan(setpoint_w).any():
            watts = [None if w != w else w for w in watts]  # noqa: PLR0124 - NaN is not itself
        columns = (c.tolist() for c in (ramp_w_s, view.reserve[rows]))
        # In the order of the struct's fields: by name it takes twice as long.
        names = [ids[row] for row in rows.tolist()]
        return [*map(CommandRow, names, epochs.tolist(), watts, *columns)]

    def _checked(
        self, view: View, rows: Rows, setpoint_w: Floats, common: CommandFrame
    ) -> tuple[Rows, Floats]:
        """Leave out and count setpoints that break a bound: they would be a bug."""
        if common.valid_until_ms <= view.now_ms:
            return rows[:0], setpoint_w[:0]
        released = np.isnan(setpoint_w)
        ratings = view.ratings
        within = (setpoint_w <= ratings.rated_discharge_w[rows] + 1e-6) & (
            setpoint_w >= -ratings.rated_charge_w[rows] - 1e-6
        )
        empty = (view.latest.soc[rows] <= view.reserve[rows]) & (setpoint_w > 1e-6)
        fine = released | (within & ~empty)
        self._rows.counts["breaches"] += int((~fine).sum())
        return rows[fine], setpoint_w[fine]
