"""The registry of sites and devices, as a value that records of topic ``assets`` are applied to."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, Self

import msgspec

from schemas.assets import Device, Site
from schemas.preferences import Preferences
from vpp_streams.domain.registry.columns import RegistryColumns

MAX_CHANGES = 1000
"""Number of changes kept for followers of the registry; one that missed more reads all of it."""


class Change(NamedTuple):
    """The sites and devices that one record may have changed."""

    site_id: str
    device_ids: tuple[str, ...]
    """Of the site before and after it; another site may have had them, or has them now."""

    @classmethod
    def between(cls, old: Site | None, new: Site) -> Self:
        """The change from a site's old record to its new one."""
        devices = (*(old.devices if old else ()), *new.devices)
        return cls(new.site_id, tuple(device.device_id for device in devices))


class Registry:
    """Sites and devices by id, and all of them by columns."""

    def __init__(self, sites: Iterable[Site] = ()) -> None:
        self._version = 0
        self._changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        self._sites: dict[str, Site] = {}
        self._devices: dict[str, tuple[Device, Site]] = {}
        self._retired_at: dict[str, str] = {}
        self._preferences: dict[str, Preferences] = {}
        self._skips: dict[str, frozenset[str]] = {}
        self._columns: RegistryColumns | None = None
        # Touched since the columns were brought up to date.
        self._stale_sites: dict[str, None] = {}
        self._stale_devices: dict[str, None] = {}
        for site in sites:
            self.apply(site)

    def apply(self, site: Site) -> None:
        """Apply a site's newest record; its devices replace those it had."""
        old = self._sites.get(site.site_id)
        change = Change.between(old, site)
        self._version += 1
        self._changes.append(change)
        if self._columns is not None:
            self._stale_sites[change.site_id] = None
            self._stale_devices |= dict.fromkeys(change.device_ids)
        for device in old.devices if old else ():
            if self._devices.get(device.device_id, (None, None))[1] is old:
                del self._devices[device.device_id]
        self._sites[site.site_id] = site
        if site.state == "retired":
            self._retired_at |= {device.device_id: site.site_id for device in site.devices}
        else:
            self._devices |= {device.device_id: (device, site) for device in site.devices}

    def prefer(self, site_id: str, preferences: Preferences | None) -> None:
        """Apply what a site's owner decided; None = nothing, the site is as registered.

        It is kept for a site that is not registered yet: the two topics are read side by side.
        """
        self._skips.pop(site_id, None)
        if preferences is None:
            self._preferences.pop(site_id, None)
        else:
            self._preferences[site_id] = preferences
            if preferences.skips:
                self._skips[site_id] = frozenset(preferences.skips)
        if site_id not in self._sites:
            return
        self._version += 1
        self._changes.append(Change(site_id, ()))
        if self._columns is not None:
            self._stale_sites[site_id] = None

    def preferences(self, site_id: str) -> Preferences | None:
        """What a site's owner decided; None = nothing."""
        return self._preferences.get(site_id)

    @property
    def skips(self) -> Mapping[str, frozenset[str]]:
        """The requests that owners take no part in, by site; sites that skip none are left out."""
        return self._skips

    def remove(self, site_id: str) -> None:
        """Apply a tombstone: the site is retired. It states no time, so the history ends with it.

        Its data is kept, so that its late readings are refused with a reason.
        """
        old = self.site(site_id)
        if old is not None:
            self.apply(msgspec.structs.replace(old, removed=True, history=()))

    @property
    def version(self) -> int:
        """Rises with every applied record; caches compare it."""
        return self._version

    def changes(self, since: int) -> list[Change] | None:
        """The changes since a version; None = more than is kept, so read everything.

        A site may occur twice.
        """
        count, kept = self._version - since, len(self._changes)
        return None if count > kept else list(islice(self._changes, kept - count, None))

    def record(self, site_id: str) -> Site | None:
        """A site's newest record, also of a retired one; None where it is unknown."""
        return self._sites.get(site_id)

    def site(self, site_id: str) -> Site | None:
        """The site, or None where it is unknown or retired."""
        site = self._sites.get(site_id)
        return None if site is None or site.state == "retired" else site

    def device(self, device_id: str) -> tuple[Device, Site] | None:
        """The device with its site, or None where it is unknown or its site is retired."""
        return self._devices.get(device_id)

    def retired_site_of(self, device_id: str) -> str | None:
        """The retired site that last had a device which no other site has; None = there is none."""
        return None if device_id in self._devices else self._retired_at.get(device_id)

    @property
    def columns(self) -> RegistryColumns:
        """The registry by columns, up to date.

        Built on first use: a million sites take seconds, and a gateway never needs it.
        """
        if self._columns is None:
            self._columns = RegistryColumns()
            self._stale_sites = dict.fromkeys(self._sites)
            self._stale_devices = dict.fromkeys(self._devices)
        if self._stale_sites:
            changed = {id_: self.site(id_) for id_ in self._stale_sites}
            self._columns.put_sites(changed, self._preferences)
            self._columns.put_devices({id_: self.device(id_) for id_ in self._stale_devices})
            self._stale_sites.clear()
            self._stale_devices.clear()
        return self._columns

    def sites(self) -> Iterator[Site]:
        """Sites that are not retired, in the order they were first seen."""
        return (site for site in self._sites.values() if site.state != "retired")

    def device_count(self) -> int:
        """Devices of sites that are not retired."""
        return len(self._devices)

    def regions(self) -> list[str]:
        """Regions that have a site, active or not, sorted."""
        return sorted({site.region for site in self.sites()})
