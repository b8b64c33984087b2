"""Which sites a partition's device rows belong to, and what the registry says of them."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.assets import Device, Site
from tables.columnar import Columns
from tables.site_windows import SiteRows
from tables.twins import Twins
from vpp_streams.domain.columns import Column
from vpp_streams.domain.partition import partition_of
from vpp_streams.domain.registry import Registry
from vpp_streams.domain.rollup import Ratings
from vpp_streams.topics import PARTITIONS

_UNKNOWN = Device("unknown", "solar")
_ROWS = {
    "site": Column(np.int64),
    "rated_energy_wh": Column(np.float64),
    "rated_charge_w": Column(np.float64),
    "rated_discharge_w": Column(np.float64),
}
_SITES = {
    "region": Column(np.int32, -1),
    "registered": Column(np.int64),
    "seen": Column(np.int64),
    "backup_reserve": Column(np.float64, 1.0),
    "export_limit_w": Column(np.float64),
    "import_limit_w": Column(np.float64),
}


class SiteRoster:
    """Static columns of a partition, kept in step with the registry and the rows.

    Only what has changed is looked at: a fleet that connects brings new rows with every frame.
    """

    def __init__(self, partition: int, registry: Registry, twins: Twins) -> None:
        self._partition = partition
        self._registry = registry
        self._twins = twins
        self._version = 0
        self._mine: dict[str, Site] = {}
        """Registered sites of this partition, heard of or not."""
        self._expected: Counter[str] = Counter()
        """Region -> how many of them."""
        self._site_ids: list[str] = []
        self._site_at: dict[str, int] = {}
        self._site_regions: list[str] = []
        self._row_columns = Columns(_ROWS)
        self._site_columns = Columns(_SITES)
        self._known_rows = 0
        self._regions: tuple[str, ...] = ()
        self._rows: SiteRows
        self._ratings: Ratings
        self._share()
        self._feeders_of = self._unseen_of = (-1, -1)
        self._feeders: tuple[NDArray[np.int64], tuple[str, ...]]
        self._unseen: dict[str, list[Device]]

    def rows(self) -> SiteRows:
        """For windows: each row's site, and the sites' regions."""
        self._refresh()
        return self._rows

    def ratings(self) -> Ratings:
        """For live aggregates: ratings by row, limits by site, sites expected by region."""
        self._refresh()
        return self._ratings

    def feeders(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Each site's index into the feeders' names, of which the first is "" (none)."""
        self._refresh()
        if self._feeders_of != self._stamp():
            self._feeders_of = self._stamp()
            sites = map(self._registry.site, self._site_ids)
            feeder = [(site.feeder or "") if site else "" for site in sites]
            names = ("", *sorted(set(feeder) - {""}))
            at = {name: i for i, name in enumerate(names)}
            self._feeders = np.array([at[name] for name in feeder], np.int64), names
        return self._feeders

    def unseen(self) -> dict[str, list[Device]]:
        """Region -> batteries of registered sites that have not been heard of here."""
        self._refresh()
        if self._unseen_of != self._stamp():
            self._unseen_of = self._stamp()
            self._unseen = {}
            for site in self._mine.values():
                silent = [
                    device
                    for device in site.devices
                    if device.rated_energy_wh and self._twins.row(device.device_id) is None
                ]
                self._unseen.setdefault(site.region, []).extend(silent)
        return self._unseen

    def _stamp(self) -> tuple[int, int]:
        return self._version, self._known_rows

    def _refresh(self) -> None:
        rows = len(self._twins.device_ids)
        if self._stamp() == (self._registry.version, rows):
            return
        sites, devices = self._take_changes()
        known_rows = self._known_rows
        new_rows = range(known_rows, rows)
        new_sites = self._add_rows(new_rows)
        regions = tuple(sorted(self._expected))
        if regions != self._regions:  # the regions' numbers have changed
            self._regions = regions
            new_sites = range(len(self._site_ids))
        heard = [self._site_at[site_id] for site_id in sites if site_id in self._site_at]
        self._rate_sites([*new_sites, *heard])
        named = {row for id_ in devices if (row := self._twins.row(id_)) is not None}
        self._rate_rows([*new_rows, *(row for row in named if row < known_rows)])
        self._share()

    def _take_changes(self) -> tuple[set[str], set[str]]:
        """Sites of this partition whose record has changed, and devices that a record named.

        A device may be claimed by a site of another partition than the one it speaks for.
        """
        version = self._registry.version
        changes = self._registry.changes(self._version)
        sites = {
            site_id
            for site_id in {change.site_id for change in changes}
            if partition_of(site_id, PARTITIONS) == self._partition
        }
        for site_id in sites:
            old, site = self._mine.pop(site_id, None), self._registry.site(site_id)
            if old is not None:
                self._expected[old.region] -= 1
            if site is not None:
                self._mine[site_id] = site
                self._expected[site.region] += 1
        self._expected = +self._expected  # without the regions that have none any more
        self._version = version
        if not self._known_rows:  # the new rows are all there are
            return sites, set()
        return sites, {device_id for change in changes for device_id in change.device_ids}

    def _add_rows(self, rows: range) -> Iterable[int]:
        """Give new rows their sites; returns the sites that are new."""
        first = len(self._site_ids)
        site_of = self._twins.site_ids[rows.start : rows.stop]
        for site_id in site_of:
            if site_id not in self._site_at:
                self._site_at[site_id] = len(self._site_ids)
                self._site_ids.append(site_id)
                self._site_regions.append("")
        self._row_columns.grow(rows.stop)
        self._site_columns.grow(len(self._site_ids))
        site = np.array([self._site_at[site_id] for site_id in site_of], np.int64)
        self._row_columns["site"][rows.start : rows.stop] = site
        np.add.at(self._site_columns["seen"], site, 1)
        self._known_rows = rows.stop
        return range(first, len(self._site_ids))

    def _rate_sites(self, at: list[int]) -> None:
        sites = [self._registry.site(self._site_ids[i]) for i in at]
        number = {region: i for i, region in enumerate(self._regions)}
        for i, site in zip(at, sites, strict=True):
            self._site_regions[i] = site.region if site else ""
        c = self._site_columns
        c["region"][at] = [number.get(s.region, -1) if s else -1 for s in sites]
        c["registered"][at] = [len(s.devices) if s else 0 for s in sites]
        c["backup_reserve"][at] = [s.backup_reserve if s else 1.0 for s in sites]
        c["export_limit_w"][at] = [_limit(s.export_limit_w) if s else 0.0 for s in sites]
        c["import_limit_w"][at] = [_limit(s.import_limit_w) if s else 0.0 for s in sites]

    def _rate_rows(self, at: list[int]) -> None:
        found = (self._registry.device(self._twins.device_ids[row]) for row in at)
        devices = [entry[0] if entry else _UNKNOWN for entry in found]
        c = self._row_columns
        c["rated_energy_wh"][at] = [d.rated_energy_wh for d in devices]
        c["rated_charge_w"][at] = [d.rated_charge_w for d in devices]
        c["rated_discharge_w"][at] = [d.rated_discharge_w for d in devices]

    def _share(self) -> None:
        """The columns as they are now."""
        row = {name: self._row_columns[name][: self._known_rows] for name in _ROWS}
        site = {name: self._site_columns[name][: len(self._site_ids)] for name in _SITES}
        self._rows = SiteRows(
            site=row["site"],
            site_ids=tuple(self._site_ids),
            regions=tuple(self._site_regions),
            devices=np.maximum(site["registered"], site["seen"]),
            rated_energy_wh=row["rated_energy_wh"],
        )
        self._ratings = Ratings(
            site=row["site"],
            rated_energy_wh=row["rated_energy_wh"],
            rated_charge_w=row["rated_charge_w"],
            rated_discharge_w=row["rated_discharge_w"],
            region=site["region"],
            backup_reserve=site["backup_reserve"],
            export_limit_w=site["export_limit_w"],
            import_limit_w=site["import_limit_w"],
            regions=self._regions,
            sites_expected=np.array([self._expected[r] for r in self._regions], np.int64),
        )


def _limit(limit_w: float | None) -> float:
    return np.inf if limit_w is None else limit_w
