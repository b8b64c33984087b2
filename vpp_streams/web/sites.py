"""Sites: the registry, connections, and a bounded number of windows."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable

from schemas.assets import Site
from schemas.presence import Presence
from schemas.windows import SiteWindow
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.web.regions import WindowSeries
from vpp_streams.web.views import SitePage, SiteRow


class Sites:
    """The content of topics ``assets``, ``presence`` and ``site.windows`` by site."""

    def __init__(self, keep_windows: dict[int, int], max_windows: int) -> None:
        self.registry = Registry()
        self._keep_windows = keep_windows
        self._max_windows = max_windows
        self._kept = 0
        self._presence: dict[str, tuple[Presence, int]] = {}
        self._windows: OrderedDict[tuple[str, int], WindowSeries[SiteWindow]] = OrderedDict()
        self._sorted: tuple[int, list[str]] = (-1, [])

    def apply_presence(self, presence: Presence, offset: int) -> None:
        """Apply a connect or disconnect; a disconnect that ends an older epoch is ignored."""
        known = self._presence.get(presence.device_id)
        ends_older = presence.status == "disconnected" and presence.epoch is not None
        if known is not None and ends_older and presence.epoch != known[1]:
            return
        self._presence[presence.device_id] = (presence, offset)

    def forget_presence(self, device_id: str) -> None:
        """Forget a device whose presence was removed from the topic."""
        self._presence.pop(device_id, None)

    def apply_window(self, window: SiteWindow) -> None:
        """Apply a window or a correction; sizes that are not shown are left out.

        The more sites there are, the fewer windows are kept of each; the series that has not
        changed for longest is dropped first.
        """
        most = self._keep_windows.get(window.size_s)
        if most is None:
            return
        key = (window.site_id, window.size_s)
        series = self._windows.setdefault(key, WindowSeries(most))
        self._windows.move_to_end(key)
        series.keep = max(1, min(most, self._max_windows // len(self._windows)))
        before = len(series)
        series.apply(window)
        self._kept += len(series) - before
        while self._kept > self._max_windows:
            _, oldest = self._windows.popitem(last=False)
            self._kept -= len(oldest)

    def windows(self, site_id: str, size_s: int, limit: int) -> list[SiteWindow]:
        """The site's newest windows of a size, newest first."""
        series = self._windows.get((site_id, size_s))
        return series.newest(limit) if series is not None else []

    def presence(self, site: Site) -> list[Presence]:
        """The last known presence of each of the site's devices."""
        found = (self._presence.get(device.device_id) for device in site.devices)
        return [entry[0] for entry in found if entry is not None]

    def page(
        self,
        region: str | None,
        text: str,
        limit: int,
        cursor: str | None,
        *,
        sees: Callable[[str, str], bool] = lambda _site_id, _region: True,
    ) -> SitePage:
        """Sites by id after ``cursor``: of a region, with ``text`` in a site's or device's id.

        ``sees(site_id, region)`` returns whether a site may be shown; others are not counted.
        """
        found = [
            site_id
            for site_id in self._ids()
            if (site := self.registry.site(site_id)) is not None
            and (region is None or site.region == region)
            and sees(site_id, site.region)
            and _mentions(site, text.lower())
        ]
        first = bisect_right(found, cursor) if cursor is not None else 0
        page = found[first : first + limit]
        return SitePage(
            sites=list(self._rows(page)),
            total=len(found),
            next_cursor=page[-1] if first + limit < len(found) else None,
        )

    def _ids(self) -> list[str]:
        version, ids = self._sorted
        if version != self.registry.version:
            ids = sorted(site.site_id for site in self.registry.sites())
            self._sorted = (self.registry.version, ids)
        return ids

    def _rows(self, site_ids: Iterable[str]) -> Iterable[SiteRow]:
        for site_id in site_ids:
            site = self.registry.site(site_id)
            if site is not None:
                yield SiteRow(
                    site_id=site_id,
                    region=site.region,
                    state=site.state,
                    kinds=sorted({device.kind for device in site.devices}),
                    devices=len(site.devices),
                    connected=sum(p.status == "connected" for p in self.presence(site)),
                    rated_energy_wh=sum(d.rated_energy_wh for d in site.devices),
                    rated_discharge_w=sum(d.rated_discharge_w for d in site.devices),
                    rated_solar_w=sum(d.rated_solar_w for d in site.devices),
                )


def _mentions(site: Site, text: str) -> bool:
    return text in site.site_id.lower() or any(
        text in device.device_id.lower() for device in site.devices
    )
