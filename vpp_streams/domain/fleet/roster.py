"""Which sites a partition's device rows belong to, with the registry's data on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vpp_streams.domain.arrays import Array, Column, Ints, Mask
from vpp_streams.domain.fleet.columnar import Columns
from vpp_streams.domain.fleet.rollup import Ratings
from vpp_streams.domain.fleet.site_sums import SiteRows
from vpp_streams.domain.fleet.twins import Twins
from vpp_streams.domain.registry.name_index import NameIndex
from vpp_streams.domain.registry.registry import Registry

_ROWS = {
    "site": Column(np.int64),
    "rated_energy_wh": Column(np.float64),
    "rated_charge_w": Column(np.float64),
    "rated_discharge_w": Column(np.float64),
    "paid_charge_w": Column(np.float64),
    "paid_discharge_w": Column(np.float64),
    "meters": Column(np.bool_),
    "panels": Column(np.bool_),
}
_SITES = {
    "region": Column(np.int32, -1),  # the registry's number; -1 = it does not count
    "region_name": Column(object, ""),
    "feeder": Column(np.int32),  # the registry's number
    "devices": Column(np.int64),
    "seen": Column(np.int64),
    "backup_reserve": Column(np.float64, 1.0),
    "storm_mode": Column(np.bool_, True),
    "paused_until_ms": Column(np.int64),
    "export_limit_w": Column(np.float64),
    "import_limit_w": Column(np.float64),
}
_OF_REGISTRY = tuple(name for name in _SITES if name not in ("seen", "region_name"))


@dataclass(frozen=True, slots=True)
class Unseen:
    """Batteries of active sites that have never reported."""

    devices: int
    up_w: float
    down_w: float


@dataclass(frozen=True, slots=True)
class Choices:
    """What owners decided, shape (sites,)."""

    storm_mode: Mask
    """Whether storms fill the batteries."""
    paused_until_ms: Ints
    """Until then the site takes no part."""


class SiteRoster:
    """Static columns of a partition, kept in step with the registry and the rows.

    Only changes are processed: a fleet that connects brings new rows with every frame.
    """

    def __init__(self, partition: int, registry: Registry, twins: Twins) -> None:
        self._partition = partition
        self._registry = registry
        self._twins = twins
        self._version = 0
        self._site_ids: list[str] = []
        self._site_index = NameIndex()
        self._row_columns = Columns(_ROWS)
        self._site_columns = Columns(_SITES)
        self._known_rows = 0
        self._rows: SiteRows
        self._ratings: Ratings
        self._share()
        self._feeders_of = self._unseen_of = (-1, -1)
        self._feeders: tuple[Ints, tuple[str, ...]]
        self._unseen: dict[str, Unseen]

    def rows(self) -> SiteRows:
        """For windows: each row's site, and the sites' regions."""
        self._refresh()
        return self._rows

    def ratings(self) -> Ratings:
        """For live aggregates: ratings by row, limits by site, sites expected by region."""
        self._refresh()
        return self._ratings

    def feeders(self) -> tuple[Ints, tuple[str, ...]]:
        """Each site's index into the names of feeders, and these; the first is "" (none)."""
        self._refresh()
        if self._feeders_of != self._stamp():
            self._feeders_of = self._stamp()
            names = self._registry.columns.feeders.names
            used, code = np.unique(self._site("feeder"), return_inverse=True)
            ours = ("", *sorted({names[i] for i in used.tolist()} - {""}))
            at = np.array([ours.index(names[i]) for i in used.tolist()], np.int64)
            self._feeders = at[code], ours
        return self._feeders

    def choices(self) -> Choices:
        """What the sites' owners decided."""
        self._refresh()
        return Choices(self._site("storm_mode"), self._site("paused_until_ms"))

    def skipping(self, request_of: Mapping[str, str]) -> Ints:
        """Sites whose owners take no part in the request of their region (region -> request)."""
        self._refresh()
        skips = self._registry.skips
        if not skips or not request_of:
            return np.zeros(0, np.int64)
        at = self._site_index.find(pa.array(list(skips), pa.string()))
        names = self._site("region_name")
        found = [
            site
            for site, requests in zip(at.tolist(), skips.values(), strict=True)
            if site >= 0 and request_of.get(names[site]) in requests
        ]
        return np.array(found, np.int64)

    def unseen(self) -> dict[str, Unseen]:
        """Region -> batteries that have never reported here; regions without any are left out."""
        self._refresh()
        if self._unseen_of != self._stamp():
            self._unseen_of = self._stamp()
            self._unseen = self._look_for_unseen()
        return self._unseen

    def _look_for_unseen(self) -> dict[str, Unseen]:
        registry = self._registry.columns
        devices, sites = registry.devices, registry.sites
        silent = np.ones(len(devices["site"]), np.bool_)
        silent[registry.device_index.find(pa.array(self._twins.device_ids, pa.string()))] = False
        mine = registry.devices_of(self._partition)
        mine = mine[silent[mine] & (devices["rated_energy_wh"][mine] > 0)]
        region = sites["region"][devices["site"][mine]]
        found = {}
        for code in np.unique(region[region >= 0]).tolist():
            here = mine[region == code]
            found[registry.regions.names[code]] = Unseen(
                devices=len(here),
                up_w=float(devices["rated_discharge_w"][here].sum()),
                down_w=float(devices["rated_charge_w"][here].sum()),
            )
        return found

    def _stamp(self) -> tuple[int, int]:
        return self._version, self._known_rows

    def _refresh(self) -> None:
        rows = len(self._twins.device_ids)
        if self._stamp() == (self._registry.version, rows):
            return
        sites, devices = self._changes()
        known_rows, known_sites = self._known_rows, len(self._site_ids)
        self._add_rows(range(known_rows, rows))
        self._version, self._known_rows = self._registry.version, rows
        self._rate_sites(np.r_[known_sites : len(self._site_ids), sites])
        self._rate_rows(np.r_[known_rows:rows, devices])
        self._share()

    def _changes(self) -> tuple[Ints, Ints]:
        """Sites and rows of this partition that new registry records concern.

        A device may be claimed by a site of another partition than the one it reports for.
        """
        changes = self._registry.changes(self._version) if self._known_rows else []
        if changes is None:
            return np.arange(len(self._site_ids)), np.arange(self._known_rows)
        named = {device_id for change in changes for device_id in change.device_ids}
        found = (self._twins.row(device_id) for device_id in named)
        rows = [row for row in found if row is not None and row < self._known_rows]
        sites = self._site_index.find(pa.array({change.site_id for change in changes}, pa.string()))
        return sites[sites >= 0], np.array(rows, np.int64)

    def _add_rows(self, rows: range) -> None:
        """Assign new rows to their sites."""
        site_of = self._twins.site_ids[rows.start : rows.stop]
        names = pa.array(site_of, pa.string())
        at = self._site_index.find(names)
        if new := list(dict.fromkeys(site_of[i] for i in np.flatnonzero(at < 0).tolist())):
            self._site_index.add(new)
            self._site_ids += new
            at = self._site_index.find(names)
        self._row_columns.grow(rows.stop)
        self._site_columns.grow(len(self._site_ids))
        self._row_columns["site"][rows.start : rows.stop] = at
        np.add.at(self._site_columns["seen"], at, 1)

    def _rate_sites(self, at: Ints) -> None:
        registry = self._registry.columns
        site_ids = pa.array([self._site_ids[i] for i in at.tolist()], pa.string())
        found = registry.site_index.find(site_ids)
        for name in _OF_REGISTRY:
            self._site_columns[name][at] = registry.sites[name][found]
        names = np.array([*registry.regions.names, ""], object)  # the last, -1: not registered
        self._site_columns["region_name"][at] = names[registry.sites["own_region"][found]]

    def _rate_rows(self, at: Ints) -> None:
        registry = self._registry.columns
        device_ids = pa.array([self._twins.device_ids[row] for row in at.tolist()], pa.string())
        found = registry.device_index.find(device_ids)
        for name in _ROWS.keys() - {"site"}:
            self._row_columns[name][at] = registry.devices[name][found]

    def _site(self, name: str) -> Array:
        return self._site_columns[name][: len(self._site_ids)]

    def _site_rows(self, row: Mapping[str, Array]) -> SiteRows:
        return SiteRows(
            site=row["site"],
            site_ids=tuple(self._site_ids),
            regions=tuple(self._site("region_name").tolist()),
            devices=np.maximum(self._site("devices"), self._site("seen")),
            rated_energy_wh=row["rated_energy_wh"],
            paid_charge_w=row["paid_charge_w"],
            paid_discharge_w=row["paid_discharge_w"],
            meters=row["meters"],
            panels=row["panels"],
        )

    def _share(self) -> None:
        """The columns as they are now."""
        registry = self._registry.columns
        expected = registry.sites_by_region(self._partition)
        regions = tuple(sorted(expected))
        number = {region: i for i, region in enumerate(regions)}
        ours = np.array([*(number.get(name, -1) for name in registry.regions.names), -1], np.int32)
        row = {name: self._row_columns[name][: self._known_rows] for name in _ROWS}
        self._rows = self._site_rows(row)
        self._ratings = Ratings(
            site=row["site"],
            rated_energy_wh=row["rated_energy_wh"],
            rated_charge_w=row["rated_charge_w"],
            rated_discharge_w=row["rated_discharge_w"],
            region=ours[self._site("region")],
            backup_reserve=self._site("backup_reserve"),
            export_limit_w=self._site("export_limit_w"),
            import_limit_w=self._site("import_limit_w"),
            regions=regions,
            sites_expected=np.array([expected[region] for region in regions], np.int64),
            meters=row["meters"],
            panels=row["panels"],
        )
