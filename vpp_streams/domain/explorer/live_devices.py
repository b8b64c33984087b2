"""The newest reading and the connection of each registered device, by columns.

Rows are those of the registry's columns of devices, so that a complete fleet is searched and added
up at once. What is not registered is left out.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from vpp_streams.domain.arrays import Array, Column, Ints
from vpp_streams.domain.fleet.twins import SET_BACK_MS
from vpp_streams.domain.registry.name_index import UNKNOWN
from vpp_streams.domain.registry.registry import Registry

MEASURED = ("battery_w", "grid_w", "solar_w", "soc", "frequency_hz")
_BAD = 3
"""Quality of a reading whose values are not believed, and so are not measured."""
_SPEC: Mapping[str, Column] = {
    "measured_at_ms": Column(np.int64),  # device clock; 0 = never
    "received_at_ms": Column(np.int64),  # gateway clock; 0 = never
    **{name: Column(np.float64, np.nan) for name in MEASURED},
    "islanded": Column(np.int8, -1),  # 1 = off grid, -1 = not known
    "connected": Column(np.bool_),
    "measures_only": Column(np.bool_),
}


class LiveDevices:
    """Columns of shape (devices,); NaN = not measured."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._columns: dict[str, Array] = {
            name: np.full(0, column.fill, column.dtype) for name, column in _SPEC.items()
        }
        self._unplaced: dict[str, tuple[bool, bool]] = {}
        """Connections of devices that have no row yet, or were not placed in it yet."""

    def apply_readings(self, batch: pa.RecordBatch) -> None:
        """Apply a batch of ``telemetry.v1``; a reading older than the known one changes nothing."""
        self._grow()
        row = self._registry.columns.device_index.find(batch.column("device_id"))
        new = {name: batch.column(name).to_numpy() for name in ("measured_at_ms", "received_at_ms")}
        known = self._columns
        set_back = new["received_at_ms"] > known["received_at_ms"][row] + SET_BACK_MS
        newer = (new["measured_at_ms"] >= known["measured_at_ms"][row]) | set_back
        at = np.flatnonzero((row != UNKNOWN) & newer)
        at = at[np.argsort(new["measured_at_ms"][at], kind="stable")]  # the last one stays
        bad = batch.column("quality").to_numpy()[at] == _BAD
        for name in ("measured_at_ms", "received_at_ms", "islanded"):
            known[name][row[at]] = batch.column(name).to_numpy()[at]
        for name in MEASURED:
            known[name][row[at]] = np.where(bad, np.nan, batch.column(name).to_numpy()[at])

    def apply_connection(self, device_id: str, *, connected: bool, measures_only: bool) -> None:
        """Apply whether a device is connected, and whether it takes setpoints."""
        self._unplaced[device_id] = connected, measures_only

    def columns(self) -> Mapping[str, Array]:
        """The columns, with a row for every device that was ever registered."""
        self._grow()
        if self._unplaced:
            row = self.rows(list(self._unplaced))
            placed = row != UNKNOWN
            states = np.array(list(self._unplaced.values()), np.bool_)[placed]
            self._columns["connected"][row[placed]] = states[:, 0]
            self._columns["measures_only"][row[placed]] = states[:, 1]
            names = zip(self._unplaced.items(), placed.tolist(), strict=True)
            self._unplaced = {name: state for (name, state), done in names if not done}
        return self._columns

    def frequency_hz(self, region: str, since_ms: int) -> float | None:
        """Median frequency that the region's devices have measured since then; None = none has."""
        columns, live = self._registry.columns, self.columns()
        if region not in columns.regions.names:
            return None
        site = columns.devices.known("site")
        own = columns.sites["own_region"][site] == columns.regions.names.index(region)
        measured = live["frequency_hz"][: len(site)]
        recent = live["received_at_ms"][: len(site)] >= since_ms
        found = measured[own & recent & np.isfinite(measured)]
        return float(np.median(found)) if len(found) else None

    def rows(self, device_ids: list[str]) -> Ints:
        """Rows of these devices; `UNKNOWN` for one that is not registered."""
        return self._registry.columns.device_index.find(pa.array(device_ids, pa.string()))

    def _grow(self) -> None:
        # One row more than there are devices: that of the unknown ones, which is never written.
        missing = len(self._registry.columns.device_index) + 1 - len(self._columns["soc"])
        if missing <= 0:
            return
        spare = missing + len(self._columns["soc"]) // 4
        for name, column in _SPEC.items():
            more: Array = np.full(spare, column.fill, column.dtype)
            self._columns[name] = np.concatenate([self._columns[name], more])
