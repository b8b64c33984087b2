"""Commands of one fleet partition: which devices can be commanded, what each was ordered and did.

Rows are those of the partition's twins. The state is a fold of three topics of the same
partition (``presence``, ``commands``, ``command.events``), so a worker that takes over reads the
last minutes of them and knows what every device holds. Time is passed in.

What a device does and how its command ended are two things. A command has one end, the first in
the log (`vpp_streams.domain.control.command_ends`); a device may act on a lease although its
command was given up.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.commands import FINAL, CommandEvent, CommandFrame, CommandState, command_id, rank_of
from schemas.presence import Presence
from vpp_streams.domain.arrays import Column, Floats
from vpp_streams.domain.control.command_ends import CommandBatch, CommandEnds, Due, Missed
from vpp_streams.domain.control.lease import (
    CAUSE,
    CODE,
    CREATED,
    IS_STANDING,
    IS_UNANSWERED,
    NAMES,
    NONE,
    UNANSWERED,
    LeasePolicy,
    bar_of,
)
from vpp_streams.domain.fleet.columnar import Columns
from vpp_streams.domain.fleet.twins import Twins

COLUMNS: Mapping[str, Column] = {
    "epoch": Column(np.int64, -1),
    "slot": Column(np.int16, -1),
    "measures_only": Column(np.bool_, False),  # as the device said when it connected
    "rank": Column(np.int64),
    "asked_epoch": Column(np.int64, -1),  # the connection that the newest command was made for
    "setpoint_w": Column(np.float64, np.nan),
    "created_ms": Column(np.int64),
    "valid_until_ms": Column(np.int64),
    "state": Column(np.int8, NONE),
    "acting_rank": Column(np.int64),
    "acting_w": Column(np.float64, np.nan),
    "acting_from_ms": Column(np.int64),
    "acting_until_ms": Column(np.int64),
    "bar": Column(np.int8),
    "barred_until_ms": Column(np.int64),
    "off_since_ms": Column(np.int64),
    "bound_w": Column(np.float64, np.nan),
    "bound_until_ms": Column(np.int64),
}
_GONE = (-1, -1, False)
"""In place of a connection: there is none."""
_ENDS: Mapping[Missed, tuple[CommandState, str]] = {
    "no_answer": ("failed", "no gateway answers for the device"),
    "reconnected": ("failed", "its connection ended before the device answered"),
    "no_end": ("expired", "its end was not reported"),
}


def _asked_by(frame: CommandFrame) -> CommandBatch:
    return CommandBatch(frame.request_id, frame.region, frame.created_at_ms, frame.valid_until_ms)


class CommandRows:
    """The newest command of each device, where it is connected, and what it refused."""

    def __init__(self, partition: int, twins: Twins, policy: LeasePolicy) -> None:
        self.partition = partition
        self.policy = policy
        self.rank = 0
        """The newest rank that was assigned."""
        self.columns = Columns(COLUMNS)
        self.counts: Counter[str] = Counter()
        self._twins = twins
        self._ends = CommandEnds(policy)
        self._absent: dict[str, tuple[int, int, bool]] = {}
        """Devices that are connected and have not reported yet: epoch, slot, `measures_only`."""
        self._unseen: dict[str, int] = {}
        """Devices that a worker before us commanded and that have no row yet, by a number < 0."""

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
                self._connect(row, *known)

    def presence(self, record: Presence, offset: int) -> None:
        """Apply a device's connect or disconnect. The offset of its connect record is the epoch."""
        row = self._twins.row(record.device_id)
        known = self._absent.get(record.device_id, _GONE)[0]
        epoch = known if row is None or row >= self.columns.rows else int(self["epoch"][row])
        if record.status == "connected":
            stands = (offset, record.gateway_slot, record.measures_only)
        elif record.epoch == epoch:
            stands = _GONE
        else:
            return  # a newer connection stands
        if row is None or row >= self.columns.rows:
            self._absent[record.device_id] = stands
            return
        self._connect(row, *stands)
        if self["bar"][row] == CAUSE["offline"]:
            self["barred_until_ms"][row] = 0
        if self["asked_epoch"][row] < offset:
            self._lose(row)

    def _connect(self, row: int, epoch: int, slot: int, measures_only: bool) -> None:
        self["epoch"][row], self["slot"][row] = epoch, slot
        self["measures_only"][row] = measures_only

    def _lose(self, row: int) -> None:
        """Note that the connection that the newest command was sent over has ended.

        Its answer is not waited for. Its end is published a little later (`expire`), as its
        gateway mostly publishes it, and the device may have taken it.
        """
        if self["state"][row] in UNANSWERED:
            self["state"][row] = CODE["failed"]
            self._ends.lose(int(self["rank"][row]), row)

    def apply_frame(self, frame: CommandFrame) -> None:
        """Apply commands from the log: of a worker before us, or (known already) our own."""
        self.grow()
        row_of, have = self._twins.row, self.columns.rows
        known, unseen = [], []
        for command in frame.rows:
            row = row_of(command.device_id)
            if row is None or row >= have:
                unseen.append(self._number_of(command.device_id))
            else:
                known.append((row, command.setpoint_w, command.epoch))
        rows, watts, epochs = zip(*known, strict=True) if known else ((), (), ())
        self.note(
            frame,
            np.array(rows, np.int64),
            np.array(watts, np.float64),
            np.array(epochs, np.int64),
        )
        if unseen:
            self._ends.note(frame.rank, _asked_by(frame), np.array(unseen, np.int64))

    def note(
        self,
        frame: CommandFrame,
        rows: NDArray[np.int64],
        setpoint_w: Floats,
        epochs: NDArray[np.int64],
    ) -> None:
        """Note setpoints of these rows, W (NaN = release); one of a newer rank stays."""
        self.rank = max(self.rank, frame.rank)
        self._ends.note(frame.rank, _asked_by(frame), rows)
        newer = frame.rank > self["rank"][rows]
        at = rows[newer]
        self["rank"][at] = frame.rank
        self["state"][at] = CREATED
        self["created_ms"][at] = frame.created_at_ms
        self["valid_until_ms"][at] = frame.valid_until_ms
        self["setpoint_w"][at] = setpoint_w[newer]
        self["asked_epoch"][at] = epochs[newer]
        for row in at[self["epoch"][at] > epochs[newer]].tolist():
            self._lose(row)  # read after a presence record that is later in time

    def apply_event(self, event: CommandEvent) -> None:
        """Apply an event of a command.

        The first end in the log is its end, whoever publishes it and over whichever connection.
        What the device does is taken from its newest connection only.
        """
        row = self._twins.row(event.device_id)
        row = row if row is not None and row < self.columns.rows else None
        rank = rank_of(event.command_id, self.partition)
        final = event.state in FINAL
        stands = None if rank is None else self._counts(event, row, rank)
        if rank is None or stands is None:
            self.counts["events_unknown"] += 1
            return
        if not stands:
            self.counts["events_after_the_end"] += 1
        if row is None:
            return
        old = event.epoch is not None and event.epoch < self["epoch"][row]
        if old:
            self.counts["events_of_old_connections"] += 1
        else:
            self._note_acting(row, rank, event)
        if not stands or rank != self["rank"][row] or (old and not final):
            return
        self["state"][row] = CODE[event.state]
        if not old and (bar := bar_of(event, self.policy)):
            self["bar"][row] = CAUSE[bar[0]]
            self["barred_until_ms"][row] = event.at_ms + bar[1]

    def _note_acting(self, row: int, rank: int, event: CommandEvent) -> None:
        """Apply what the event says about the power that the device gives."""
        if event.state in ("accepted", "applied"):
            self._note_taken(row, rank, event)
        elif (
            event.state in FINAL
            and event.state != "superseded"  # by an event that says that it was accepted
            and event.epoch is not None  # the cloud only states that nobody reported it
            and rank == self["acting_rank"][row]
        ):
            self["acting_until_ms"][row] = min(event.at_ms, self["acting_until_ms"][row])

    def _note_taken(self, row: int, rank: int, event: CommandEvent) -> None:
        """Note that the device took a lease (or reports that it still follows an older one)."""
        batch = self._ends.batch_of(rank)
        if batch is None or rank < self["acting_rank"][row]:
            return
        setpoint_w = float(self["setpoint_w"][row]) if rank == self["rank"][row] else np.nan
        self["acting_rank"][row] = rank
        if rank == self["rank"][row] and np.isnan(setpoint_w):
            self["acting_until_ms"][row] = event.at_ms  # released
            return
        lapsed = self["acting_until_ms"][row] < event.at_ms
        if lapsed or not abs(self["acting_w"][row] - setpoint_w) <= 1.0:
            self["acting_from_ms"][row] = event.at_ms
        self["acting_w"][row] = setpoint_w
        self["acting_until_ms"][row] = batch.valid_until_ms

    def _number_of(self, device_id: str) -> int:
        """The number that stands for a device without a row among the commands' ends."""
        return self._unseen.setdefault(device_id, -1 - len(self._unseen))

    def _counts(self, event: CommandEvent, row: int | None, rank: int) -> bool | None:
        """Note an event and return whether it counts (see `CommandEnds.apply`)."""
        taken, final = event.state in ("accepted", "applied"), event.state in FINAL
        counts = None
        if row is not None:
            counts = self._ends.apply(rank, row, taken=taken, final=final)
        if counts is None and event.device_id in self._unseen:
            number = self._unseen[event.device_id]
            counts = self._ends.apply(rank, number, taken=taken, final=final)
        return counts

    def next_rank(self, now_ms: int) -> int:
        """A new rank: it rises with time across workers, and strictly within one."""
        self.rank = max(self.rank + 1, now_ms)
        return self.rank

    def acting(self, now_ms: int) -> NDArray[np.bool_]:
        """Rows that hold a lease, as far as is known."""
        return np.asarray(self["acting_until_ms"] > now_ms)

    def pending(self, now_ms: int) -> NDArray[np.bool_]:
        """Rows whose newest command is on its way, neither answered nor given up."""
        fresh = now_ms - self["created_ms"] < self.policy.again_ms
        return np.asarray(IS_UNANSWERED[self["state"]] & fresh)

    def held_w(self, now_ms: int) -> NDArray[np.float64]:
        """Each device's newest setpoint, W, where it holds that or is about to; else NaN."""
        standing = IS_STANDING[self["state"]] & (self["valid_until_ms"] > now_ms)
        return np.where(standing | self.pending(now_ms), self["setpoint_w"], np.nan)

    def request_of(self, row: int) -> str:
        """The request behind a device's newest command; "" where it is forgotten."""
        batch = self._ends.batch_of(int(self["rank"][row]))
        return batch.request_id if batch else ""

    def expire(self, now_ms: int) -> list[CommandEvent]:
        """The ends of commands that neither the device nor the gateway has ended.

        They count once they are read back from the log (see `CommandEnds`).
        """
        return [event for due in self._ends.due(now_ms) for event in self._expire(due, now_ms)]

    def _expire(self, due: Due, now_ms: int) -> Iterator[CommandEvent]:
        state, reason = _ENDS[due.why]
        rows = due.rows[due.rows >= 0]
        newest = rows[self["rank"][rows] == due.rank]
        if due.why == "no_answer":
            silent = newest[IS_UNANSWERED[self["state"][newest]]]
            self["bar"][silent] = CAUSE["no_answer"]
            self["barred_until_ms"][silent] = now_ms + self.policy.again_ms
        self["state"][newest] = CODE[state]
        replaced = set(rows[self["acting_rank"][rows] > due.rank].tolist())
        unseen = {number: device_id for device_id, number in self._unseen.items()}
        for row in due.rows.tolist():
            taken = due.why == "no_end" and row in replaced
            yield CommandEvent(
                device_id=unseen[row] if row < 0 else self._twins.device_ids[row],
                command_id=command_id(self.partition, due.rank),
                state="superseded" if taken else state,
                at_ms=now_ms,
                reason="the device took a newer one; its end was not reported" if taken else reason,
            )

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
