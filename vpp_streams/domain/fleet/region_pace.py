"""When a region is published: ticks and windows wait for the partitions' shares, within limits.

Time is passed in; the records are merged by `vpp_streams.domain.fleet.regions`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from schemas.windows import RegionLive, RegionPartial
from vpp_streams.domain.fleet.regions import Expected, region_live
from vpp_streams.domain.moments import HOUR_MS

REPLAY_BEHIND_MS = HOUR_MS
"""Ticks this far off the clock are a replay's: they are published in their own time."""


class LiveRegion:
    """The newest partials of one region, and when their sum is due."""

    SETTLE_MS = 200
    """How long a tick waits for the partitions that have not sent it yet."""
    REPEAT_MS = 1000
    """Longest time between two records when nothing changes: age and coverage stay current."""
    MIN_GAP_MS = 50
    """Shortest time between two records, also when catching up or in a replay at full speed."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._partials: dict[int, RegionPartial] = {}
        self._fresh: Counter[int] = Counter()
        self._tick_ms = 0
        self._tick_seen_ms = 0
        self._told_ms = 0
        self._changed = False
        self._silent = False

    def apply(self, partial: RegionPartial, now_ms: int) -> None:
        """Take a partition's newest tick; an older one, or one already known, is ignored."""
        known = self._partials.get(partial.partition)
        if known is not None and partial.tick_ms <= known.tick_ms:
            return
        self._partials[partial.partition] = partial
        for measured_at_ms, count in partial.fresh:
            self._fresh[measured_at_ms] += count
        if partial.tick_ms > self._tick_ms:
            self._tick_ms, self._tick_seen_ms = partial.tick_ms, now_ms
        self._changed, self._silent = True, False

    def due(self, expected: Expected, now_ms: int) -> bool:
        """Whether to `merge`: a tick is complete or has waited long enough, or it is time again.

        A region that was published as silent is not published again until something arrives.
        """
        since_ms = now_ms - self._told_ms
        if since_ms < self.MIN_GAP_MS or self._silent:
            return False
        if not self._changed:
            return since_ms >= self.REPEAT_MS
        return now_ms - self._tick_seen_ms >= self.SETTLE_MS or all(
            p in self._partials and self._partials[p].tick_ms == self._tick_ms for p in expected
        )

    def merge(self, expected: Expected, now_ms: int, stale_after_ms: int) -> RegionLive:
        """The region now. The fresh readings count as published afterwards."""
        at_ms = merge_time_ms(now_ms, self._tick_ms, self._tick_seen_ms)
        live = region_live(
            self.region,
            self._partials,
            expected,
            fresh=self._fresh,
            at_ms=at_ms,
            stale_after_ms=stale_after_ms,
        )
        self._fresh.clear()
        self._told_ms, self._changed = now_ms, False
        self._silent = live.partitions_reporting == 0
        return live


def merge_time_ms(now_ms: int, tick_ms: int, tick_seen_ms: int) -> int:
    """The time of a merge: the clock's, or in a replay the replayed data's own."""
    if abs(tick_seen_ms - tick_ms) < REPLAY_BEHIND_MS:
        return now_ms
    return tick_ms + (now_ms - tick_seen_ms)


class WindowKey(NamedTuple):
    """The key of one window of one region."""

    region: str
    size_s: int
    start_ms: int


class WindowsDue:
    """Which region windows to publish: complete ones at once, the others after a grace period."""

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._waiting: dict[WindowKey, int] = {}
        """Window -> when it is overdue; in order of time, as each waits equally long."""
        self._late: set[WindowKey] = set()
        """Windows published without some share: each further share is published at once."""

    def share(self, key: WindowKey, complete: bool, now_ms: int) -> bool:
        """Note a share that arrived; return whether to publish the window now."""
        if complete:
            self._waiting.pop(key, None)
            self._late.discard(key)
            return True
        if key in self._late:
            return True
        self._waiting.setdefault(key, now_ms + self._grace_ms)
        return False

    def overdue(self, now_ms: int) -> list[WindowKey]:
        """Windows whose grace period is over: they are published with the shares that are there."""
        late = []
        for key, until_ms in self._waiting.items():
            if until_ms > now_ms:
                break
            late.append(key)
        for key in late:
            del self._waiting[key]
        self._late.update(late)
        return late

    def forget(self, keys: Iterable[WindowKey]) -> None:
        """Forget these windows, which can no longer change."""
        for key in keys:
            self._waiting.pop(key, None)
            self._late.discard(key)
