"""The registry of sites and devices, as a value that records of topic ``assets`` are applied to."""

from collections.abc import Iterable, Iterator

from schemas.assets import Device, Site


class Registry:
    """Sites by id, devices by id, sites by region and by partition."""

    def __init__(self, sites: Iterable[Site] = ()) -> None:
        self.version = 0
        """Rises with every applied record; caches compare it."""
        self._sites: dict[str, Site] = {}
        self._devices: dict[str, tuple[Device, Site]] = {}
        for site in sites:
            self.apply(site)

    def apply(self, site: Site) -> None:
        """Take a site's newest record; its devices replace those it had."""
        self.version += 1
        old = self._sites.get(site.site_id)
        for device in old.devices if old else ():
            if self._devices.get(device.device_id, (None, None))[1] is old:
                del self._devices[device.device_id]
        self._sites[site.site_id] = site
        for device in () if site.removed else site.devices:
            self._devices[device.device_id] = (device, site)

    def site(self, site_id: str) -> Site | None:
        """The site, or None where it is unknown or removed."""
        site = self._sites.get(site_id)
        return None if site is None or site.removed else site

    def device(self, device_id: str) -> tuple[Device, Site] | None:
        """The device with its site, or None where it is unknown or removed."""
        return self._devices.get(device_id)

    def sites(self) -> Iterator[Site]:
        """Sites that are not removed, in the order they were first seen."""
        return (site for site in self._sites.values() if not site.removed)

    def device_count(self) -> int:
        """Devices of sites that are not removed."""
        return len(self._devices)

    def regions(self) -> list[str]:
        """Regions that have a site, sorted."""
        return sorted({site.region for site in self.sites()})
