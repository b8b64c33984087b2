"""Commands of one fleet partition: who can be commanded, what each device was asked and did.

Rows are those of the partition's twins. The state is a fold of three topics of the same
partition (``presence``, ``commands``, ``command.events``), so a worker that takes over reads the
last minutes of them and knows what every device holds. Time is passed in.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.commands import (
    FINAL,
    CommandEvent,
    CommandFrame,
    CommandState,
    command_id,
    rank_of,
)
from schemas.presence import Presence
from tables.columnar import Columns
from tables.twins import Twins
from vpp_streams.domain.columns import Column
from vpp_streams.domain.lease import (
    CAUSE,
    CODE,
    CREATED,
    NAMES,
    NONE,
    STANDING,
    UNANSWERED,
    LeasePolicy,
    bar_of,
)
from vpp_streams.domain.rollup import Floats

COLUMNS: Mapping[str, Column] = {
    "epoch": Column(np.int64, -1),
    "slot": Column(np.int16, -1),
    "rank": Column(np.int64),
    "rank_before": Column(np.int64),
    "setpoint_w": Column(np.float64, np.nan),
    "created_ms": Column(np.int64),
    "valid_until_ms": Column(np.int64),
    "state": Column(np.int8, NONE),
    "acting_rank": Column(np.int64),
    "acting_w": Column(np.float64, np.nan),
    "acting_from_ms": Column(np.int64),
    "acting_until_ms": Column(np.int64),
    "untold_ms": Column(np.int64),  # when that lease ends, while its end was not told; else 0
    "bar": Column(np.int8),
    "barred_until_ms": Column(np.int64),
    "off_since_ms": Column(np.int64),
    "bound_w": Column(np.float64, np.nan),
    "bound_until_ms": Column(np.int64),
}
KEPT_MS = 600_000
"""Frames are remembered this long: far beyond any lease."""


class Asked(NamedTuple):
    """What all commands of one rank have in common."""

    request_id: str
    region: str
    created_ms: int
    valid_until_ms: int


class CommandRows:
    """The newest command of each device, where it is connected, and what it refused."""

    def __init__(self, partition: int, twins: Twins, policy: LeasePolicy) -> None:
        self.partition = partition
        self.policy = policy
        self.rank = 0
        """The newest that was given."""
        self.columns = Columns(COLUMNS)
        self.counts: Counter[str] = Counter()
        self._twins = twins
        self._asked: dict[int, Asked] = {}
        self._absent: dict[str, tuple[int, int]] = {}
        """Devices that are connected and have said nothing yet: epoch and slot."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name][: self.columns.rows]

    def grow(self) -> None:
        """Give every twin a row here."""
        have, want = self.columns.rows, len(self._twins.device_ids)
        if have == want:
            return
        self.columns.grow(want)
        for row in range(have, want):
            known = self._absent.pop(self._twins.device_ids[row], None)
            if known is not None:
                self["epoch"][row], self["slot"][row] = known

    def presence(self, record: Presence, offset: int) -> None:
        """A device has come or gone. The offset of its connect record is the epoch."""
        row = self._twins.row(record.device_id)
        known = self._absent.get(record.device_id, (-1, -1))[0]
        epoch = known if row is None or row >= self.columns.rows else int(self["epoch"][row])
        if record.status == "connected":
            stands = (offset, record.gateway_slot)
        elif record.epoch == epoch:
            stands = (-1, -1)
        else:
            return  # a newer connection stands
        if row is None or row >= self.columns.rows:
            self._absent[record.device_id] = stands
            return
        self["epoch"][row], self["slot"][row] = stands
        if self["state"][row] in UNANSWERED:
            # What was on its way to the old connection will not be answered any more.
            self["state"][row] = CODE["failed"]

    def apply_frame(self, frame: CommandFrame) -> None:
        """Commands that were made: by a worker before us, or (known already) by us."""
        self.grow()
        row_of, have = self._twins.row, self.columns.rows
        found = [(row_of(asked.device_id), asked.setpoint_w) for asked in frame.rows]
        known = [(row, watts) for row, watts in found if row is not None and row < have]
        rows = np.array([row for row, _ in known], np.int64)
        self.note(frame, rows, np.array([watts for _, watts in known], np.float64))

    def note(self, frame: CommandFrame, rows: NDArray[np.int64], setpoint_w: Floats) -> None:
        """These rows were asked for these powers (NaN = release), unless by a newer rank since."""
        self.rank = max(self.rank, frame.rank)
        self._asked[frame.rank] = Asked(
            frame.request_id, frame.region, frame.created_at_ms, frame.valid_until_ms
        )
        newer = frame.rank > self["rank"][rows]
        at = rows[newer]
        self["rank_before"][at] = self["rank"][at]
        self["rank"][at] = frame.rank
        self["state"][at] = CREATED
        self["created_ms"][at] = frame.created_at_ms
        self["valid_until_ms"][at] = frame.valid_until_ms
        self["setpoint_w"][at] = setpoint_w[newer]

    def apply_event(self, event: CommandEvent) -> None:
        """What became of a command. Events of older connections and commands change nothing."""
        row = self._twins.row(event.device_id)
        rank = rank_of(event.command_id, self.partition)
        if row is None or row >= self.columns.rows or rank is None:
            self.counts["events_unknown"] += 1
            return
        if event.epoch is not None and event.epoch < self["epoch"][row]:
            self.counts["events_of_old_connections"] += 1
            return
        if rank not in (self["rank"][row], self["rank_before"][row]):
            self.counts["events_unknown"] += 1
            return
        if event.state in ("accepted", "applied"):
            self._note_acting(row, rank, event)
        elif event.state in FINAL and rank == self["acting_rank"][row]:
            self["untold_ms"][row] = 0
            if event.state != "superseded":  # by one that says that it was accepted
                self["acting_until_ms"][row] = min(event.at_ms, self["acting_until_ms"][row])
        if rank != self["rank"][row]:
            return
        self["state"][row] = CODE[event.state]
        if event.state == "failed" and event.reason == "not connected":
            self["epoch"][row] = -1  # a gateway that died could not say that the device left
        if bar := bar_of(event, self.policy):
            self["bar"][row] = CAUSE[bar[0]]
            self["barred_until_ms"][row] = event.at_ms + bar[1]

    def _note_acting(self, row: int, rank: int, event: CommandEvent) -> None:
        """The device took a lease (or tells that it does what an older one asks)."""
        asked = self._asked.get(rank)
        if asked is None or rank < self["acting_rank"][row]:
            return
        setpoint_w = float(self["setpoint_w"][row]) if rank == self["rank"][row] else np.nan
        self["acting_rank"][row] = rank
        self["untold_ms"][row] = asked.valid_until_ms
        if rank == self["rank"][row] and np.isnan(setpoint_w):
            self["acting_until_ms"][row] = event.at_ms  # released
            return
        lapsed = self["acting_until_ms"][row] < event.at_ms
        if lapsed or not abs(self["acting_w"][row] - setpoint_w) <= 1.0:
            self["acting_from_ms"][row] = event.at_ms
        self["acting_w"][row] = setpoint_w
        self["acting_until_ms"][row] = asked.valid_until_ms

    def next_rank(self, now_ms: int) -> int:
        """Rises with time, across workers too, and always within one."""
        self.rank = max(self.rank + 1, now_ms)
        return self.rank

    def acting(self, now_ms: int) -> NDArray[np.bool_]:
        """Who holds a lease, as far as we know."""
        return np.asarray(self["acting_until_ms"] > now_ms)

    def pending(self, now_ms: int) -> NDArray[np.bool_]:
        """Whose newest command is on its way, not answered and not given up."""
        fresh = now_ms - self["created_ms"] < self.policy.again_ms
        return np.isin(self["state"], UNANSWERED) & fresh

    def held_w(self, now_ms: int) -> NDArray[np.float64]:
        """What each device was asked last, where it holds that or is about to; else NaN."""
        standing = np.isin(self["state"], STANDING) & (self["valid_until_ms"] > now_ms)
        return np.where(standing | self.pending(now_ms), self["setpoint_w"], np.nan)

    def request_of(self, row: int) -> str:
        """The request behind a device's newest command; "" where it is forgotten."""
        asked = self._asked.get(int(self["rank"][row]))
        return asked.request_id if asked else ""

    def expire(self, now_ms: int) -> list[CommandEvent]:
        """End what has no word from its device or gateway, and say so."""
        for rank in [r for r, a in self._asked.items() if a.created_ms < now_ms - KEPT_MS]:
            del self._asked[rank]
        waits = np.isin(self["state"], UNANSWERED)
        lost = waits & (now_ms - self["created_ms"] >= self.policy.again_ms)
        # A device tells the end of its lease itself; it is given a moment to.
        over = (self["untold_ms"] > 0) & (self["untold_ms"] < now_ms - self.policy.again_ms)
        self["bar"][lost] = CAUSE["no_answer"]
        self["barred_until_ms"][lost] = now_ms + self.policy.again_ms
        self["state"][lost] = CODE["failed"]
        self["state"][over & (self["acting_rank"] == self["rank"])] = CODE["expired"]
        self["untold_ms"][over] = 0
        return [
            *self._ends(lost, "rank", "failed", "no gateway answers for the device", now_ms),
            *self._ends(over, "acting_rank", "expired", "its end was not told", now_ms),
        ]

    def _ends(
        self, which: NDArray[np.bool_], rank: str, state: CommandState, reason: str, now_ms: int
    ) -> list[CommandEvent]:
        return [
            CommandEvent(
                device_id=self._twins.device_ids[row],
                command_id=command_id(self.partition, int(self[rank][row])),
                state=state,
                at_ms=now_ms,
                reason=reason,
            )
            for row in np.flatnonzero(which).tolist()
        ]

    def describe(self, row: int, now_ms: int) -> dict[str, Any] | None:
        """A device's newest command as JSON values; None where there is none."""
        self.grow()
        if not self["rank"][row]:
            return None
        setpoint = float(self["setpoint_w"][row])
        return {
            "command_id": command_id(self.partition, int(self["rank"][row])),
            "request_id": self.request_of(row),
            "state": NAMES[self["state"][row]],
            "setpoint_w": None if np.isnan(setpoint) else setpoint,
            "created_at_ms": int(self["created_ms"][row]),
            "valid_until_ms": int(self["valid_until_ms"][row]),
            "standing": bool(self["acting_until_ms"][row] > now_ms),
        }
