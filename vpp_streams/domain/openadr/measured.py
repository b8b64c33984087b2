"""A region's measurements for reports: its windows, and its state by the minute."""

from dataclasses import dataclass, field
from typing import Literal

from schemas.windows import RegionLive, RegionWindow
from vpp_streams.domain.control.requests import held_w
from vpp_streams.domain.moments import DAY_MS, MINUTE_MS

KEPT_MS = 2 * DAY_MS
COMPLETE = 0.99
"""Coverage from which on a value counts as measured over the complete time."""
SUSTAINED_S = 3600.0
"""Storage powers are those that could be held for this long, s."""
REGULATION_S = 900.0

Quality = Literal["OK", "ESTIMATED", "MISSING"]
Powers = tuple[float, float]
"""(taken, given) mean powers, W, both >= 0: import and export, or charge and discharge."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Mean powers over a time, each direction separately (they do not cancel between sites)."""

    connections_w: Powers
    batteries_w: Powers
    hours: float
    """The time in which something was measured; energy covers only this time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The region's batteries as one; values that are not known are None."""

    usable_wh: float
    soc: float | None
    """State of charge, 0..1 of usable energy."""
    discharge_w: float | None
    """Power that could be held for an hour, above the owners' reserves, W."""
    charge_w: float | None
    up_w: float | None
    """Power that could be held for 15 minutes, W."""
    down_w: float | None


@dataclass(slots=True)
class Measured:
    """The known measurements of one region; `forget` keeps them bounded."""

    region: str
    _windows: dict[int, RegionWindow] = field(default_factory=dict)
    _live: dict[int, RegionLive] = field(default_factory=dict)

    def on_window(self, window: RegionWindow) -> None:
        """Apply a record of ``region.windows``; the highest revision of a window counts."""
        if window.region != self.region or window.size_s * 1000 != MINUTE_MS:
            return
        known = self._windows.get(window.start_ms)
        if known is None or window.revision >= known.revision:
            self._windows[window.start_ms] = window

    def on_live(self, live: RegionLive) -> None:
        """Apply a record of ``region.live``; the last of each minute is kept."""
        if live.region == self.region and live.partitions_reporting:
            self._live[live.at_ms // MINUTE_MS] = live

    def forget(self, now_ms: int) -> None:
        """Drop records that no report needs any more."""
        least_ms = now_ms - KEPT_MS
        self._windows = {at: w for at, w in self._windows.items() if at >= least_ms}
        self._live = {m: live for m, live in self._live.items() if m * MINUTE_MS >= least_ms}

    def drawn(self, start_ms: int, end_ms: int) -> tuple[Drawn | None, Quality]:
        """Mean powers over the complete minutes of a time, and their quality.

        They are means of measured values over the minutes with any: ESTIMATED if that is not the
        complete time.
        """
        first, last = round(start_ms / MINUTE_MS), round(end_ms / MINUTE_MS)
        minutes = range(first, max(last, first + 1))
        windows = [w for m in minutes if (w := self._windows.get(m * MINUTE_MS)) is not None]
        covered = sum(w.coverage for w in windows)
        if covered <= 0:
            return None, "MISSING"
        hours = sum(w.coverage > 0 for w in windows) / 60
        drawn = Drawn(
            (
                sum(w.sums.grid.positive_wh for w in windows) / hours,
                sum(w.sums.grid.negative_wh for w in windows) / hours,
            ),
            (
                sum(w.sums.battery.negative_wh for w in windows) / hours,
                sum(w.sums.battery.positive_wh for w in windows) / hours,
            ),
            hours,
        )
        return drawn, "OK" if covered >= COMPLETE * len(minutes) else "ESTIMATED"

    def stored(self, at_ms: int) -> tuple[Stored | None, Quality]:
        """The storage at the end of a time: the state of that minute, else its window's."""
        minute = (at_ms - 1) // MINUTE_MS
        live = self._live.get(minute) or self._live.get(minute + 1)
        if live is not None and live.aggregate.usable_wh > 0:
            deliverable = live.aggregate.deliverable
            up_w, down_w = held_w(deliverable, SUSTAINED_S)
            reg_up_w, reg_down_w = held_w(deliverable, REGULATION_S)
            stored = Stored(live.aggregate.usable_wh, live.soc, up_w, down_w, reg_up_w, reg_down_w)
            return stored, "OK" if live.coverage >= COMPLETE else "ESTIMATED"
        window = self._windows.get(minute * MINUTE_MS)
        if window is None or window.sums.usable_wh <= 0:
            return None, "MISSING"
        stored = Stored(window.sums.usable_wh, window.soc_last, None, None, None, None)
        return stored, "OK" if window.coverage >= COMPLETE else "ESTIMATED"
