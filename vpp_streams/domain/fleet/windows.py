"""Window arithmetic: readings into accumulators, by columns.

A reading stands for ``[measured_at, measured_at + interval)``. Each window takes the part of
that time which lies in it: ``energy = sum of power x overlap``. Sums do not depend on the order
of arrival, so a late reading simply adds. The reading itself is counted in the window where it
starts. Accumulators have one slot per device row; NaN in min, max and soc = nothing yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.telemetry import POWER_COLUMNS
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Array, Arrays, Column, Floats, Ints

MS_W_PER_WH = 3_600_000.0


_POWERS = len(POWER_COLUMNS)
WINDOW_COLUMNS: Mapping[str, Column] = {
    "readings": Column(np.int32),
    "estimated": Column(np.int32),
    "bad": Column(np.int32),
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
    """Quality not ok."""
    bad: NDArray[np.bool_] | None = None
    """Readings that are counted and in no sum; None = none of them. See `without_bad`."""

    def without_bad(self, bad: NDArray[np.bool_]) -> "Samples":
        """The same readings, with nothing measured by the bad ones, which cover no time."""
        return replace(
            self,
            interval_ms=np.where(bad, 1, self.interval_ms),
            power_w=np.where(bad, np.nan, self.power_w),
            soc=np.where(bad, np.nan, self.soc),
            bad=bad,
        )

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Samples":
        """The readings at an index or mask."""
        return Samples(
            self.row[index],
            self.measured_at_ms[index],
            self.interval_ms[index],
            self.power_w[:, index],
            self.soc[index],
            self.estimated[index],
            None if self.bad is None else self.bad[index],
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The parts of some readings that lie in one window."""

    samples: Samples
    overlap_ms: Ints
    starts_here: NDArray[np.bool_]


def split(samples: Samples, size_ms: int) -> dict[int, Share]:
    """Split readings among the windows (by start, ms) that they overlap."""
    if not len(samples.row):
        return {}
    start, end = samples.measured_at_ms, samples.measured_at_ms + samples.interval_ms
    only = int(start.min()) // size_ms
    if only == (int(end.max()) - 1) // size_ms:  # as nearly every frame of a live fleet
        all_here = np.ones(len(start), np.bool_)
        return {only * size_ms: Share(samples, samples.interval_ms, all_here)}
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


@dataclass(frozen=True, slots=True)
class Gain:
    """The gains of rows in one window: sums to add, bounds to widen; shapes (n,) and (4, n)."""

    row: Ints
    readings: Ints
    estimated: Ints
    bad: Ints | None
    """None = none."""
    covered_ms: Ints
    positive_wms: Floats
    negative_wms: Floats
    power_ms: Ints
    min_w: Floats
    max_w: Floats
    soc_first: Floats
    soc_first_ms: Ints
    soc_last: Floats
    soc_last_ms: Ints
    soc_min: Floats
    soc_max: Floats

    @classmethod
    def of(cls, columns: Arrays, row: Ints) -> "Gain":
        """The content of these rows in one window, to be added to a longer one."""
        names = cls.__dataclass_fields__.keys() - {"row"}
        return cls(row, **{name: columns[name][..., row] for name in names})


COMPILED_COLUMNS = (
    "readings", "estimated", "covered_ms", "positive_wms", "negative_wms", "power_ms", "min_w",
    "max_w", "soc_first", "soc_first_ms", "soc_last", "soc_last_ms", "soc_min", "soc_max",
    "pending",
)  # fmt: skip
"""In the order in which compiled code takes them."""

_SUMS = ("readings", "estimated", "covered_ms", "positive_wms", "negative_wms", "power_ms")


def accumulate(columns: Arrays, share: Share, *, each_once: bool = False) -> None:
    """Add a share to its window's accumulators, in place.

    ``each_once`` states that no row has two readings in it, which saves a sort.
    """
    if each_once and kernels.COMPILED is not None and share.samples.bad is None:
        s = share.samples
        power_w = np.ascontiguousarray(s.power_w)
        kernels.COMPILED.add_readings(
            s.row, s.measured_at_ms, share.overlap_ms, power_w, s.soc, s.estimated,
            share.starts_here, *(columns[name] for name in COMPILED_COLUMNS),
        )  # fmt: skip
        return
    gain = gain_of(share)
    add(columns, gain if each_once else merged(gain))


def gain_of(share: Share) -> Gain:
    """The gain of each reading: a row with two readings occurs twice."""
    s, dt = share.samples, share.overlap_ms
    known = ~np.isnan(s.power_w)
    wms = np.where(known, s.power_w, 0.0) * dt
    positive = np.maximum(wms, 0.0)
    return Gain(
        row=s.row,
        readings=share.starts_here.astype(np.int32),
        estimated=(s.estimated & share.starts_here).astype(np.int32),
        bad=None if s.bad is None else s.bad.astype(np.int32),
        covered_ms=dt if s.bad is None else dt * ~s.bad,
        positive_wms=positive,
        negative_wms=positive - wms,
        power_ms=known * dt,
        min_w=s.power_w,
        max_w=s.power_w,
        soc_first=s.soc,
        soc_first_ms=s.measured_at_ms,
        soc_last=s.soc,
        soc_last_ms=s.measured_at_ms,
        soc_min=s.soc,
        soc_max=s.soc,
    )


def merged(gain: Gain) -> Gain:
    """The same gains with each row once."""
    # By time within a row, readings without a soc last: these are neither first nor last.
    known = ~np.isnan(gain.soc_first)
    order = np.lexsort((gain.soc_first_ms, ~known, gain.row))
    row = gain.row[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    count_known = np.add.reduceat(known[order].astype(np.int64), starts)
    first, last = order[starts], order[starts + np.maximum(count_known - 1, 0)]

    def reduced(how: np.ufunc, values: Array) -> Array:
        return how.reduceat(values[..., order], starts, axis=-1)

    return Gain(
        row=row[starts],
        **{name: reduced(np.add, getattr(gain, name)) for name in _SUMS},
        bad=None if gain.bad is None else reduced(np.add, gain.bad),
        min_w=reduced(np.fmin, gain.min_w),
        max_w=reduced(np.fmax, gain.max_w),
        soc_first=gain.soc_first[first],
        soc_first_ms=gain.soc_first_ms[first],
        soc_last=gain.soc_last[last],
        soc_last_ms=gain.soc_last_ms[last],
        soc_min=reduced(np.fmin, gain.soc_min),
        soc_max=reduced(np.fmax, gain.soc_max),
    )


def add(columns: Arrays, gain: Gain) -> None:
    """Add gains to their window's accumulators, in place; each row may occur once."""
    c, at = columns, gain.row
    for name in _SUMS:
        c[name][..., at] += getattr(gain, name)
    if gain.bad is not None:
        c["bad"][at] += gain.bad
    for name in ("min_w", "soc_min"):
        c[name][..., at] = np.fmin(c[name][..., at], getattr(gain, name))
    for name in ("max_w", "soc_max"):
        c[name][..., at] = np.fmax(c[name][..., at], getattr(gain, name))
    _keep_first_and_last(c, gain)
    c["pending"][at] = 1


def _keep_first_and_last(c: Arrays, gain: Gain) -> None:
    known = ~np.isnan(gain.soc_first)
    first, last = c["soc_first_ms"][gain.row], c["soc_last_ms"][gain.row]
    none = np.isnan(c["soc_first"][gain.row])
    for which, earlier_or_later in (
        ("soc_first", gain.soc_first_ms < first),
        ("soc_last", gain.soc_last_ms >= last),
    ):
        moved = np.flatnonzero(known & (none | earlier_or_later))
        if len(moved):
            at = gain.row[moved]
            c[which][at] = getattr(gain, which)[moved]
            c[f"{which}_ms"][at] = getattr(gain, f"{which}_ms")[moved]
