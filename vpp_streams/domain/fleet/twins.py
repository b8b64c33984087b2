"""Digital twins: the newest report of each device of a partition, in columns, a row per device."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.telemetry import POWER_COLUMNS, Quality
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Column
from vpp_streams.domain.fleet.columnar import BLOCK_ROWS, Columns
from vpp_streams.domain.fleet.rollup import Latest
from vpp_streams.domain.registry.name_index import NameIndex
from vpp_streams.domain.telemetry.dedupe import Judged, SeqLedger, Times

NEWEST_VALUES = (*POWER_COLUMNS, "soc", "frequency_hz", "voltage_v", "temperature_c")
TWIN_COLUMNS: Mapping[str, Column] = {
    "measured_at_ms": Column(np.int64),
    "received_at_ms": Column(np.int64),
    **{name: Column(np.float64, np.nan) for name in NEWEST_VALUES},
    "islanded": Column(np.int8, -1),
    "quality": Column(np.int8),
    "readings": Column(np.int64),
    "duplicates": Column(np.int64),
    "bad": Column(np.int64),
    "boot": Column(np.uint32),
    "run_start": Column(np.int64),
    "run_end": Column(np.int64),
    "newest_ms": Column(np.int64),
}
SET_BACK_MS = 5_000
"""A reading received this long after a twin's is newer, whatever the device's clock says. Otherwise
a device whose clock was set back would be silent until its clock has caught up, and could not be
commanded. Longer than readings overtake each other on the way, and shorter than the silence after
which a device counts as gone (`Settings.silent_after_s`)."""
_NEWEST = ("measured_at_ms", "received_at_ms", *NEWEST_VALUES, "islanded", "quality")
"""What a twin takes from its newest reading, in the order in which compiled code takes them."""
_OF_LEDGER = ("boot", "run_start", "run_end", "newest_ms")


@dataclass(frozen=True, slots=True)
class Batch:
    """A canonical frame as numpy columns (see ``telemetry.v1``)."""

    device_id: pa.StringArray
    site_id: pa.StringArray
    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "Batch":
        """Decode without copying numbers."""
        names = [n for n in batch.schema.names if n not in ("device_id", "site_id")]
        return cls(
            batch.column("device_id"),
            batch.column("site_id"),
            {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names},
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.device_id)


class Twins:
    """The devices of one partition."""

    def __init__(self) -> None:
        self.columns = Columns(TWIN_COLUMNS)
        self.device_ids: list[str] = []
        self.site_ids: list[str] = []
        """Per row."""
        self.ledger = SeqLedger()
        self.renamed: set[int] = set()
        """Blocks with new names since the last snapshot."""
        self._row_of: dict[str, int] = {}
        self._index = NameIndex()
        self._place = np.zeros(0, np.int64)
        """Working memory of `each_once`."""
        self._share_columns()

    def find(self, batch: Batch) -> NDArray[np.int64]:
        """The row of each reading's device; -1 = it has none."""
        return self._index.find(batch.device_id)

    def rows_of(self, batch: Batch) -> NDArray[np.int64]:
        """The row of each reading's device; new devices get a row."""
        rows = self.find(batch)
        unknown = np.flatnonzero(rows < 0)
        for i in unknown.tolist():
            rows[i] = self._row(batch.device_id[i].as_py(), batch.site_id[i].as_py())
        if len(unknown):
            self.columns.grow(len(self.device_ids))
            self._share_columns()
        return rows

    def each_once(self, rows: NDArray[np.int64]) -> bool:
        """Whether no row occurs twice, as in nearly every frame of a live fleet."""
        if len(self._place) < self.columns.rows:
            self._place = np.zeros(2 * self.columns.rows, np.int64)
        if kernels.COMPILED is not None:
            return bool(kernels.COMPILED.each_once(rows, self._place))
        places = np.arange(len(rows))
        self._place[rows] = places
        return bool((self._place[rows] == places).all())

    def accept(
        self,
        rows: NDArray[np.int64],
        batch: Batch,
        bad: NDArray[np.bool_] | None,
        horizon_ms: int,
        *,
        each_once: bool,
    ) -> Judged:
        """Which readings are new; counts them on their twins.

        ``bad`` marks readings that are not believed (None = none). What was measured up to
        ``horizon_ms`` is too late to be counted.
        """
        times = Times(batch["measured_at_ms"], batch["received_at_ms"], horizon_ms)
        judged = self.ledger.judge(rows, batch["boot"], batch["seq"], times, each_once=each_once)
        new, repeat = judged.new, ~judged.new
        repeat[judged.unclear] = False
        if each_once:
            self.columns["readings"][rows] += new
            self.columns["duplicates"][rows] += repeat
        else:
            np.add.at(self.columns["readings"], rows[new], 1)
            np.add.at(self.columns["duplicates"], rows[repeat], 1)
        if bad is not None:
            np.add.at(self.columns["bad"], rows[bad & new], 1)
        self.columns.touch(rows)
        return judged

    def update(
        self,
        rows: NDArray[np.int64],
        batch: Batch,
        live: NDArray[np.int64],
        *,
        each_once: bool,
    ) -> None:
        """Let the newest of these live readings (index into the batch) be each twin's state.

        The newest is the one measured last, unless the device's clock was set back.
        """
        if each_once and kernels.COMPILED is not None:
            frame = (batch[name] for name in _NEWEST)
            twins = (self.columns[name] for name in _NEWEST)
            kernels.COMPILED.keep_newest(rows, live, SET_BACK_MS, *frame, *twins)
            return
        at = rows[live]
        measured, received = batch["measured_at_ms"][live], batch["received_at_ms"][live]
        last = np.arange(len(at)) if each_once else _newest(at, measured)
        known = {
            name: self.columns[name][at[last]] for name in ("measured_at_ms", "received_at_ms")
        }
        set_back = received[last] > known["received_at_ms"] + SET_BACK_MS
        newer = last[(measured[last] >= known["measured_at_ms"]) | set_back]
        rows_newer, from_batch = at[newer], live[newer]
        for name in _NEWEST:
            self.columns[name][rows_newer] = batch[name][from_batch]

    def copy(self, block: int) -> pa.RecordBatch:
        """One block as it is now, with the ledger's older runs."""
        low = block * BLOCK_ROWS
        high = min(low + BLOCK_ROWS, self.columns.rows)
        older = pa.nulls(high - low, pa.binary())
        if self.ledger.older:
            older = pa.array([self.ledger.pack_older(r) for r in range(low, high)], pa.binary())
        return self.columns.copy(block, {"older_runs": older})

    def names_of(self, block: int) -> pa.RecordBatch:
        """The names of one block's devices and sites."""
        rows = slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        names = {"device_id": self.device_ids[rows], "site_id": self.site_ids[rows]}
        return pa.RecordBatch.from_pydict(names)

    def load(self, block: int, batch: pa.RecordBatch) -> None:
        """Restore a decoded block."""
        low = block * BLOCK_ROWS
        self.columns.load(block, batch)
        self._share_columns()
        older = batch.column("older_runs")
        if older.null_count < len(older):
            for i, packed in enumerate(older.to_pylist()):
                self.ledger.unpack_older(low + i, packed)

    def load_names(self, block: int, batch: pa.RecordBatch) -> None:
        """Restore a block's names; blocks are restored in order, into empty twins."""
        low = block * BLOCK_ROWS
        devices = batch.column("device_id").to_pylist()
        self.device_ids[low:] = devices
        self.site_ids[low:] = batch.column("site_id").to_pylist()
        self._row_of.update({device: low + i for i, device in enumerate(devices)})
        self._index.add(devices)

    def describe(self, row: int) -> dict[str, Any]:
        """One twin as JSON values; None = not measured."""
        values: dict[str, Any] = {"device_id": self.device_ids[row]}
        for name in TWIN_COLUMNS:
            if name in _OF_LEDGER:
                continue
            value = self.columns[name][row].item()
            values[name] = None if _is_nan(value) else value
        return values

    def row(self, device_id: str) -> int | None:
        """A device's row, or None where it has never reported."""
        return self._row_of.get(device_id)

    def latest(self) -> Latest:
        """The newest live reading of each device; of a bad one nothing is measured."""
        n = len(self.device_ids)
        names = ("measured_at_ms", "received_at_ms", *POWER_COLUMNS, "soc")
        values = {name: self.columns[name][:n] for name in names}
        bad = self.columns["quality"][:n] == Quality.BAD
        if not bad.any():
            return Latest(**values)
        for name in (*POWER_COLUMNS, "soc"):
            values[name] = np.where(bad, np.nan, values[name])
        return Latest(**values, bad=bad)

    def not_believed(self, heard_since_ms: int) -> int:
        """Number of devices that reported since then and whose newest reading is bad."""
        n = len(self.device_ids)
        bad = self.columns["quality"][:n] == Quality.BAD
        return int((bad & (self.columns["received_at_ms"][:n] >= heard_since_ms)).sum())

    def rows_of_site(self, site_id: str) -> list[int]:
        """The rows of a site's devices."""
        return [row for row, site in enumerate(self.site_ids) if site == site_id]

    def _row(self, device_id: str, site_id: str) -> int:
        row = self._row_of.get(device_id)
        if row is None:
            row = self._row_of[device_id] = len(self.device_ids)
            self.device_ids.append(device_id)
            self.site_ids.append(site_id)
            self._index.add([device_id])
            self.renamed.add(row // BLOCK_ROWS)
        return row

    def _share_columns(self) -> None:
        """The ledger works on the twins' own columns, so that they are stored together."""
        self.ledger.boot = self.columns["boot"]
        self.ledger.run_start = self.columns["run_start"]
        self.ledger.run_end = self.columns["run_end"]
        self.ledger.newest_ms = self.columns["newest_ms"]


def _newest(at: NDArray[np.int64], measured: NDArray[np.int64]) -> NDArray[np.int64]:
    """The reading of each row that was measured last."""
    if not len(at):
        return np.zeros(0, np.int64)
    order = np.lexsort((measured, at))
    return order[np.flatnonzero(np.r_[at[order][1:] != at[order][:-1], True])]


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and isnan(value)
