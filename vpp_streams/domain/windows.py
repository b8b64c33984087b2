"""Window arithmetic: readings into accumulators, by columns.

A reading stands for ``[measured_at, measured_at + interval)``. Each window takes the part of
that time which lies in it: ``energy = sum of power x overlap``. Sums do not depend on the order
of arrival, so a late reading simply adds. The reading itself is counted in the window where it
starts. Accumulators have one slot per device row; NaN in min, max and soc = nothing yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.telemetry import POWER_COLUMNS
from vpp_streams.domain.columns import Array, Arrays, Column

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MS_W_PER_WH = 3_600_000.0


_POWERS = len(POWER_COLUMNS)
WINDOW_COLUMNS: Mapping[str, Column] = {
    "readings": Column(np.int32),
    "estimated": Column(np.int32),
    "covered_ms": Column(np.int64),
    "positive_wms": Column(np.float64, width=_POWERS),
    "negative_wms": Column(np.float64, width=_POWERS),
    "power_ms": Column(np.int64, width=_POWERS),
    "min_w": Column(np.float64, np.nan, _POWERS),
    "max_w": Column(np.float64, np.nan, _POWERS),
    "soc_first": Column(np.float64, np.nan),
    "soc_first_ms": Column(np.int64),
    "soc_last": Column(np.float64, np.nan),
    "soc_last_ms": Column(np.int64),
    "soc_min": Column(np.float64, np.nan),
    "soc_max": Column(np.float64, np.nan),
    "pending": Column(np.uint8),  # 1 = changed since it was last published
    "published": Column(np.int32),  # how often it was published; revision = published - 1
}


@dataclass(frozen=True, slots=True)
class Samples:
    """Readings by columns, shape (n,) and (4, n); ``row`` is the device's row."""

    row: Ints
    measured_at_ms: Ints
    interval_ms: Ints
    power_w: Floats
    """Shape (4, n), in the order of `POWER_COLUMNS`; NaN = not measured."""
    soc: Floats
    estimated: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Samples":
        """The readings at an index or mask."""
        return Samples(
            self.row[index],
            self.measured_at_ms[index],
            self.interval_ms[index],
            self.power_w[:, index],
            self.soc[index],
            self.estimated[index],
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The parts of some readings that lie in one window."""

    samples: Samples
    overlap_ms: Ints
    starts_here: NDArray[np.bool_]


def split(samples: Samples, size_ms: int) -> dict[int, Share]:
    """Share readings out to the windows (by start, ms) that they overlap."""
    if not len(samples.row):
        return {}
    start, end = samples.measured_at_ms, samples.measured_at_ms + samples.interval_ms
    first = start // size_ms
    spans = (end - 1) // size_ms - first + 1
    index = np.repeat(np.arange(len(start)), spans)
    nth = np.arange(len(index)) - np.repeat(np.cumsum(spans) - spans, spans)
    window = (first[index] + nth) * size_ms
    overlap = np.minimum(end[index], window + size_ms) - np.maximum(start[index], window)
    shares = {}
    for at in np.unique(window).tolist():
        here = window == at
        shares[at] = Share(samples.take(index[here]), overlap[here], nth[here] == 0)
    return shares


def accumulate(columns: Arrays, share: Share) -> Ints:
    """Add a share to its window's accumulators, in place; returns the rows it changed."""
    s = share.samples
    order = np.lexsort((s.measured_at_ms, s.row))
    row = s.row[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    at = row[starts]
    dt = share.overlap_ms[order]
    c = columns
    c["readings"][at] += _sum(share.starts_here[order].astype(np.int32), starts)
    estimated = (s.estimated & share.starts_here)[order]
    c["estimated"][at] += _sum(estimated.astype(np.int32), starts)
    c["covered_ms"][at] += _sum(dt, starts)
    _add_power(c, at, starts, s.power_w[:, order], dt)
    known = ~np.isnan(s.soc[order])
    if known.any():
        _add_soc(c, row[known], s.soc[order][known], s.measured_at_ms[order][known])
    c["pending"][at] = 1
    return at


def _sum(values: Array, starts: Ints) -> Array:
    return np.add.reduceat(values, starts, axis=-1)


def _add_power(c: Arrays, at: Ints, starts: Ints, power_w: Floats, dt: Ints) -> None:
    known = ~np.isnan(power_w)
    wms = np.where(known, power_w, 0.0) * dt
    c["positive_wms"][:, at] += _sum(np.maximum(wms, 0.0), starts)
    c["negative_wms"][:, at] += _sum(np.maximum(-wms, 0.0), starts)
    c["power_ms"][:, at] += _sum(known * dt, starts)
    c["min_w"][:, at] = np.fmin(c["min_w"][:, at], np.fmin.reduceat(power_w, starts, axis=1))
    c["max_w"][:, at] = np.fmax(c["max_w"][:, at], np.fmax.reduceat(power_w, starts, axis=1))


def _add_soc(c: Arrays, row: Ints, soc: Floats, t: Ints) -> None:
    """``row`` is sorted and ``t`` rises within a row, so a segment's ends are first and last."""
    change = row[1:] != row[:-1]
    starts, ends = np.flatnonzero(np.r_[True, change]), np.flatnonzero(np.r_[change, True])
    at = row[starts]
    c["soc_min"][at] = np.fmin(c["soc_min"][at], np.minimum.reduceat(soc, starts))
    c["soc_max"][at] = np.fmax(c["soc_max"][at], np.maximum.reduceat(soc, starts))
    none = np.isnan(c["soc_first"][at])
    earlier = none | (t[starts] < c["soc_first_ms"][at])
    c["soc_first"][at[earlier]] = soc[starts][earlier]
    c["soc_first_ms"][at[earlier]] = t[starts][earlier]
    later = none | (t[ends] >= c["soc_last_ms"][at])
    c["soc_last"][at[later]] = soc[ends][later]
    c["soc_last_ms"][at[later]] = t[ends][later]
