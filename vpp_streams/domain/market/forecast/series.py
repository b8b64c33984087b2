"""Series that are known of a day before its gate, such as forecasts of load, wind or solar power.

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


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """All that was published of a series, in any order, corrections too."""

    start_ms: Ints
    """Starts of the intervals that the values are for, UTC."""
    published_ms: Ints
    """When a value was published, UTC."""
    values: Floats
    """NaN = a value that was withdrawn."""


def known_before_gates(feed: Feed, begins_ms: Ints, gate_ms: int) -> Series:
    """Of each interval, the newest value that was published before its day's gate, or at it.

    ``begins_ms`` are the starts of the days, rising; gates close ``gate_ms`` before days begin.
    Intervals before the first day, and those of which nothing was published in time, are left out.
    Of values published at the same time the last of the feed counts.
    """
    day = np.searchsorted(begins_ms, feed.start_ms, side="right") - 1
    in_time = np.flatnonzero((day >= 0) & (feed.published_ms <= begins_ms[day] - gate_ms))
    order = in_time[np.lexsort((feed.published_ms[in_time], feed.start_ms[in_time]))]
    start_ms = feed.start_ms[order]
    newest = np.append(start_ms[1:] != start_ms[:-1], True)[: len(order)]
    return Series(start_ms[newest], feed.values[order][newest])
