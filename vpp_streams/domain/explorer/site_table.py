"""What the registry says of each site, by columns that can be filtered and sorted at once.

Rows are those of the registry's columns of sites; the row of a retired site is empty.
"""

from collections.abc import Iterable, Mapping
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.assets import DeviceKind, Site, SiteState
from schemas.preferences import Preferences
from vpp_streams.domain.arrays import Array, Column, Ints, Mask
from vpp_streams.domain.registry.registry import Registry

STATES: tuple[SiteState, ...] = get_args(SiteState)
KINDS: tuple[DeviceKind, ...] = get_args(DeviceKind)
ACTIVE = STATES.index("active")
_EMPTY = -1
"""State of a row without a site."""
_SPEC: Mapping[str, Column] = {
    "state": Column(np.int8, _EMPTY),
    "kinds": Column(np.uint8),  # bit k = it has a device of KINDS[k]
    "devices": Column(np.int64),
    "rated_energy_wh": Column(np.float64),
    "rated_discharge_w": Column(np.float64),
    "rated_solar_w": Column(np.float64),
    "latitude": Column(np.float64, np.nan),
    "longitude": Column(np.float64, np.nan),
    "backup_reserve": Column(np.float64, np.nan),  # the owner's, else the registered one
    "reserve_raised": Column(np.bool_, False),
    "storm_mode": Column(np.bool_, True),
    "paused_until_ms": Column(np.int64),
    "left": Column(np.bool_, False),
}


class SiteTable:
    """Columns of shape (sites,), brought up to date by `refresh`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._version = -1
        self.sites: list[Site | None] = []
        self.columns: dict[str, Array] = {}
        self._names: list[str] = []
        """The ids of a site and its devices, lower case, for searches."""
        self._searched: pa.StringArray | None = None
        self._by_id: Ints | None = None

    def refresh(self) -> None:
        """Apply the registry's changes since the last time."""
        version = self._registry.version
        if version == self._version:
            return
        changes = self._registry.changes(self._version) if self._version >= 0 else None
        if changes is None:
            self.sites, self._names = [], []
            self.columns = {name: np.full(0, c.fill, c.dtype) for name, c in _SPEC.items()}
            self._put(site.site_id for site in self._registry.sites())
        else:
            self._put(change.site_id for change in changes)
        self._version, self._searched = version, None

    def _put(self, site_ids: Iterable[str]) -> None:
        ids = list(dict.fromkeys(site_ids))
        index = self._registry.columns.site_index
        rows = index.find(pa.array(ids, pa.string()))
        missing = len(index) - len(self.sites)
        if missing:
            self.sites += [None] * missing
            self._names += [""] * missing
            self._by_id = None
            for name, column in _SPEC.items():
                more: Array = np.full(missing, column.fill, column.dtype)
                self.columns[name] = np.concatenate([self.columns[name], more])
        found = [self._registry.site(site_id) for site_id in ids]
        for row, site in zip(rows.tolist(), found, strict=True):
            self.sites[row] = site
            self._names[row] = _searched(site)
        chosen = [self._registry.preferences(site_id) for site_id in ids]
        for name, values in (_values(found) | _chosen(found, chosen)).items():
            self.columns[name][rows] = values

    @property
    def there(self) -> Mask:
        """Rows of sites that are not retired."""
        there: Mask = self.columns["state"] != _EMPTY
        return there

    @property
    def by_id(self) -> Ints:
        """All rows in the order of their sites' ids."""
        if self._by_id is None:
            names = self._registry.columns.site_index.names(np.arange(len(self.sites)))
            self._by_id = pc.sort_indices(names).to_numpy().astype(np.int64)
        return self._by_id

    def mention(self, text: str) -> Mask:
        """Rows of the sites with this text in their id or in that of one of their devices."""
        if self._searched is None:
            self._searched = pa.array(self._names, pa.string())
        found = pc.match_substring(self._searched, text.lower())
        match: Mask = found.to_numpy(zero_copy_only=False)
        return match


def _searched(site: Site | None) -> str:
    if site is None:
        return ""
    return "\n".join([site.site_id, *(d.device_id for d in site.devices)]).lower()


def _values(sites: list[Site | None]) -> dict[str, Array]:
    """The columns of these sites, in their order."""
    devices = [site.devices if site else () for site in sites]
    of_site = np.repeat(np.arange(len(sites)), [len(d) for d in devices])
    every = [device for of_one in devices for device in of_one]
    kinds = np.zeros(len(sites), np.uint8)
    np.bitwise_or.at(kinds, of_site, np.array([1 << KINDS.index(d.kind) for d in every], np.uint8))

    def total(name: str) -> Array:
        rated = np.array([getattr(device, name) for device in every], np.float64)
        return np.bincount(of_site, rated, len(sites))

    return {
        "state": np.array([STATES.index(s.state) if s else _EMPTY for s in sites], np.int8),
        "kinds": kinds,
        "devices": np.array([len(d) for d in devices], np.int64),
        **{n: total(n) for n in ("rated_energy_wh", "rated_discharge_w", "rated_solar_w")},
        "latitude": np.array([_degrees(s.latitude if s else None) for s in sites]),
        "longitude": np.array([_degrees(s.longitude if s else None) for s in sites]),
    }


def _chosen(sites: list[Site | None], chosen: list[Preferences | None]) -> dict[str, Array]:
    """What the owners of these sites decided, in their order."""
    pairs = [
        (site.backup_reserve if site else np.nan, one.backup_reserve if one else None)
        for site, one in zip(sites, chosen, strict=True)
    ]
    return {
        "backup_reserve": np.array([a if b is None else b for a, b in pairs], np.float64),
        "reserve_raised": np.array([b is not None and b > a for a, b in pairs], np.bool_),
        "storm_mode": np.array([one is None or one.storm_mode for one in chosen], np.bool_),
        "paused_until_ms": np.array([one.paused_until_ms if one else 0 for one in chosen]),
        "left": np.array([one is not None and one.left for one in chosen], np.bool_),
    }


def _degrees(value: float | None) -> float:
    return np.nan if value is None else value
