"""What a partition of the fleet is given, what comes of it, and the time that it keeps."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from schemas.telemetry import Rejected
from schemas.windows import RegionPartial, RegionWindowPartial, SiteWindow
from vpp_streams.domain.fleet.site_sums import SiteSums
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.fleet.window_batches import records_of
from vpp_streams.domain.moments import HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When windows close and what is live; all in stream time."""

    sizes_ms: tuple[int, ...] = (60_000, 900_000)
    """In rising order, each a multiple of the one before."""
    lateness_ms: int = 5_000
    retention_ms: int = 6 * HOUR_MS
    tick_ms: int = 500
    silent_after_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Frame:
    """A canonical frame with the values of its headers."""

    offset: int
    batch: Batch
    live: bool = True
    stream_time_ms: int | None = None
    """Heartbeat: the log is complete up to this time."""
    watermark_ms: int | None = None
    """End of a replay: nothing older follows, so all windows up to this time close."""
    record_time_ms: int | None = None
    """When the broker stored the frame. Our own clocks count only up to this plus
    ``SKEW_MARGIN_MS`` (`FleetPartition`); None = the frame's times are the data's own, as in a
    replay."""


@dataclass(slots=True)
class Outputs:
    """What a frame leads to, in order."""

    sums: list[SiteSums] = field(default_factory=list)
    """Site windows to publish, not records yet: a partition closes thousands at once."""
    partials: list[RegionPartial | RegionWindowPartial] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def windows(self) -> list[SiteWindow]:
        """The site windows as records."""
        return [record for sums in self.sums for record in records_of(sums)]


class Clock(msgspec.Struct):
    """The small state of a partition; it travels in the commit record."""

    stream_time_ms: int = 0
    watermark_ms: int = 0
    next_close_ms: dict[int, int] = {}
    """Window size, ms -> start of the oldest window that is still open."""
    next_tick_ms: int = 0
    next_correction_ms: int = 0
    fresh: dict[str, dict[int, int]] = {}
    """Region -> live readings applied since the last tick, by measured time in 50 ms steps."""
    region_revisions: dict[str, dict[str, int]] = {}
    """``size|start`` -> region -> revision last published."""
