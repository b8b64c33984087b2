"""The registry by columns, so that complete frames and partitions are joined with it at once.

A row per site and per device that was ever named; rows keep their places. The last row of each
column stands for those that were never named: index it with `UNKNOWN`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.assets import Device, Site
from schemas.bounds import MAX_TIME_MS, PARTITIONS
from schemas.preferences import Preferences
from vpp_streams.domain.arrays import Array, Column, Ints
from vpp_streams.domain.registry.belief import BOUNDS, bounds_w
from vpp_streams.domain.registry.hashing import murmur2_of, partitions_of
from vpp_streams.domain.registry.name_index import UNKNOWN, NameIndex

_SITE: Mapping[str, Column] = {
    "site_hash": Column(np.uint32),
    "partition": Column(np.int8, -1),
    # Where it counts: -1 where it is not active. Hence it is in no sum, offer or order.
    "region": Column(np.int32, -1),
    "own_region": Column(np.int32, -1),  # in any state
    "feeder": Column(np.int32),
    "devices": Column(np.int64),
    "backup_reserve": Column(np.float64, 1.0),  # the owner's choice, or as registered
    "storm_mode": Column(np.bool_, True),
    "paused_until_ms": Column(np.int64),  # the end of time where the owner has left
    "export_limit_w": Column(np.float64),
    "import_limit_w": Column(np.float64),
    # Of its devices together; NaN = not registered.
    "charge_w": Column(np.float64, np.nan),
    "discharge_w": Column(np.float64, np.nan),
    "solar_w": Column(np.float64, np.nan),
}
_DEVICE: Mapping[str, Column] = {
    "site": Column(np.int64, UNKNOWN),
    "rated_energy_wh": Column(np.float64),
    "rated_charge_w": Column(np.float64),
    "rated_discharge_w": Column(np.float64),
    "meters": Column(np.bool_),
    "panels": Column(np.bool_),
    # The ratings, inf where it is not registered: see `domain.belief`.
    "paid_charge_w": Column(np.float64),
    "paid_discharge_w": Column(np.float64),
    "bounds_w": Column(np.float64, 1.0, len(BOUNDS)),
}
_NOBODY = Device("", "solar")
NONE: Mapping[str, Preferences] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """The registry's data on some devices, by columns."""

    known: NDArray[np.bool_]
    site_id: pa.StringArray
    """"" where the device is not known."""
    site_hash: NDArray[np.uint32]
    """`murmur2` of the site's id: see `domain.partition.partitions_of`."""
    device: Ints
    """Rows of `RegistryColumns.devices`."""


class RegistryColumns:
    """Sites and devices by columns; a site that is not active has region -1."""

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
        """The data on these devices: those of a frame at once."""
        device = self.device_index.find(device_ids)
        site = self.devices["site"][device]
        names, hashes = self.site_index.names(site), self.sites["site_hash"][site]
        return Found(site != UNKNOWN, names, hashes, device)

    def put_sites(
        self, changed: Mapping[str, Site | None], preferences: Mapping[str, Preferences] = NONE
    ) -> None:
        """Set the data of these sites; None = retired. ``preferences``: what owners decided."""
        rows = _rows(changed, self._site_row, self.site_index)
        sites, t = list(changed.values()), self.sites
        t.grow(len(self._site_row))
        self._count(rows, -1)
        hashes = murmur2_of(pa.array(list(changed), pa.string()))
        t["site_hash"][rows] = hashes
        t["partition"][rows] = partitions_of(hashes, PARTITIONS)
        own = np.array([self.regions.code(s.region) if s else -1 for s in sites], np.int32)
        active = [s is not None and s.state == "active" for s in sites]
        t["own_region"][rows], t["region"][rows] = own, np.where(active, own, -1)
        t["feeder"][rows] = [self.feeders.code(s.feeder or "") if s else 0 for s in sites]
        t["devices"][rows] = [len(s.devices) if s else 0 for s in sites]
        self._put_choices(rows, changed, preferences)
        t["export_limit_w"][rows] = [_limit(s.export_limit_w) if s else 0.0 for s in sites]
        t["import_limit_w"][rows] = [_limit(s.import_limit_w) if s else 0.0 for s in sites]
        held = [s.devices if s else () for s in sites]
        of_site = np.repeat(np.arange(len(held)), [len(devices) for devices in held])
        for name, rated_w in _ratings([d for devices in held for d in devices]).items():
            # One that is not registered (NaN) leaves its site's sum not registered.
            t[name][rows] = np.bincount(of_site, rated_w, len(held))
        # One device may meter all of a site's panels: those without a rating count as none.
        t["solar_w"][rows] = np.where(t["solar_w"][rows] > 0, t["solar_w"][rows], np.nan)
        self._count(rows, +1)

    def _put_choices(
        self,
        rows: list[int],
        changed: Mapping[str, Site | None],
        preferences: Mapping[str, Preferences],
    ) -> None:
        """Set what owners decide."""
        t = self.sites
        t["backup_reserve"][rows] = [s.backup_reserve if s else 1.0 for s in changed.values()]
        t["storm_mode"][rows], t["paused_until_ms"][rows] = True, 0
        for row, site_id in zip(rows, changed, strict=True):
            chosen = preferences.get(site_id)
            if chosen is None or changed[site_id] is None:
                continue
            if chosen.backup_reserve is not None:
                t["backup_reserve"][row] = chosen.backup_reserve
            t["storm_mode"][row] = chosen.storm_mode
            t["paused_until_ms"][row] = MAX_TIME_MS if chosen.left else chosen.paused_until_ms

    def put_devices(self, changed: Mapping[str, tuple[Device, Site] | None]) -> None:
        """Set the data of these devices, whose sites were put before; None = nothing is known."""
        rows = _rows(changed, self._device_row, self.device_index)
        known, t = list(changed.values()), self.devices
        devices = [entry[0] if entry else _NOBODY for entry in known]
        t.grow(len(self._device_row))
        t["site"][rows] = [self._site_row[e[1].site_id] if e else UNKNOWN for e in known]
        t["rated_energy_wh"][rows] = [d.rated_energy_wh for d in devices]
        t["rated_charge_w"][rows] = [d.rated_charge_w for d in devices]
        t["rated_discharge_w"][rows] = [d.rated_discharge_w for d in devices]
        t["meters"][rows] = [d.meters_connection for d in devices]
        own = _ratings(devices)
        t["panels"][rows] = own["solar_w"] > 0
        for name in ("charge_w", "discharge_w"):
            t[f"paid_{name}"][rows] = np.where(np.isnan(own[name]), np.inf, own[name])
        at = t["site"][rows]
        site = {name: self.sites[name][at] for name in (*own, *_LIMITS)}
        t["bounds_w"][:, rows] = bounds_w(own, site)

    def sites_by_region(self, partition: int) -> dict[str, int]:
        """Region -> active sites of this partition; without those of none."""
        named = zip(self.regions.names, self._sites_by_region[partition].tolist(), strict=False)
        return {region: count for region, count in named if count}

    def feeders_by_region(self) -> dict[str, set[str]]:
        """Region -> the feeders that its active sites are on, of every region with one."""
        region, feeder = (self.sites.known(name).astype(np.int64) for name in ("region", "feeder"))
        there, feeders = region >= 0, len(self.feeders.names)
        found: dict[str, set[str]] = {}
        for pair in np.unique(region[there] * feeders + feeder[there]).tolist():
            at, of = divmod(pair, feeders)
            name = self.feeders.names[of]
            found.setdefault(self.regions.names[at], set()).update({name} if name else ())
        return found

    def devices_of(self, partition: int) -> Ints:
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
            name: np.full(_shape(column, 1), column.fill, column.dtype)
            for name, column in spec.items()
        }

    def __getitem__(self, name: str) -> Array:
        return self._columns[name]

    def known(self, name: str) -> Array:
        """A column without the row for those that were never named."""
        return self._columns[name][..., : self._rows]

    def grow(self, rows: int) -> None:
        """Grow to this many rows that are known."""
        self._rows = rows
        if rows < self._capacity:
            return
        self._capacity = 2 * rows + 1
        for name, column in self._spec.items():
            grown: Array = np.full(_shape(column, self._capacity), column.fill, column.dtype)
            old = self._columns[name]
            grown[..., : old.shape[-1] - 1] = old[..., :-1]
            self._columns[name] = grown


class _Codes:
    """Ints for the few names that many rows share."""

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


def _shape(column: Column, rows: int) -> tuple[int, ...]:
    return (rows,) if column.width == 1 else (column.width, rows)


def _ratings(devices: Sequence[Device]) -> dict[str, NDArray[np.float64]]:
    """What each device is rated for, W; NaN where a battery has no power rating.

    Panels alone have a battery of 0 W.
    """
    rows = [
        (d.rated_charge_w, d.rated_discharge_w, d.rated_solar_w, d.kind == "solar") for d in devices
    ]
    charge, discharge, solar, alone = np.array(rows, np.float64).reshape(len(rows), 4).T
    rated = (alone > 0) | (charge + discharge > 0)
    return {
        "charge_w": np.where(rated, charge, np.nan),
        "discharge_w": np.where(rated, discharge, np.nan),
        "solar_w": solar,
    }


_LIMITS = ("export_limit_w", "import_limit_w")


def _limit(limit_w: float | None) -> float:
    return np.inf if limit_w is None else limit_w
