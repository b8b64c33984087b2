"""Count each reading once: which (device, boot, seq) has been seen.

Per device row the *run* ``[run_start, run_end)`` of the present start is kept in columns; a fleet
that loses nothing needs no more. Out-of-order, late and doubled readings, and earlier starts,
take the slow path: `domain.seen`, until the gap closes and the runs merge again.

Within a start numbers rise with time. So a repeat, and a late reading, was measured no later than
the newest of its start; a reading with a number that is not above all seen before, and a later
time, is of a device that started again under the same boot id: it is new, and counted as a finding.
Where a reading has no time of its own (the received time stands in), only its name decides.

What is forgotten is bounded by time: what is older than the windows that can be corrected is not
accepted anyway. What cannot be distinguished within that time is *unclear*: it is never counted
twice, and never dropped silently.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Ints, Mask
from vpp_streams.domain.telemetry.seen import Past, Seen, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on some readings, in order of arrival."""

    new: Mask
    unclear: list[int] = field(default_factory=list)
    """Readings that may be repeats of what was forgotten."""
    boots_reused: int = 0
    """How often a device started again under a boot id that it had before."""


@dataclass(frozen=True, slots=True)
class Times:
    """When readings were measured, shape (n,), and what is too late."""

    measured_at_ms: Ints
    received_at_ms: Ints
    """The same as measured: the device said no time, and that of reception stands in."""
    horizon_ms: int = -1
    """What was measured up to then is not accepted, new or not."""

    @classmethod
    def unknown(cls, n: int) -> "Times":
        """Readings without times: only their names decide."""
        never = np.zeros(n, np.int64)
        return cls(never, never)


class SeqLedger:
    """Seen sequence numbers of the rows of one partition. Shapes: all columns are (n,)."""

    def __init__(self) -> None:
        self.boot: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.run_start: Ints = np.zeros(0, np.int64)
        self.run_end: Ints = np.zeros(0, np.int64)
        """0 = nothing seen yet."""
        self.newest_ms: Ints = np.zeros(0, np.int64)
        """Measured time of the newest reading of the present start."""
        self.older: dict[int, Past] = {}
        self._with_reused: set[int] = set()
        """Rows where a boot id has several starts: a consecutive number does not identify which."""
        self._reused = 0

    @property
    def has_reused(self) -> bool:
        """Whether a boot id has several starts, so that a consecutive number says too little."""
        return bool(self._with_reused)

    def accept(
        self, rows: Ints, boots: NDArray[np.uint32], seqs: Ints, *, each_once: bool = False
    ) -> Mask:
        """Which readings are new by their names alone."""
        return self.judge(rows, boots, seqs, Times.unknown(len(rows)), each_once=each_once).new

    def judge(
        self,
        rows: Ints,
        boots: NDArray[np.uint32],
        seqs: Ints,
        times: Times,
        *,
        each_once: bool = False,
    ) -> Judged:
        """Verdicts on readings, in order of arrival; new ones count as seen from now on.

        ``each_once`` states that no row occurs twice, which saves a sort.
        """
        if not len(rows):
            return Judged(np.zeros(0, np.bool_))
        if len(self.newest_ms) != len(self.run_end):
            self.newest_ms = np.zeros(len(self.run_end), np.int64)
        if each_once:
            new = self._in_step(rows, boots, seqs, times.measured_at_ms)
        else:
            new = self._runs_in_step(rows, boots, seqs, times.measured_at_ms)
        self._reused = 0
        unclear = self._judge_others(rows, boots, seqs, times, new)
        return Judged(new, unclear, self._reused)

    def _judge_others(
        self, rows: Ints, boots: NDArray[np.uint32], seqs: Ints, times: Times, new: Mask
    ) -> list[int]:
        """Judge one by one what is not ``new`` yet, and mark it; returns what is unclear."""
        unclear = list[int]()
        for i in np.flatnonzero(~new).tolist():
            row, boot, seq = int(rows[i]), int(boots[i]), int(seqs[i])
            at_ms = int(times.measured_at_ms[i])
            own_clock = at_ms != times.received_at_ms[i]
            verdict = self._judge_one(
                row, boot, seq, at_ms=at_ms, own_clock=own_clock, horizon_ms=times.horizon_ms
            )
            new[i] = verdict == "new"
            if verdict == "unclear":
                unclear.append(i)
        return unclear

    def _in_step(self, rows: Ints, boots: NDArray[np.uint32], seqs: Ints, at_ms: Ints) -> Mask:
        if kernels.COMPILED is not None and not self._with_reused:
            new = np.empty(len(rows), np.bool_)
            kernels.COMPILED.in_step(
                rows, boots, seqs, at_ms,
                self.boot, self.run_start, self.run_end, self.newest_ms, new,
            )  # fmt: skip
            return new
        end = self.run_end[rows]
        in_step: Mask = (end == 0) | ((seqs == end) & (boots == self.boot[rows]))
        if self._with_reused:
            in_step &= ~np.isin(rows, list(self._with_reused))
        going_on = np.flatnonzero(in_step)
        one = np.ones(len(going_on), np.int64)
        self._extend(rows, boots, seqs, starts=going_on, counts=one, newest_ms=at_ms[going_on])
        return in_step

    def _runs_in_step(self, rows: Ints, boots: NDArray[np.uint32], seqs: Ints, at_ms: Ints) -> Mask:
        """The readings of rows that all continue the run of their row."""
        order = np.argsort(rows, kind="stable")
        row, boot, seq = rows[order], boots[order], seqs[order]
        starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        counts = np.diff(np.r_[starts, len(row)])
        rank = np.arange(len(row)) - np.repeat(starts, counts)
        new, head = self.run_end[row] == 0, np.repeat(starts, counts)
        expected = np.where(new, seq[head], self.run_end[row]) + rank
        same_boot = boot == np.where(new, boot[head], self.boot[row])
        in_step = np.logical_and.reduceat((seq == expected) & same_boot, starts)
        if self._with_reused:
            in_step &= ~np.isin(row[starts], list(self._with_reused))
        newest = np.maximum.reduceat(at_ms[order], starts)
        self._extend(
            row,
            boot,
            seq,
            starts=starts[in_step],
            counts=counts[in_step],
            newest_ms=newest[in_step],
        )
        result = np.empty(len(rows), np.bool_)
        result[order] = np.repeat(in_step, counts)
        return result

    def _extend(
        self,
        row: Ints,
        boot: NDArray[np.uint32],
        seq: Ints,
        *,
        starts: Ints,
        counts: Ints,
        newest_ms: Ints,
    ) -> None:
        """The usual case: each row continues its run (or starts one)."""
        at, first_seq = row[starts], seq[starts]
        new = self.run_end[at] == 0
        self.run_start[at] = np.where(new, first_seq, self.run_start[at])
        self.boot[at] = boot[starts]
        self.run_end[at] = first_seq + counts
        self.newest_ms[at] = np.maximum(self.newest_ms[at], newest_ms)

    def _judge_one(
        self, row: int, boot: int, seq: int, *, at_ms: int, own_clock: bool, horizon_ms: int
    ) -> Verdict:
        if self.run_end[row] == 0:
            self._begin(row, boot, seq, at_ms)
            return "new"
        past = self.older.get(row)
        seen = past.find(boot, at_ms, own_clock=own_clock) if past else None
        present = boot == self.boot[row] and not (seen and seen.until_ms)
        if seen and not present and not seen.until_ms and at_ms > self.newest_ms[row]:
            self._go_back_to(row, seen, horizon_ms)
            past, present = self.older.get(row), True
            seen = past.find(boot, at_ms, own_clock=own_clock) if past else None
        if not present and seen is None:
            return self._another_start(row, boot, seq, at_ms, horizon_ms)
        newest_ms, end = self._newest(row, seen, present)
        if own_clock and seq < end and at_ms > newest_ms:
            self._start_again(
                row, None if present else seen, boot, seq, at_ms=at_ms, horizon_ms=horizon_ms
            )
            return "new"
        verdict: Verdict = seen.verdict(seq) if seen else "new"
        if present and self.run_start[row] <= seq < end:
            verdict = "unclear" if seen and seq < seen.blurred_to else "repeat"
        if verdict != "new":
            return verdict
        if past and 0 < at_ms <= past.forgotten_ms:
            return "unclear"
        if present:
            self._add(row, seq, at_ms, horizon_ms)
        elif seen and past:
            seen.add(seq, seq + 1)
            seen.newest_ms = max(seen.newest_ms, at_ms)
            past.use(seen, horizon_ms)
        return "new"

    def _newest(self, row: int, seen: Seen | None, present: bool) -> tuple[int, int]:
        """When a start's newest reading was measured, and the number after its highest."""
        if seen and seen.until_ms:
            return seen.until_ms, 0
        if present:
            return int(self.newest_ms[row]), int(self.run_end[row])
        assert seen is not None
        return seen.newest_ms, seen.bounds[-1]

    def _another_start(self, row: int, boot: int, seq: int, at_ms: int, horizon_ms: int) -> Verdict:
        """A reading of a start that is not known."""
        past = self.older.setdefault(row, Past())
        if 0 < at_ms <= past.forgotten_ms:
            return "unclear"
        if at_ms < self.newest_ms[row]:  # what an earlier start kept
            seen = Seen(boot, at_ms)
            seen.add(seq, seq + 1)
            past.use(seen, horizon_ms)
        else:
            self._set_aside(row, horizon_ms)
            self._begin(row, boot, seq, at_ms)
        return "new"

    def _start_again(
        self, row: int, seen: Seen | None, boot: int, seq: int, *, at_ms: int, horizon_ms: int
    ) -> None:
        """The boot id of a start (None = of the present one) is used for another."""
        self._reused += 1
        if seen is None:
            seen = self._set_aside(row, horizon_ms)
            self._begin(row, boot, seq, at_ms)
        else:
            another = Seen(boot, at_ms)
            another.add(seq, seq + 1)
            self.older[row].use(another, horizon_ms)
        seen.until_ms = at_ms - 1
        self._with_reused.add(row)

    def _add(self, row: int, seq: int, at_ms: int, horizon_ms: int) -> None:
        """Add a number of the present start that was not seen."""
        start, end = int(self.run_start[row]), int(self.run_end[row])
        if seq == end:
            self.run_end[row] = end + 1
        else:
            seen = self._gaps(row)
            if seq > end:
                seen.newest_ms = int(self.newest_ms[row])
                seen.add(start, end)
                seen.mark(end, horizon_ms)
                self.run_start[row], self.run_end[row] = seq, seq + 1
            else:
                seen.add(seq, seq + 1)
                self.run_start[row] = seen.pop_up_to(start)
        self.newest_ms[row] = max(int(self.newest_ms[row]), at_ms)
        self._tidy(row, horizon_ms)

    def _begin(self, row: int, boot: int, seq: int, at_ms: int) -> None:
        self.boot[row] = boot
        self.run_start[row], self.run_end[row] = seq, seq + 1
        self.newest_ms[row] = at_ms

    def _gaps(self, row: int) -> Seen:
        """What the present start has besides its newest run."""
        past, boot = self.older.setdefault(row, Past()), int(self.boot[row])
        for seen in past.starts:
            if seen.boot == boot and not seen.until_ms:
                return seen
        seen = Seen(boot, int(self.newest_ms[row]))
        past.starts.append(seen)
        return seen

    def _set_aside(self, row: int, horizon_ms: int) -> Seen:
        """Turn the present start into an earlier one."""
        seen = self._gaps(row)
        seen.newest_ms = int(self.newest_ms[row])
        seen.add(int(self.run_start[row]), int(self.run_end[row]))
        self.older[row].use(seen, horizon_ms)
        return seen

    def _go_back_to(self, row: int, seen: Seen, horizon_ms: int) -> None:
        """Make an earlier start that reports again the present one."""
        self._set_aside(row, horizon_ms)
        self.boot[row], self.newest_ms[row] = seen.boot, seen.newest_ms
        self.run_end[row] = seen.bounds[-1]
        self.run_start[row] = seen.pop_up_to(seen.bounds[-1])
        self._tidy(row, horizon_ms)

    def _tidy(self, row: int, horizon_ms: int) -> None:
        """Forget what decides nothing any more."""
        past = self.older.get(row)
        if past is None:
            return
        past.tidy(horizon_ms)
        if row in self._with_reused and not past.has_reused():
            self._with_reused.discard(row)
        if not past.starts and not past.forgotten_ms:
            del self.older[row]

    def pack_older(self, row: int) -> bytes | None:
        """What the row has besides its newest run; None = nothing."""
        past = self.older.get(row)
        return past.pack() if past else None

    def unpack_older(self, row: int, packed: bytes | None) -> None:
        """Inverse of `pack_older`."""
        if packed:
            past = self.older[row] = Past.unpack(packed)
            if past.has_reused():
                self._with_reused.add(row)
