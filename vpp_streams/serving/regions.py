"""Regions now, their last half hour, and their windows; of bounded size."""

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import msgspec

from schemas.forecast import RegionForecast
from schemas.windows import Aggregate, RegionLive, RegionWindow
from vpp_streams.serving.pipeline import STALE_MS
from vpp_streams.serving.views import RegionHistory, RegionView

HISTORY_MS = 30 * 60_000
HISTORY_STEP_MS = 450
"""Points are at least this far apart: about two a second at most."""
_MAX_POINTS = HISTORY_MS // HISTORY_STEP_MS
_MAX_REGIONS = 1000


class Revised(Protocol):
    """A window of some start, in some revision."""

    @property
    def start_ms(self) -> int:
        """Start of the window."""

    @property
    def revision(self) -> int:
        """The higher one counts."""


W = TypeVar("W", bound=Revised)


class WindowSeries(Generic[W]):
    """Windows of one size of one site or region, by start, each in its newest revision."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        """How many are kept; may be lowered at any time and applies from the next window on."""
        self._by_start: dict[int, W] = {}

    def apply(self, window: W) -> None:
        """Add a window unless a newer revision is known; the oldest beyond ``keep`` are dropped."""
        known = self._by_start.get(window.start_ms)
        if known is not None and known.revision > window.revision:
            return
        self._by_start[window.start_ms] = window
        while len(self._by_start) > self.keep:
            del self._by_start[min(self._by_start)]

    def newest(self, limit: int) -> list[W]:
        """At most ``limit`` windows, newest first."""
        return [self._by_start[start] for start in sorted(self._by_start, reverse=True)[:limit]]

    def __len__(self) -> int:
        return len(self._by_start)


class _Region:
    def __init__(self) -> None:
        self.live: RegionLive | None = None
        self.received_ms = 0
        self.change = 0
        self.history: deque[RegionLive] = deque(maxlen=_MAX_POINTS)
        self.windows: dict[int, WindowSeries[RegionWindow]] = {}
        self.forecast: RegionForecast | None = None


class Regions:
    """The content of topics ``region.live``, ``.windows`` and ``.forecasts`` by region."""

    def __init__(self, sizes_s: Iterable[int], keep_windows: int) -> None:
        self._sizes_s = tuple(sizes_s)
        self._keep_windows = keep_windows
        self._regions: dict[str, _Region] = {}
        self._changes = 0

    def apply_live(self, live: RegionLive, now_ms: int) -> None:
        """Apply a region's newest state.

        The log's order decides, not the record's own time: a replay may start again in the past,
        and then replaces its earlier points.
        """
        region = self._of(live.region)
        self._changes += 1
        region.live, region.received_ms, region.change = live, now_ms, self._changes
        while region.history and region.history[-1].at_ms > live.at_ms:
            region.history.pop()
        if not region.history or live.at_ms - region.history[-1].at_ms >= HISTORY_STEP_MS:
            region.history.append(msgspec.structs.replace(live, fresh_ages_ms=()))

    def apply_window(self, window: RegionWindow) -> None:
        """Apply a window or a correction of one; sizes that are not shown are left out."""
        if window.size_s in self._sizes_s:
            series = self._of(window.region).windows
            series.setdefault(window.size_s, WindowSeries(self._keep_windows)).apply(window)

    def apply_forecast(self, forecast: RegionForecast) -> None:
        """Apply a forecast; of those that begin at the same time the first one counts."""
        region = self._of(forecast.region)
        if region.forecast is None or region.forecast.start_ms != forecast.start_ms:
            region.forecast = forecast

    def names(self) -> list[str]:
        """Names of the regions of which a record was received, sorted."""
        return sorted(self._regions)

    def change_of(self, name: str) -> int:
        """Increases with every change of one region; 0 = it is not known."""
        region = self._regions.get(name)
        return 0 if region is None else region.change

    @property
    def changes(self) -> int:
        """Increases with every change of a region; see `now`."""
        return self._changes

    def now(self, now_ms: int, changed_since: int = 0) -> list[RegionView]:
        """Regions by name, of those that changed after ``changed_since`` (see `changes`)."""
        return [
            _view(region, region.live, now_ms)
            for _, region in sorted(self._regions.items())
            if region.live is not None and region.change > changed_since
        ]

    def one(self, name: str, now_ms: int) -> RegionView | None:
        """The region now, or None if no live record of it was received."""
        region = self._regions.get(name)
        if region is None or region.live is None:
            return None
        return _view(region, region.live, now_ms)

    def history(self, name: str, points: int) -> RegionHistory:
        """At most ``points`` points of the last half hour, evenly thinned, including the newest."""
        region = self._regions.get(name)
        lives = list(region.history) if region is not None else []
        if lives:
            lives = [live for live in lives if live.at_ms > lives[-1].at_ms - HISTORY_MS]
        step = max(1, -(-len(lives) // points))
        lives = lives[::-1][::step][::-1]
        return RegionHistory(
            region=name,
            at_ms=[live.at_ms for live in lives],
            battery_w=[_measured(live.aggregate, live.aggregate.battery_w) for live in lives],
            grid_w=[_measured(live.aggregate, live.aggregate.grid_w) for live in lives],
            solar_w=[_measured(live.aggregate, live.aggregate.solar_w) for live in lives],
            load_w=[_measured(live.aggregate, live.aggregate.load_w) for live in lives],
            soc=[live.soc for live in lives],
            coverage=[live.coverage for live in lives],
        )

    def windows(self, name: str, size_s: int, limit: int) -> list[RegionWindow]:
        """The region's newest windows of a size, newest first."""
        region = self._regions.get(name)
        series = region.windows.get(size_s) if region is not None else None
        return series.newest(limit) if series is not None else []

    def forecast(self, name: str) -> RegionForecast | None:
        """The region's newest forecast."""
        region = self._regions.get(name)
        return region.forecast if region is not None else None

    def _of(self, name: str) -> _Region:
        if name not in self._regions and len(self._regions) >= _MAX_REGIONS:
            del self._regions[min(self._regions, key=lambda key: self._regions[key].received_ms)]
        return self._regions.setdefault(name, _Region())


def _measured(aggregate: Aggregate, power_w: float) -> float | None:
    """A region's power in W; None if no site reports, because a sum of nothing is not 0 W."""
    return power_w if aggregate.sites_reporting else None


def _view(region: _Region, live: RegionLive, now_ms: int) -> RegionView:
    aggregate, received_ms = live.aggregate, region.received_ms
    return RegionView(
        region=live.region,
        at_ms=live.at_ms,
        heard_ago_s=max(0, now_ms - received_ms) / 1000,
        stale=now_ms - received_ms > STALE_MS,
        coverage=live.coverage,
        sites_expected=aggregate.sites_expected,
        sites_reporting=aggregate.sites_reporting,
        oldest_sample_age_s=live.oldest_sample_age_s,
        partitions_expected=live.partitions_expected,
        partitions_reporting=live.partitions_reporting,
        soc=live.soc,
        battery_w=_measured(aggregate, aggregate.battery_w),
        grid_w=_measured(aggregate, aggregate.grid_w),
        solar_w=_measured(aggregate, aggregate.solar_w),
        load_w=_measured(aggregate, aggregate.load_w),
        stored_wh=aggregate.stored_wh,
        usable_wh=aggregate.usable_wh,
        deliverable=aggregate.deliverable,
        age_p50_ms=live.age_p50_ms,
        age_p99_ms=live.age_p99_ms,
        forecast_known_at_ms=region.forecast.known_at_ms if region.forecast else None,
    )
