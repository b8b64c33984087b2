"""Series of others, such as forecasts of load or prices, each value with its time of publication.

A feed says of each value when it was published (its belief time), and corrects it later. A bid
may use only what was published before its gate, and so may all that it learns from: else it would
learn from forecasts that are better than those that it will have.
"""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A value for each interval."""

    start_ms: Ints
    """Starts of the intervals, UTC, each once."""
    values: Floats
    """In any unit, the same for all; NaN = not known."""

    def key(self) -> tuple[bytes, bytes]:
        """Equal for series of the same intervals and values."""
        return self.start_ms.tobytes(), self.values.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """All that was published of a series, in any order, corrections too."""

    start_ms: Ints
    """Starts of the intervals that the values are for, UTC."""
    published_ms: Ints
    """When a value was published, UTC."""
    values: Floats
    """NaN = a value that was withdrawn."""

    def until(self, known_ms: int) -> "Feed":
        """Only what was published at a time or before."""
        known = self.published_ms <= known_ms
        if known.all():
            return self
        return Feed(self.start_ms[known], self.published_ms[known], self.values[known])

    def newest(self, until_ms: Ints | int) -> Series:
        """Of each interval, the newest value published at ``until_ms`` or before, by start.

        ``until_ms`` is one time for all, or one for each value. Intervals of which nothing was
        published by then are left out. Of values published at the same time the last counts.
        """
        in_time = np.flatnonzero(self.published_ms <= until_ms)
        order = in_time[np.lexsort((self.published_ms[in_time], self.start_ms[in_time]))]
        start_ms = self.start_ms[order]
        newest = np.append(start_ms[1:] != start_ms[:-1], True)[: len(order)]
        return Series(start_ms[newest], self.values[order][newest])


STALE_GAPS = 3.0
"""A feed is stale once nothing new was published for so many of its usual gaps."""
_GAPS = 8
"""Gaps that the usual one is taken from, the newest ones."""
_LEAST_GAP_MS = 60_000
"""What is published closer together is one publication in several parts."""


def staleness(feed: Feed, start_ms: int, now_ms: int) -> str | None:
    """Why a feed no longer covers the time from ``start_ms`` on, as a sentence; None = it does.

    The usual gap between publications is the median of the last ones; of fewer than two, only the
    end of the values tells. A feed of which nothing was published yet is not stale. ``feed``
    has only what was published by now.
    """
    if not len(feed.start_ms):
        return None
    times = np.unique(feed.published_ms)
    gaps = np.diff(times)
    gaps = gaps[gaps >= _LEAST_GAP_MS][-_GAPS:]
    old_min = (now_ms - int(times[-1])) / 60_000
    usual_min = float(np.median(gaps)) / 60_000 if len(gaps) > 1 else np.inf
    if old_min > STALE_GAPS * usual_min:
        return (
            f"the newest is {old_min:.0f} min old, and one was published each {usual_min:.0f} min"
        )
    if int(feed.start_ms.max()) < start_ms:
        return f"the newest, {old_min:.0f} min old, ends before the interval"
    return None


NOTHING_KNOWN = Series(np.empty(0, np.int64), np.empty(0))
NOTHING_PUBLISHED = Feed(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
_NEVER_MS = np.iinfo(np.int64).min


def known_before_gates(feed: Feed, begins_ms: Ints, gate_ms: int) -> Series:
    """Of each interval, the newest value that was published before its day's gate, or at it.

    ``begins_ms`` are the starts of the days, rising; gates close ``gate_ms`` before days begin.
    Intervals before the first day are left out.
    """
    day = np.searchsorted(begins_ms, feed.start_ms, side="right") - 1
    return feed.newest(np.where(day >= 0, begins_ms[day] - gate_ms, _NEVER_MS))
