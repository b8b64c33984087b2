"""Sites: the registry, connections, and a bounded number of windows."""

from collections import OrderedDict
from dataclasses import dataclass

import pyarrow as pa

from schemas.assets import Site
from schemas.presence import Presence
from schemas.window_frames import windows_of
from schemas.windows import SiteWindow
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.serving.regions import WindowSeries


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A window as a row of the frame that it was received in: a record would be five times as
    large, and is made when somebody looks at it."""

    start_ms: int
    revision: int
    batch: pa.RecordBatch
    row: int

    def window(self) -> SiteWindow:
        """The window as a record."""
        return next(windows_of(self.batch.slice(self.row, 1)))


class Sites:
    """The content of topics ``assets``, ``presence`` and ``site.windows`` by site."""

    def __init__(self, keep_windows: dict[int, int], max_windows: int) -> None:
        self.registry = Registry()
        self._keep_windows = keep_windows
        self._max_windows = max_windows
        self._kept = 0
        self._presence: dict[str, tuple[Presence, int]] = {}
        self._windows: OrderedDict[tuple[str, int], WindowSeries[SiteWindow | WindowRow]] = (
            OrderedDict()
        )

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

    def apply_windows(self, batch: pa.RecordBatch) -> None:
        """Apply the rows of a frame, as `apply_window` would."""
        size_s, start_ms = batch.column("size_s")[0].as_py(), batch.column("start_ms")[0].as_py()
        if size_s in self._keep_windows:
            names, revisions = batch.column("site_id"), batch.column("revision")
            rows = zip(names.to_pylist(), revisions.to_pylist(), strict=True)
            for row, (site_id, revision) in enumerate(rows):
                self._keep(site_id, size_s, WindowRow(start_ms, revision, batch, row))

    def apply_window(self, window: SiteWindow) -> None:
        """Apply a window or a correction; sizes that are not shown are left out.

        The more sites there are, the fewer windows are kept of each; the series that has not
        changed for longest is dropped first.
        """
        self._keep(window.site_id, window.size_s, window)

    def _keep(self, site_id: str, size_s: int, window: "SiteWindow | WindowRow") -> None:
        most = self._keep_windows.get(size_s)
        if most is None:
            return
        key = (site_id, size_s)
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
        found = series.newest(limit) if series is not None else []
        return [one.window() if isinstance(one, WindowRow) else one for one in found]

    def presence_of(self, device_id: str) -> Presence | None:
        """The device's last known presence."""
        known = self._presence.get(device_id)
        return None if known is None else known[0]

    def presence(self, site: Site) -> list[Presence]:
        """The last known presence of each of the site's devices."""
        found = (self.presence_of(device.device_id) for device in site.devices)
        return [presence for presence in found if presence is not None]
