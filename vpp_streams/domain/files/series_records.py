"""Series of a file as records of topic ``market.published``."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np

from schemas.published import MAX_VALUES, PublishedSeries, SeriesKind
from vpp_streams.domain.market.auction_days import day_starts_ms
from vpp_streams.domain.market.forecast.publications import POWER
from vpp_streams.domain.market.rules import Prices


@dataclass(frozen=True, slots=True)
class Published:
    """What a series is, and who says it."""

    market: str
    kind: SeriesKind
    source: str


def at_once(values: Prices, what: Published, published_ms: int) -> list[PublishedSeries]:
    """The values as published at one time: a record for each stretch without a gap.

    ``values`` has them as its prices of energy: per MWh, or MW where they are no prices.
    """
    return list(_records(values, what, published_ms))


def day_by_day(
    values: Prices, what: Published, ahead_ms: int, zone: tzinfo
) -> list[PublishedSeries]:
    """The values of each local day as published ``ahead_ms`` before the day began."""
    starts = values.start_ms
    begins = day_starts_ms(int(starts[0]), int(starts[-1]), zone)
    rows = np.searchsorted(starts, begins)
    return [
        record
        for begin, first, stop in zip(begins.tolist(), rows[:-1], rows[1:], strict=False)
        for record in _records(values.cut(slice(int(first), int(stop))), what, begin - ahead_ms)
    ]


def _records(values: Prices, what: Published, published_ms: int) -> Iterator[PublishedSeries]:
    for run in values.runs():
        for first in range(run.start, run.stop, MAX_VALUES):
            rows = slice(first, min(first + MAX_VALUES, run.stop))
            yield PublishedSeries(
                market=what.market,
                kind=what.kind,
                published_ms=published_ms,
                start_ms=int(values.start_ms[first]),
                interval_ms=values.interval_ms,
                values=tuple(values.energy[rows].tolist()),
                unit=f"{values.currency}/MWh" if what.kind == "price" else POWER,
                source=what.source,
            )
