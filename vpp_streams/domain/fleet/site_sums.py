"""A window's accumulators added up by site: energies, powers and states of charge of each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Array, Arrays
from vpp_streams.domain.fleet.metering import counted
from vpp_streams.domain.fleet.rollup import WindowRows
from vpp_streams.domain.fleet.windows import MS_W_PER_WH

Key = tuple[int, int]
"""A window: (size_ms, start_ms)."""
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


def sites_of(rows: SiteRows, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


class SiteSums:
    """A window's accumulators added up by site; shapes (sites,) and (4, sites)."""

    def __init__(self, key: Key, window: Arrays, at: NDArray[np.int64], rows: SiteRows) -> None:
        """``window`` has the columns of the rows ``at``, in their order."""
        self.size_ms, self.start_ms = key
        self.rows = rows
        self.sites, self._to = sites_of(rows, at)
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
