"""Price intervals of several events as one series of a region, on one uniform grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from schemas.grid import PriceSeries
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.openadr.orders import Price
from vpp_streams.domain.openadr.wire import Remark

MOST_INTERVALS = 576
FINEST_MS = 60_000
AHEAD_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Priced:
    """A price and its time."""

    start_ms: int
    end_ms: int
    price: Price
    program_id: str
    rank: tuple[int, int]
    """(OpenADR priority, minus the issue time): of two at the same time, the lesser counts."""


def price_series(
    priced: Sequence[Priced], region: str, now_ms: int
) -> tuple[PriceSeries | None, list[Remark]]:
    """The prices of a region from the interval of ``now_ms`` on (or from earlier).

    A region has one tariff: of several programs or currencies, the one of highest rank counts.
    The series ends at the first gap, after 576 intervals, or a week ahead. None = no price is
    known for now or later.
    """
    remarks: list[Remark] = []
    live = [p for p in priced if p.end_ms > now_ms - DAY_MS]
    if not live:
        return None, remarks
    mine = _of_one_tariff(live, region, remarks)
    edges, values = _painted(mine, now_ms)
    run = _run(edges, values, now_ms)
    if run is None:
        return None, remarks
    if run.stop < len(values):
        remarks.append(Remark("", "price_gap", "the series ends at a gap between its prices"))
    series = _gridded(edges[run.start : run.stop + 1], values[run], now_ms, remarks)
    from_ms, interval_ms, per_mwh = series
    return PriceSeries(
        region=region,
        from_ms=from_ms,
        interval_ms=interval_ms,
        per_mwh=tuple(per_mwh.tolist()),
        currency=mine[0].price.currency,
    ), remarks


def _of_one_tariff(live: Sequence[Priced], region: str, remarks: list[Remark]) -> list[Priced]:
    """The prices of the program and currency of highest rank; remarks on the others."""
    first = min(live, key=lambda p: (p.rank[0], p.program_id, p.price.currency))
    tariff = (first.program_id, first.price.currency)
    others = {(p.program_id, p.price.currency) for p in live} - {tariff}
    remarks += [_left_out(other, tariff, region) for other in sorted(others)]
    return [p for p in live if (p.program_id, p.price.currency) == tariff]


def _left_out(other: tuple[str, str], tariff: tuple[str, str], region: str) -> Remark:
    return Remark(
        "",
        "second_tariff",
        f"prices of program {other[0]} in {other[1]} are left out: {region} follows"
        f" {tariff[0]} in {tariff[1]}; choose with --program",
    )


def _painted(mine: Sequence[Priced], now_ms: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Edges, and the price between each two; NaN = none. The best rank is written last."""
    day_ms = now_ms // DAY_MS * DAY_MS
    least_ms, most_ms = day_ms - DAY_MS, day_ms + AHEAD_MS
    cut = [(max(p.start_ms, least_ms), min(p.end_ms, most_ms), p) for p in mine]
    cut = [(a, b, p) for a, b, p in cut if a < b]
    edges = np.unique(np.array([t for a, b, _ in cut for t in (a, b)], np.int64))
    values = np.full(max(len(edges) - 1, 0), np.nan)
    for start_ms, end_ms, p in sorted(cut, key=lambda c: c[2].rank, reverse=True):
        values[np.searchsorted(edges, start_ms) : np.searchsorted(edges, end_ms)] = p.price.per_mwh
    return edges, values


def _run(edges: NDArray[np.int64], values: NDArray[np.float64], now_ms: int) -> slice | None:
    """The stretch without a gap that contains now, else the first one after it."""
    at = 0
    for known, cells in groupby(~np.isnan(values)):
        stop = at + len(list(cells))
        if known and edges[stop] > now_ms:
            return slice(at, stop)
        at = stop
    return None


def _gridded(
    edges: NDArray[np.int64], values: NDArray[np.float64], now_ms: int, remarks: list[Remark]
) -> tuple[int, int, NDArray[np.float64]]:
    """The run on the finest common grid of its edges: start, interval, prices."""
    interval_ms = math.gcd(*(int(step) for step in np.diff(edges)))
    from_ms, until_ms = int(edges[0]), int(edges[-1])
    if interval_ms < FINEST_MS:
        interval_ms = FINEST_MS
        detail = "the price intervals do not fit minutes; each minute has the price at its start"
        remarks.append(Remark("", "fine_grid", detail))
    count = -(-(until_ms - from_ms) // interval_ms)
    if count > MOST_INTERVALS:
        past = max((now_ms - from_ms) // interval_ms, 0)
        from_ms, count = from_ms + past * interval_ms, count - past
    if count > MOST_INTERVALS:
        detail = f"of {count} price intervals, the next {MOST_INTERVALS} are passed on"
        remarks.append(Remark("", "many_prices", detail))
        count = MOST_INTERVALS
    starts = from_ms + np.arange(count) * interval_ms
    return from_ms, interval_ms, values[np.searchsorted(edges, starts, side="right") - 1]
