"""Which sites a partition's device rows belong to, and what the registry says of them."""

from collections import Counter

import numpy as np

from schemas.assets import Device, Site
from tables.site_windows import SiteRows
from tables.twins import Twins
from vpp_streams.domain.partition import partition_of
from vpp_streams.domain.registry import Registry
from vpp_streams.domain.rollup import Ratings
from vpp_streams.topics import PARTITIONS

_UNKNOWN = Device("unknown", "solar")


class SiteRoster:
    """Static columns of a partition, made anew when the registry or the rows have changed."""

    def __init__(self, partition: int, registry: Registry, twins: Twins) -> None:
        self._partition = partition
        self._registry = registry
        self._twins = twins
        self._made_from: tuple[int, int] = (-1, -1)
        self._rows: SiteRows
        self._ratings: Ratings
        self._feeder: np.ndarray
        self._feeder_names: tuple[str, ...]
        self._unseen: dict[str, list[Device]]

    def rows(self) -> SiteRows:
        """For windows: each row's site, and the sites' regions."""
        self._refresh()
        return self._rows

    def ratings(self) -> Ratings:
        """For live aggregates: ratings by row, limits by site, sites expected by region."""
        self._refresh()
        return self._ratings

    def feeders(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Each site's index into the feeders' names, of which the first is "" (none)."""
        self._refresh()
        return self._feeder, self._feeder_names

    def unseen(self) -> dict[str, list[Device]]:
        """Region -> batteries of registered sites that have not been heard of here."""
        self._refresh()
        return self._unseen

    def _refresh(self) -> None:
        made_from = self._registry.version, len(self._twins.device_ids)
        if made_from == self._made_from:
            return
        self._made_from = made_from
        site_ids = list(dict.fromkeys(self._twins.site_ids))
        index = {site_id: i for i, site_id in enumerate(site_ids)}
        site = np.array([index[site_id] for site_id in self._twins.site_ids], np.int64)
        sites = [self._registry.site(site_id) for site_id in site_ids]
        devices = [self._device(device_id) for device_id in self._twins.device_ids]
        energy_wh = np.array([device.rated_energy_wh for device in devices], np.float64)
        seen = np.bincount(site, minlength=len(sites)) if len(site) else np.zeros(0, np.int64)
        registered = np.array([len(s.devices) if s else 0 for s in sites], np.int64)
        self._rows = SiteRows(
            site=site,
            site_ids=tuple(site_ids),
            regions=tuple(s.region if s else "" for s in sites),
            devices=np.maximum(registered, seen),
            rated_energy_wh=energy_wh,
        )
        feeder_of = [(s.feeder or "") if s else "" for s in sites]
        self._feeder_names = ("", *sorted(set(feeder_of) - {""}))
        at = {name: i for i, name in enumerate(self._feeder_names)}
        self._feeder = np.array([at[name] for name in feeder_of], np.int64)
        mine = [
            s
            for s in self._registry.sites()
            if partition_of(s.site_id, PARTITIONS) == self._partition
        ]
        self._ratings = self._make_ratings(site, sites, devices, energy_wh, mine)
        heard = set(self._twins.device_ids)
        self._unseen = {}
        for s in mine:
            silent = [d for d in s.devices if d.rated_energy_wh and d.device_id not in heard]
            self._unseen.setdefault(s.region, []).extend(silent)

    def _make_ratings(
        self,
        site: np.ndarray,
        sites: list[Site | None],
        devices: list[Device],
        energy_wh: np.ndarray,
        mine: list[Site],
    ) -> Ratings:
        expected = Counter(s.region for s in mine)
        regions = tuple(sorted(expected))
        at = {region: i for i, region in enumerate(regions)}
        return Ratings(
            site=site.astype(np.int32),
            rated_energy_wh=energy_wh,
            rated_charge_w=np.array([d.rated_charge_w for d in devices], np.float64),
            rated_discharge_w=np.array([d.rated_discharge_w for d in devices], np.float64),
            region=np.array([at.get(s.region, -1) if s else -1 for s in sites], np.int32),
            backup_reserve=np.array([s.backup_reserve if s else 1.0 for s in sites], np.float64),
            export_limit_w=_limits([s.export_limit_w if s else 0.0 for s in sites]),
            import_limit_w=_limits([s.import_limit_w if s else 0.0 for s in sites]),
            regions=regions,
            sites_expected=np.array([expected[region] for region in regions], np.int64),
        )

    def _device(self, device_id: str) -> Device:
        found = self._registry.device(device_id)
        return found[0] if found else _UNKNOWN


def _limits(limits: list[float | None]) -> np.ndarray:
    return np.array([np.inf if limit is None else limit for limit in limits], np.float64)
