"""Site windows of one partition: open, closed and corrected, by event time.

A window is closed by the partition's watermark. A late reading re-opens it as a *correction*:
the same record again with the next revision. Both are one operation here: publish what is
pending of the windows that are closed.

A reading is added once, to the windows of the smallest size that is not shorter than the time it
stands for (it cannot be split among shorter ones). A longer window is the sum of what was added to
it and to the shorter ones in it, computed when it is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Array, Arrays
from vpp_streams.domain.fleet.columnar import Columns
from vpp_streams.domain.fleet.metering import counted
from vpp_streams.domain.fleet.rollup import WindowRows
from vpp_streams.domain.fleet.windows import (
    MS_W_PER_WH,
    WINDOW_COLUMNS,
    Gain,
    Samples,
    Share,
    accumulate,
    add,
    split,
)

Key = tuple[int, int]
"""(size_ms, start_ms)"""

SITES_AT_ONCE = 8192
"""Most sites of a window that are added up together, and of a longer one so many fewer as it has
shorter ones in it: some milliseconds of work."""
FEWEST_SITES = 1024
TWICE = 1.05
"""Consecutive readings overlap by the jitter of a device's second, which adds up to less than this
share of a window. A device that covers more time than that covers some of it twice: it counts
once, at the mean of its readings."""


@dataclass(frozen=True, slots=True)
class SiteRows:
    """The site of each device row, and the registry's data that windows need."""

    site: NDArray[np.int64]
    """Shape (rows,): index into ``site_ids``."""
    site_ids: tuple[str, ...]
    regions: tuple[str, ...]
    """Per site; "" = not registered."""
    devices: NDArray[np.int64]
    """Per site: devices that should report."""
    rated_energy_wh: NDArray[np.float64]
    """Per row."""
    paid_charge_w: NDArray[np.float64] | None = None
    """Per row: up to where charged energy counts in the region's windows; None = no bound."""
    paid_discharge_w: NDArray[np.float64] | None = None
    meters: NDArray[np.bool_] | None = None
    """Per row, as in `domain.rollup.Ratings`."""
    panels: NDArray[np.bool_] | None = None


class SiteWindows:
    """All windows of a partition that can still change."""

    def __init__(self, sizes_ms: tuple[int, ...]) -> None:
        """``sizes_ms`` in rising order, each a multiple of the one before."""
        self.sizes_ms = sizes_ms
        self.windows: dict[Key, Columns] = {}
        self.dirty: set[Key] = set()
        """Windows with changes that were not published yet."""

    def add(self, samples: Samples, rows: int, *, each_once: bool) -> None:
        """Add readings; ``rows`` = device rows of the partition.

        ``each_once`` states that no row has two of them.
        """
        left = samples
        for size_ms in self.sizes_ms[:-1]:
            fits = left.interval_ms <= size_ms
            if fits.all():
                self._add(left, size_ms, rows, each_once)
                return
            self._add(left.take(fits), size_ms, rows, each_once)
            left = left.take(~fits)
        self._add(left, self.sizes_ms[-1], rows, each_once)

    def about_to_change(self, start_ms: int, rows: int) -> list[Columns]:
        """The window of the shortest size that starts then, and the longer ones it is a part of."""
        return [self._window((s, start_ms // s * s), rows) for s in self.sizes_ms]

    def _add(self, samples: Samples, size_ms: int, rows: int, each_once: bool) -> None:
        for start, share in split(samples, size_ms).items():
            window = self._window((size_ms, start), rows)
            accumulate(window.arrays, share, each_once=each_once)
            window.touch(share.samples.row)
            for longer_ms in self.sizes_ms:
                if longer_ms > size_ms:
                    self._mark((longer_ms, start // longer_ms * longer_ms), share, rows)

    def _mark(self, key: Key, share: Share, rows: int) -> None:
        """Note that the content of a window has changed, though not its own columns."""
        window = self._window(key, rows)
        row = share.samples.row
        news = row[window["pending"][row] == 0]
        if len(news):
            window["pending"][news] = 1
            window.touch(news)

    def _window(self, key: Key, rows: int) -> Columns:
        """The columns of a window that is about to change."""
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = Columns(WINDOW_COLUMNS)
        window.grow(rows)
        self.dirty.add(key)
        return window

    def _parts(self, key: Key) -> list[Columns]:
        """The shorter windows in a window, whose content is part of it."""
        size_ms, start_ms = key
        return [
            self.windows[part]
            for part in sorted(self.windows)
            if part[0] < size_ms and start_ms <= part[1] < start_ms + size_ms
        ]

    def _told(self, key: Key, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows ``at`` with a reading in a window or in the shorter ones in it."""
        found = np.zeros(len(at), np.bool_)
        for part in (self.windows[key], *self._parts(key)):
            there = np.flatnonzero(at < part.rows)
            found[there] |= _told(part.arrays, at[there])
        return at[found]

    def _complete(self, key: Key, at: NDArray[np.int64]) -> Arrays:
        """A window's columns of some rows, with those of the shorter ones in it."""
        complete = {name: array[..., at] for name, array in self.windows[key].arrays.items()}
        for part in self._parts(key):
            there = np.flatnonzero(at < part.rows)
            row = at[there]
            told = _told(part.arrays, row)
            gain = Gain.of(part.arrays, row[told])
            add(complete, replace(gain, row=there[told]))
        return complete

    def pending(self, key: Key, rows: SiteRows) -> NDArray[np.int64]:
        """Sites of a window with changes that were not published yet, in row order."""
        if key not in self.dirty:
            return np.zeros(0, np.int64)
        window = self.windows[key]
        changed = np.flatnonzero(window["pending"][: window.rows])
        return _sites_of(rows, changed)[0]

    def sites(self, key: Key, rows: SiteRows) -> NDArray[np.int64]:
        """Sites with a reading in a window, in row order."""
        return _sites_of(rows, self._told(key, np.arange(self.windows[key].rows)))[0]

    def pieces(self, key: Key, sites: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Sites in pieces of some milliseconds of work each."""
        most = max(SITES_AT_ONCE // (1 + len(self._parts(key))), FEWEST_SITES)
        for first in range(0, len(sites), most):
            yield sites[first : first + most]

    def publish(self, key: Key, sites: NDArray[np.int64], rows: SiteRows) -> "SiteSums":
        """The sums of these sites now; they count as published (one revision more)."""
        window = self.windows[key]
        self.dirty.discard(key)
        mine = self._rows_of(key, sites, rows)
        window["pending"][mine] = 0
        window["published"][mine] += 1
        window.touch(mine)
        return self.sums(key, sites, rows)

    def sums(self, key: Key, sites: NDArray[np.int64] | None, rows: SiteRows) -> "SiteSums":
        """Add up the devices of these sites (None = of all that have a reading)."""
        at = self._rows_of(key, sites, rows)
        mine = self._told(key, at)
        return SiteSums(key, self._complete(key, mine), mine, rows)

    def _rows_of(
        self, key: Key, sites: NDArray[np.int64] | None, rows: SiteRows
    ) -> NDArray[np.int64]:
        """The rows of these sites (None = of all) in a window."""
        n = self.windows[key].rows
        if sites is None:
            return np.arange(n)
        chosen = np.zeros(len(rows.site_ids), np.bool_)
        chosen[sites] = True
        return np.flatnonzero(chosen[rows.site[:n]])

    def load(self, key: Key, block: int, batch: pa.RecordBatch) -> None:
        """Restore a decoded block of a window."""
        window = self.windows.setdefault(key, Columns(WINDOW_COLUMNS))
        window.load(block, batch)
        if window["pending"][: window.rows].any():
            self.dirty.add(key)

    def expire(self, before_ms: int) -> list[Key]:
        """Forget windows that ended before and are part of no longer one; return their keys."""
        longest_ms = self.sizes_ms[-1]
        gone = [
            key
            for key in self.windows
            if key[1] // longest_ms * longest_ms + longest_ms <= before_ms
        ]
        for key in gone:
            del self.windows[key]
            self.dirty.discard(key)
        return gone


def _sites_of(rows: SiteRows, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sites of some rows, each once and in order, and which of them is each row's.

    As `np.unique` with its inverse, which sorts: it would take most of a window's closing.
    """
    site = rows.site[at]
    there = np.zeros(len(rows.site_ids), np.bool_)
    there[site] = True
    sites = np.flatnonzero(there)
    number = np.zeros(len(there), np.int64)
    number[sites] = np.arange(len(sites))
    return sites, number[site]


def _told(window: Arrays, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the rows ``at`` have a reading in a window, good or bad."""
    reported: NDArray[np.bool_] = (window["covered_ms"][at] > 0) | (window["bad"][at] > 0)
    return reported


class SiteSums:
    """A window's accumulators added up by site; shapes (sites,) and (4, sites)."""

    def __init__(self, key: Key, window: Arrays, at: NDArray[np.int64], rows: SiteRows) -> None:
        """``window`` has the columns of the rows ``at``, in their order."""
        self.size_ms, self.start_ms = key
        self.rows = rows
        self.sites, self._to = _sites_of(rows, at)
        w = window
        self.readings = self._add(w["readings"]).astype(np.int64)
        self.estimated = self._add(w["estimated"]).astype(np.int64)
        self.bad = self._add(w["bad"]).astype(np.int64)
        share = np.minimum(w["covered_ms"], self.size_ms) / self.size_ms
        self.coverage = np.minimum(self._add(share) / np.maximum(rows.devices[self.sites], 1), 1.0)
        published = np.zeros(len(self.sites), np.int64)
        np.maximum.at(published, self._to, w["published"])
        self.revision = np.maximum(published - 1, 0)
        power_ms = w["power_ms"]
        if len(self._to) > len(self.sites):
            power_ms = np.where(self._counted(power_ms, at), power_ms, 0)
        measured = power_ms > 0
        self.measured = self._add2(measured) > 0
        positive = np.where(measured, w["positive_wms"], 0.0)
        negative = np.where(measured, w["negative_wms"], 0.0)
        self.mean_w = self._add2((positive - negative) / np.maximum(power_ms, 1))
        once = _once(power_ms, self.size_ms)
        if once is not None:
            positive, negative = positive * once, negative * once
        self.positive_wh = self._add2(positive) / MS_W_PER_WH
        self.negative_wh = self._add2(negative) / MS_W_PER_WH
        self._count_what_is_paid(
            positive[0], negative[0], np.minimum(power_ms[0], self.size_ms), at
        )
        self.min_w = self._add2(np.where(measured, w["min_w"], 0.0))
        self.max_w = self._add2(np.where(measured, w["max_w"], 0.0))
        self._weigh_soc(w, at)

    def _counted(self, power_ms: Array, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which powers count for their site, shape (4, rows): its meter counts once.

        Where the registry does not state whose, it is that of the device that measured longest.
        """
        known, r = power_ms > 0, self.rows
        nobody = np.zeros(len(at), np.bool_)
        meters = nobody if r.meters is None else r.meters[at]
        for power, own in ((1, meters), (2, r.panels if r.panels is None else r.panels[at]),
                           (3, meters)):  # fmt: skip
            if own is not None:
                order = np.argsort(-power_ms[power], kind="stable")
                known[power] = counted(self._to, len(self.sites), known[power], own, order)
        return known

    def _count_what_is_paid(
        self, positive: Array, negative: Array, covered_ms: Array, at: NDArray[np.int64]
    ) -> None:
        """Battery energy by site, each device's up to what it is rated for."""
        r = self.rows
        self.paid_wh = self.positive_wh[0], self.negative_wh[0]
        if r.paid_discharge_w is None or r.paid_charge_w is None:
            return
        most_out = _energy_of(r.paid_discharge_w[at], covered_ms)
        most_in = _energy_of(r.paid_charge_w[at], covered_ms)
        if ((positive > most_out) | (negative > most_in)).any():
            out, in_ = np.fmin(positive, most_out), np.fmin(negative, most_in)
            self.paid_wh = self._add(out) / MS_W_PER_WH, self._add(in_) / MS_W_PER_WH

    def _weigh_soc(self, w: Arrays, at: NDArray[np.int64]) -> None:
        """State of charge of a site: its batteries weighted by rated energy (else equally)."""
        known = ~np.isnan(w["soc_first"])
        energy = np.where(self.rows.rated_energy_wh[at] > 0, self.rows.rated_energy_wh[at], 1.0)
        weight = np.where(known, energy, 0.0)
        total = self._add(weight)
        self.has_soc = total > 0
        self.usable_wh = self._add(np.where(known, self.rows.rated_energy_wh[at], 0.0))
        names = ("soc_first", "soc_last", "soc_min", "soc_max")
        self.soc = np.stack(
            [self._add(np.where(known, w[name], 0.0) * weight) for name in names]
        ) / np.where(total > 0, total, 1.0)

    def _add(self, values: Array) -> NDArray[np.float64]:
        if len(self._to) == len(self.sites):  # one device a site, as nearly everywhere
            added = np.empty(len(self.sites), np.float64)
            added[self._to] = values
            return added
        weights = values.astype(np.float64)
        return np.bincount(self._to, weights, len(self.sites)).astype(np.float64)

    def _add2(self, values: Array) -> NDArray[np.float64]:
        if len(self._to) == len(self.sites):
            added = np.empty((len(values), len(self.sites)), np.float64)
            added[:, self._to] = values
            return added
        return np.stack([self._add(row) for row in values])

    def window_rows(self, region_of_site: NDArray[np.int32]) -> WindowRows:
        """The sums of these sites, as a region's window needs them."""
        positive, negative = self.positive_wh.copy(), self.negative_wh.copy()
        positive[0], negative[0] = self.paid_wh
        return WindowRows(
            region=region_of_site[self.sites],
            readings=self.readings,
            coverage=self.coverage,
            positive_wh=np.where(self.measured, positive, np.nan),
            negative_wh=np.where(self.measured, negative, np.nan),
            mean_w=np.where(self.measured, self.mean_w, np.nan),
            soc_first=np.where(self.has_soc, self.soc[0], np.nan),
            soc_last=np.where(self.has_soc, self.soc[1], np.nan),
            usable_wh=self.usable_wh,
        )


def _energy_of(power_w: Array, covered_ms: Array) -> NDArray[np.float64]:
    """Power x time; none where no time is covered, also of a power without a bound."""
    energy_wms = np.zeros(len(power_w))
    np.multiply(power_w, covered_ms, out=energy_wms, where=covered_ms > 0)
    return energy_wms


def _once(power_ms: Array, size_ms: int) -> Array | None:
    """Share of the energy that counts where time was covered twice; None = nowhere."""
    twice = power_ms > TWICE * size_ms
    return np.where(twice, size_ms / np.maximum(power_ms, 1), 1.0) if twice.any() else None
