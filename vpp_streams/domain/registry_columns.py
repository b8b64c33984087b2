"""The registry by columns, so that whole frames and whole partitions are joined with it at once.

A row per site and per device that was ever named; rows stay where they are. The last row of each
column stands for those that were never named: index it with `UNKNOWN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.assets import Device, Site
from vpp_streams.domain.columns import Array, Column
from vpp_streams.domain.name_index import UNKNOWN, NameIndex, Numbers
from vpp_streams.domain.partition import murmur2_of, partitions_of
from vpp_streams.topics import PARTITIONS

_SITE: Mapping[str, Column] = {
    "site_hash": Column(np.uint32),
    "partition": Column(np.int8, -1),
    "region": Column(np.int32, -1),
    "feeder": Column(np.int32),
    "devices": Column(np.int64),
    "backup_reserve": Column(np.float64, 1.0),
    "export_limit_w": Column(np.float64),
    "import_limit_w": Column(np.float64),
}
_DEVICE: Mapping[str, Column] = {
    "site": Column(np.int64, UNKNOWN),
    "rated_energy_wh": Column(np.float64),
    "rated_charge_w": Column(np.float64),
    "rated_discharge_w": Column(np.float64),
}
_NOBODY = Device("", "solar")


@dataclass(frozen=True, slots=True)
class Found:
    """What the registry knows of some devices, by columns."""

    known: NDArray[np.bool_]
    site_id: pa.StringArray
    """"" where the device is not known."""
    site_hash: NDArray[np.uint32]
    """`murmur2` of the site's id: see `domain.partition.partitions_of`."""


class RegistryColumns:
    """Sites and devices by columns; a site that is removed has region -1."""

    def __init__(self) -> None:
        self.site_index, self.device_index = NameIndex(), NameIndex()
        self.sites, self.devices = _Table(_SITE), _Table(_DEVICE)
        self.regions = _Codes()
        self.feeders = _Codes()
        self.feeders.code("")  # number 0: none
        self._sites_by_region = np.zeros((PARTITIONS, 1), np.int64)
        self._site_row: dict[str, int] = {}
        self._device_row: dict[str, int] = {}

    def find(self, device_ids: pa.StringArray) -> Found:
        """What is known of these devices: a frame's at once."""
        site = self.devices["site"][self.device_index.find(device_ids)]
        return Found(site != UNKNOWN, self.site_index.names(site), self.sites["site_hash"][site])

    def put_sites(self, changed: Mapping[str, Site | None]) -> None:
        """Set what is known of these sites; None = removed."""
        rows = _rows(changed, self._site_row, self.site_index)
        sites, t = list(changed.values()), self.sites
        t.grow(len(self._site_row))
        self._count(rows, -1)
        hashes = murmur2_of(pa.array(list(changed), pa.string()))
        t["site_hash"][rows] = hashes
        t["partition"][rows] = partitions_of(hashes, PARTITIONS)
        t["region"][rows] = [self.regions.code(s.region) if s else -1 for s in sites]
        t["feeder"][rows] = [self.feeders.code(s.feeder or "") if s else 0 for s in sites]
        t["devices"][rows] = [len(s.devices) if s else 0 for s in sites]
        t["backup_reserve"][rows] = [s.backup_reserve if s else 1.0 for s in sites]
        t["export_limit_w"][rows] = [_limit(s.export_limit_w) if s else 0.0 for s in sites]
        t["import_limit_w"][rows] = [_limit(s.import_limit_w) if s else 0.0 for s in sites]
        self._count(rows, +1)

    def put_devices(self, changed: Mapping[str, tuple[Device, Site] | None]) -> None:
        """Set what is known of these devices, whose sites were put before; None = nothing."""
        rows = _rows(changed, self._device_row, self.device_index)
        known, t = list(changed.values()), self.devices
        devices = [entry[0] if entry else _NOBODY for entry in known]
        t.grow(len(self._device_row))
        t["site"][rows] = [self._site_row[e[1].site_id] if e else UNKNOWN for e in known]
        t["rated_energy_wh"][rows] = [d.rated_energy_wh for d in devices]
        t["rated_charge_w"][rows] = [d.rated_charge_w for d in devices]
        t["rated_discharge_w"][rows] = [d.rated_discharge_w for d in devices]

    def sites_by_region(self, partition: int) -> dict[str, int]:
        """Region -> sites of this partition that are not removed; without those of none."""
        named = zip(self.regions.names, self._sites_by_region[partition].tolist(), strict=False)
        return {region: count for region, count in named if count}

    def feeders_by_region(self) -> dict[str, set[str]]:
        """Region -> the feeders that its sites are on, of every region with a site."""
        region, feeder = (self.sites.known(name).astype(np.int64) for name in ("region", "feeder"))
        there, feeders = region >= 0, len(self.feeders.names)
        found: dict[str, set[str]] = {}
        for pair in np.unique(region[there] * feeders + feeder[there]).tolist():
            at, of = divmod(pair, feeders)
            name = self.feeders.names[of]
            found.setdefault(self.regions.names[at], set()).update({name} if name else ())
        return found

    def devices_of(self, partition: int) -> Numbers:
        """Rows of the devices whose sites are in this partition."""
        return np.flatnonzero(self.sites["partition"][self.devices.known("site")] == partition)

    def _count(self, rows: list[int], sign: int) -> None:
        region = self.sites["region"][rows]
        there = region >= 0
        counts = self._sites_by_region
        if len(self.regions.names) > counts.shape[1]:
            counts = np.pad(counts, ((0, 0), (0, len(self.regions.names))))
        np.add.at(counts, (self.sites["partition"][rows][there], region[there]), sign)
        self._sites_by_region = counts


class _Table:
    """Columns with one row more than there are, which holds their fills."""

    def __init__(self, spec: Mapping[str, Column]) -> None:
        self._spec = spec
        self._rows, self._capacity = 0, 1
        self._columns: dict[str, Array] = {
            name: np.full(1, column.fill, column.dtype) for name, column in spec.items()
        }

    def __getitem__(self, name: str) -> Array:
        return self._columns[name]

    def known(self, name: str) -> Array:
        """A column without the row for those that were never named."""
        return self._columns[name][: self._rows]

    def grow(self, rows: int) -> None:
        """Have this many rows that are known."""
        self._rows = rows
        if rows < self._capacity:
            return
        self._capacity = 2 * rows + 1
        for name, column in self._spec.items():
            grown: NDArray[Any] = np.full(self._capacity, column.fill, column.dtype)
            old = self._columns[name]
            grown[: len(old) - 1] = old[:-1]
            self._columns[name] = grown


class _Codes:
    """Numbers for the few names that many rows share."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._code: dict[str, int] = {}

    def code(self, name: str) -> int:
        code = self._code.get(name)
        if code is None:
            code = self._code[name] = len(self.names)
            self.names.append(name)
        return code


def _rows(names: Mapping[str, object], row_of: dict[str, int], index: NameIndex) -> list[int]:
    """The row of each name; new names get the next ones."""
    new = [name for name in names if name not in row_of]
    row_of |= {name: len(row_of) + i for i, name in enumerate(new)}
    index.add(new)
    return [row_of[name] for name in names]


def _limit(limit_w: float | None) -> float:
    return np.inf if limit_w is None else limit_w
