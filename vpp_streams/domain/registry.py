"""The registry of sites and devices, as a value that records of topic ``assets`` are applied to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.assets import Device, Site
from vpp_streams.domain.name_index import NameIndex
from vpp_streams.domain.partition import murmur2


@dataclass(frozen=True, slots=True)
class Found:
    """What the registry knows of some devices, by columns."""

    known: NDArray[np.bool_]
    site_id: NDArray[np.object_]
    """"" where the device is not known."""
    site_hash: NDArray[np.uint32]
    """`murmur2` of the site's id: see `domain.partition.partitions_of`."""


class Change(NamedTuple):
    """What one record may have changed."""

    site_id: str
    device_ids: tuple[str, ...]
    """Of the site before and after it; another site may have had them, or has them now."""

    @classmethod
    def between(cls, old: Site | None, new: Site) -> Self:
        """The change from a site's old record to its new one."""
        devices = (*(old.devices if old else ()), *new.devices)
        return cls(new.site_id, tuple(device.device_id for device in devices))


class Registry:
    """Sites by id, devices by id, sites by region and by partition."""

    def __init__(self, sites: Iterable[Site] = ()) -> None:
        self._applied: list[Change] = []
        self._sites: dict[str, Site] = {}
        self._devices: dict[str, tuple[Device, Site]] = {}
        self._columns = _DeviceColumns()
        self._stale: dict[str, None] = {}
        """Devices that were touched since the columns were made."""
        for site in sites:
            self.apply(site)

    def apply(self, site: Site) -> None:
        """Take a site's newest record; its devices replace those it had."""
        old = self._sites.get(site.site_id)
        self._applied.append(Change.between(old, site))
        for device in old.devices if old else ():
            if self._devices.get(device.device_id, (None, None))[1] is old:
                del self._devices[device.device_id]
                self._stale[device.device_id] = None
        self._sites[site.site_id] = site
        for device in () if site.removed else site.devices:
            self._devices[device.device_id] = (device, site)
            self._stale[device.device_id] = None

    @property
    def version(self) -> int:
        """Rises with every applied record; caches compare it."""
        return len(self._applied)

    def changes(self, since: int) -> Sequence[Change]:
        """What the records changed that were applied since a version; a site may come twice."""
        return self._applied[since:]

    def site(self, site_id: str) -> Site | None:
        """The site, or None where it is unknown or removed."""
        site = self._sites.get(site_id)
        return None if site is None or site.removed else site

    def device(self, device_id: str) -> tuple[Device, Site] | None:
        """The device with its site, or None where it is unknown or removed."""
        return self._devices.get(device_id)

    def find(self, device_ids: pa.StringArray) -> Found:
        """What is known of these devices: `device` for a whole frame."""
        if self._stale:
            sites = {id_: found[1].site_id for id_ in self._stale if (found := self.device(id_))}
            self._columns.put({id_: sites.get(id_, "") for id_ in self._stale})
            self._stale.clear()
        return self._columns.find(device_ids)

    def sites(self) -> Iterator[Site]:
        """Sites that are not removed, in the order they were first seen."""
        return (site for site in self._sites.values() if not site.removed)

    def device_count(self) -> int:
        """Devices of sites that are not removed."""
        return len(self._devices)

    def regions(self) -> list[str]:
        """Regions that have a site, sorted."""
        return sorted({site.region for site in self.sites()})


class _DeviceColumns:
    """Each device's site by columns, so that a frame is looked up at once."""

    def __init__(self) -> None:
        self._index = NameIndex()
        self._row: dict[str, int] = {}
        # The last row stands for the devices that are not known.
        self._site_id = np.full(1, "", np.object_)
        self._site_hash = np.zeros(1, np.uint32)

    def put(self, site_of: dict[str, str]) -> None:
        """Set the site of these devices; "" = none."""
        new = [device_id for device_id in site_of if device_id not in self._row]
        self._row |= {device_id: len(self._row) + i for i, device_id in enumerate(new)}
        self._index.add(new)
        if len(self._row) >= len(self._site_id):
            size = 2 * len(self._row) + 1
            self._site_id = _grown(self._site_id, size, "")
            self._site_hash = _grown(self._site_hash, size, 0)
        for device_id, site_id in site_of.items():
            row = self._row[device_id]
            self._site_id[row] = site_id
            self._site_hash[row] = murmur2(site_id.encode())

    def find(self, device_ids: pa.StringArray) -> Found:
        row = self._index.find(device_ids)
        site_id = self._site_id[row]
        return Found(site_id != "", site_id, self._site_hash[row])


def _grown(column: NDArray[Any], size: int, fill: object) -> NDArray[Any]:
    grown = np.full(size, fill, column.dtype)
    grown[: len(column) - 1] = column[:-1]
    return grown
