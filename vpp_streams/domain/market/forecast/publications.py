"""Records of topic ``market.published`` as feeds: what a running system knows of a series.

A feed from records and one from a file are the same value, so live decisions and backtests use
the same functions (`series`).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from schemas.bounds import MAX_TIME_MS
from schemas.published import PublishedSeries, SeriesKind
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed

CLOCK_MS = 60_000
"""A publisher's clock may be this far before the broker's."""
POWER = "MW"


@dataclass(frozen=True, slots=True)
class Publication:
    """A published series, and when the broker wrote its record."""

    series: PublishedSeries
    written_at_ms: int


def flaw(series: PublishedSeries, written_at_ms: int) -> str | None:
    """Why a series cannot be used by anybody, as a sentence; None = it can."""
    if series.published_ms > written_at_ms + CLOCK_MS:
        early_s = (series.published_ms - written_at_ms) / 1000
        return f"it says that it was published {early_s:.0f} s after it was written"
    if (series.unit == POWER) == (series.kind == "price"):
        return f"a series of {series.kind} cannot be in {series.unit}"
    if series.start_ms % series.interval_ms:
        return "it does not begin on the grid of its intervals"
    if series.start_ms + len(series.values) * series.interval_ms > MAX_TIME_MS:
        return "it ends later than the year 9999"
    return None


class Publications:
    """The publications of all markets, in the order in which they were written."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, SeriesKind], list[Publication]] = defaultdict(list)

    def add(self, series: PublishedSeries, written_at_ms: int) -> None:
        """Add a series; one with a `flaw` is left out."""
        if flaw(series, written_at_ms) is None:
            key = series.market, series.kind
            self._of[key].append(Publication(series, written_at_ms))

    def since(self, market: str, kind: SeriesKind, since_ms: int) -> list[Publication]:
        """What was written of a series from ``since_ms`` on."""
        known = self._of.get((market, kind), [])
        return [one for one in known if one.written_at_ms >= since_ms]

    def forget(self, before_ms: int) -> None:
        """Drop what was written before a time."""
        for key, known in self._of.items():
            self._of[key] = [one for one in known if one.written_at_ms >= before_ms]


def feed_of(publications: Iterable[Publication], interval_ms: int) -> Feed:
    """The publications in intervals of this length; a longer one's value is that of all within it.

    Series whose intervals are shorter, or no multiple, are left out.
    """
    parts = [_rows(one, interval_ms) for one in publications]
    found = [part for part in parts if part is not None]
    if not found:
        return NOTHING_PUBLISHED
    starts, known, values = zip(*found, strict=True)
    return Feed(np.concatenate(starts), np.concatenate(known), np.concatenate(values))


def _rows(publication: Publication, interval_ms: int) -> tuple[Ints, Ints, Floats] | None:
    """Starts, times of publication and values of a series, a row for each interval."""
    series = publication.series
    within, rest = divmod(series.interval_ms, interval_ms)
    if rest or not within:
        return None
    values = np.array([np.nan if v is None else v for v in series.values], np.float64)
    values = values.repeat(within)
    starts = series.start_ms + np.arange(len(values), dtype=np.int64) * interval_ms
    return starts, _known_ms(publication, starts, interval_ms), values


def _known_ms(publication: Publication, starts: Ints, interval_ms: int) -> Ints:
    """When each value can have been known: as the publisher says, or as its record arrived.

    What arrives late cannot have been known before; only of the past, which forecasts learn from
    and no bid is made for, the publisher's time counts.
    """
    series, written_at_ms = publication.series, publication.written_at_ms
    arrived_ms = max(series.published_ms, written_at_ms)
    if series.kind == "price":  # nothing is learned from these, and a past one can move a bid
        return np.full(len(starts), arrived_ms, np.int64)
    over = starts + interval_ms <= written_at_ms
    return np.where(over, series.published_ms, arrived_ms)
