"""Count each reading once: which (device, boot, seq) has been seen.

Per device row the *run* ``[run_start, run_end)`` of the newest boot is kept in columns; a fleet
that loses nothing needs no more. Out-of-order, late and doubled readings, and older boots,
take the slow path: sorted runs in a dict, until the gap closes and the runs merge again.
"""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

MAX_RUNS = 1024
"""Runs kept per (row, boot); beyond, the oldest gap is taken as seen (its readings are lost)."""
MAX_BOOTS = 4
"""Older boots kept per row."""

Run = list[int]
Runs = list[Run]


class SeqLedger:
    """Seen sequence numbers of the rows of one partition. Shapes: all columns are (n,)."""

    def __init__(self) -> None:
        self.boot: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.run_start: NDArray[np.int64] = np.zeros(0, np.int64)
        self.run_end: NDArray[np.int64] = np.zeros(0, np.int64)
        """0 = nothing seen yet."""
        self.older: dict[int, dict[int, Runs]] = {}
        """Row -> boot -> sorted, disjoint, non-adjacent runs besides the newest one."""

    def accept(
        self,
        rows: NDArray[np.int64],
        boots: NDArray[np.uint32],
        seqs: NDArray[np.int64],
        *,
        each_once: bool = False,
    ) -> NDArray[np.bool_]:
        """Which readings are new, in order of arrival; they count as seen from now on.

        ``each_once`` tells that no row comes twice, which saves a sort.
        """
        if not len(rows):
            return np.zeros(0, np.bool_)
        if each_once:
            return self._accept_each(rows, boots, seqs)
        order = np.argsort(rows, kind="stable")
        row, boot, seq = rows[order], boots[order], seqs[order]
        starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        counts = np.diff(np.r_[starts, len(row)])
        rank = np.arange(len(row)) - np.repeat(starts, counts)
        new, head = self.run_end[row] == 0, np.repeat(starts, counts)
        expected = np.where(new, seq[head], self.run_end[row]) + rank
        same_boot = boot == np.where(new, boot[head], self.boot[row])
        in_step = np.logical_and.reduceat((seq == expected) & same_boot, starts)
        self._extend(row, boot, seq, starts[in_step], counts[in_step])
        accepted = np.repeat(in_step, counts)
        for i in np.flatnonzero(~accepted).tolist():
            accepted[i] = self._accept_one(int(row[i]), int(boot[i]), int(seq[i]))
        result = np.empty(len(rows), np.bool_)
        result[order] = accepted
        return result

    def _accept_each(
        self, rows: NDArray[np.int64], boots: NDArray[np.uint32], seqs: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        end = self.run_end[rows]
        in_step: NDArray[np.bool_] = (end == 0) | ((seqs == end) & (boots == self.boot[rows]))
        going_on = np.flatnonzero(in_step)
        self._extend(rows, boots, seqs, going_on, np.ones(len(going_on), np.int64))
        for i in np.flatnonzero(~in_step).tolist():
            in_step[i] = self._accept_one(int(rows[i]), int(boots[i]), int(seqs[i]))
        return in_step

    def _extend(
        self,
        row: NDArray[np.int64],
        boot: NDArray[np.uint32],
        seq: NDArray[np.int64],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        """The usual case: each row goes on where it stood (or starts)."""
        at, first_seq = row[starts], seq[starts]
        new = self.run_end[at] == 0
        self.run_start[at] = np.where(new, first_seq, self.run_start[at])
        self.boot[at] = boot[starts]
        self.run_end[at] = first_seq + counts

    def _accept_one(self, row: int, boot: int, seq: int) -> bool:
        start, end = int(self.run_start[row]), int(self.run_end[row])
        if end == 0 or boot != self.boot[row]:
            return self._accept_other_boot(row, boot, seq, has_run=end > 0)
        if start <= seq < end:
            return False
        if seq == end:
            self.run_end[row] = end + 1
            return True
        runs = self.older.setdefault(row, {}).setdefault(boot, [])
        if seq > end:
            insert_run(runs, [start, end])
            self._set_run(row, boot, [seq, seq + 1])
            return True
        if not insert_seq(runs, seq):
            return False
        if runs[-1][1] == start:
            self.run_start[row] = runs.pop()[0]
        self._forget_if_empty(row, boot)
        return True

    def _accept_other_boot(self, row: int, boot: int, seq: int, *, has_run: bool) -> bool:
        boots = self.older.get(row, {})
        if boot in boots:
            return insert_seq(boots[boot], seq)
        if has_run:
            boots = self.older.setdefault(row, {})
            run = [int(self.run_start[row]), int(self.run_end[row])]
            insert_run(boots.setdefault(int(self.boot[row]), []), run)
            while len(boots) > MAX_BOOTS:
                del boots[next(iter(boots))]
        self._set_run(row, boot, [seq, seq + 1])
        return True

    def _set_run(self, row: int, boot: int, run: Run) -> None:
        self.boot[row] = boot
        self.run_start[row], self.run_end[row] = run

    def _forget_if_empty(self, row: int, boot: int) -> None:
        if not self.older[row][boot]:
            del self.older[row][boot]
            if not self.older[row]:
                del self.older[row]

    def pack_older(self, row: int) -> list[int] | None:
        """The row's older runs as ``[boot, count, start, end, ..., boot, ...]``; None = none."""
        boots = self.older.get(row)
        if not boots:
            return None
        flat: list[int] = []
        for boot, runs in boots.items():
            flat += [boot, len(runs)]
            for run in runs:
                flat += run
        return flat

    def unpack_older(self, row: int, flat: list[int] | None) -> None:
        """Inverse of `pack_older`."""
        i = 0
        while flat and i < len(flat):
            boot, count = flat[i], flat[i + 1]
            i += 2
            runs = [[flat[j], flat[j + 1]] for j in range(i, i + 2 * count, 2)]
            self.older.setdefault(row, {})[boot] = runs
            i += 2 * count


def insert_seq(runs: Runs, seq: int) -> bool:
    """Add one number to sorted runs. False where it is there already."""
    i = bisect_right(runs, seq, key=lambda run: run[0]) - 1
    if i >= 0 and seq < runs[i][1]:
        return False
    insert_run(runs, [seq, seq + 1])
    return True


def insert_run(runs: Runs, run: Run) -> None:
    """Add a run that overlaps none; neighbours that touch it merge."""
    i = bisect_right(runs, run[0], key=lambda r: r[0])
    runs.insert(i, run)
    if i + 1 < len(runs) and run[1] == runs[i + 1][0]:
        run[1] = runs.pop(i + 1)[1]
    if i > 0 and runs[i - 1][1] == run[0]:
        runs[i - 1][1] = runs.pop(i)[1]
    if len(runs) > MAX_RUNS:
        runs[0][1] = runs.pop(1)[1]
