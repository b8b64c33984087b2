"""A partition's sites added up by region: live power, energy, deliverable; window sums.

Devices are rows of numpy columns, sites and regions are indices into theirs, so a million
devices take tens of milliseconds. NaN = not measured: such a value is left out of a sum, it
does not count as 0 W (sums state what is measured, coverage the share that is).
`vpp_streams.domain.fleet.regions` merges the partitions' results.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from numpy.typing import NDArray

from schemas.windows import Aggregate, Deliverable, EnergySums, RegionWindowSums
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.fleet.metering import counted

DURATIONS_S = (900, 3600, 14400)
"""Deliverable power is published for 15 min, 1 h and 4 h."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest live reading of each device; every array has shape (devices,)."""

    measured_at_ms: Ints
    """Device clock, UTC; 0 = never."""
    received_at_ms: Ints
    """Gateway clock, UTC; 0 = never."""
    battery_w: Floats
    grid_w: Floats
    solar_w: Floats
    load_w: Floats
    soc: Floats
    """Fraction 0..1 of usable energy; NaN = not measured, as for the powers."""
    bad: Mask | None = None
    """Devices whose newest reading is bad: they report, and measure nothing; None = none."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """The registry's data on the rows of `Latest`, their sites and regions."""

    site: NDArray[np.int64]
    """Per device: index into the sites."""
    rated_energy_wh: Floats
    rated_charge_w: Floats
    rated_discharge_w: Floats
    region: NDArray[np.int32]
    """Per site: index into ``regions``; -1 = not registered, and left out."""
    backup_reserve: Floats
    """Per site: the owner's reserve, fraction of usable energy."""
    export_limit_w: Floats
    """Per site; inf = none."""
    import_limit_w: Floats
    """Per site; inf = none."""
    regions: tuple[str, ...]
    sites_expected: Ints
    """Per region: registered sites of this partition, whether they ever reported or not."""
    meters: Mask | None = None
    """Per device: whether its grid and load are its site's, by the registry; None = not stated."""
    panels: Mask | None = None
    """Per device: whether it has panels of its own; None = all have."""


@dataclass(frozen=True, slots=True)
class WindowRows:
    """One window of the sites that have readings in it; shapes (sites,) and (4, sites)."""

    region: NDArray[np.int32] | Ints
    """Index into the regions; -1 = not registered."""
    readings: Ints
    coverage: Floats
    """Covered time / window, 0..1."""
    positive_wh: Floats
    """Rows in the order battery, grid, solar, load; NaN = never measured in the window."""
    negative_wh: Floats
    """As a number >= 0."""
    soc_first: Floats
    """NaN = never measured."""
    soc_last: Floats
    usable_wh: Floats
    """Rated energy of the site's batteries whose soc is known."""
    mean_w: Floats | None = None
    """Mean of each power, W, over the time in which it was measured; None = not known."""

    @classmethod
    def joined(cls, parts: "Sequence[WindowRows]") -> "WindowRows":
        """The sites of all parts, each of which has means; none = no site has a reading."""
        if not parts:
            return _NO_SITES
        return cls(
            *(np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
              for field in fields(cls))
        )  # fmt: skip


_NO_SITES = WindowRows(
    *(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)),
    *(np.zeros((4, 0)), np.zeros((4, 0))),
    *(np.zeros(0), np.zeros(0), np.zeros(0)),
)


def reporting_devices(latest: Latest, now_ms: int, silent_after_ms: int) -> Mask:
    """Which devices reported within ``silent_after_ms`` before ``now_ms``."""
    recent = latest.received_at_ms >= now_ms - silent_after_ms
    return recent & (latest.measured_at_ms > 0)


def deliverable_w(
    latest: Latest, ratings: Ratings, reporting: Mask, duration_s: int
) -> tuple[Floats, Floats]:
    """Battery power (up, down) in W that each site could hold for ``duration_s`` from now.

    A device gives the least of its rating and of its energy above the owner's reserve (up) or
    up to full (down) over the duration; a site no more than its grid connection has room for.
    A silent device, or one whose soc is not known, gives nothing.
    """
    return Sites(latest, ratings, reporting).deliverable_w(duration_s)


def aggregate_regions(
    latest: Latest,
    ratings: Ratings,
    now_ms: int,
    silent_after_ms: int,
    durations_s: Sequence[int] = DURATIONS_S,
) -> dict[str, Aggregate]:
    """The aggregate of each region that has a registered site in this partition.

    Only devices that report and whose readings are good enter the sums; a site reports as soon
    as one of its devices does. ``now_ms`` is stream time on the gateway's clock.
    """
    sites = Sites(latest, ratings, _believed(latest, now_ms, silent_after_ms))
    reporting = sites.by_region((sites.add(sites.reporting) > 0).astype(np.float64))
    power = {name: sites.by_region(values) for name, values in sites.power_w.items()}
    stored = sites.by_region(sites.add(sites.stored_wh))
    usable = sites.by_region(sites.add(sites.usable_wh))
    oldest = _oldest_by_region(latest, ratings, sites.reporting)
    held = {d: tuple(sites.by_region(side) for side in sites.deliverable_w(d)) for d in durations_s}
    return {
        region: Aggregate(
            sites_expected=int(ratings.sites_expected[r]),
            sites_reporting=int(reporting[r]),
            oldest_sample_ms=int(oldest[r]) if reporting[r] else None,
            **{name: float(values[r]) for name, values in power.items()},
            stored_wh=float(stored[r]),
            usable_wh=float(usable[r]),
            deliverable=tuple(
                Deliverable(d, float(up[r]), float(down[r])) for d, (up, down) in held.items()
            ),
        )
        for r, region in enumerate(ratings.regions)
        if ratings.sites_expected[r] > 0
    }


def _believed(latest: Latest, now_ms: int, silent_after_ms: int) -> Mask:
    """The devices that report, and whose readings are good."""
    reporting = reporting_devices(latest, now_ms, silent_after_ms)
    return reporting if latest.bad is None else reporting & ~latest.bad


def region_window_partials(
    rows: WindowRows, regions: Sequence[str], sites_expected: Ints
) -> dict[str, RegionWindowSums]:
    """This partition's share of one window, for each region that has a registered site in it.

    A region whose sites reported nothing in the window has its share too (zeros): the region's
    window is complete once every partition has sent its share.
    """

    slots = _slots(rows.region)
    total = partial(_sum_by_region, slots, regions=len(regions))
    count = total((rows.coverage > 0).astype(np.float64))
    readings, coverage = total(rows.readings.astype(np.float64)), total(rows.coverage)
    battery, grid, solar, load = (_energies(rows, power, total) for power in range(4))
    known = np.isfinite(rows.soc_first) & np.isfinite(rows.soc_last)
    usable_of_site = np.where(known, rows.usable_wh, 0.0)
    first = total(_zero_unknown(rows.soc_first) * usable_of_site)
    last = total(_zero_unknown(rows.soc_last) * usable_of_site)
    usable = total(usable_of_site)
    return {
        region: RegionWindowSums(
            sites_expected=int(sites_expected[r]),
            sites_reporting=int(count[r]),
            readings=int(readings[r]),
            coverage_sum=float(coverage[r]),
            battery=battery[r],
            grid=grid[r],
            solar=solar[r],
            load=load[r],
            stored_first_wh=float(first[r]),
            stored_last_wh=float(last[r]),
            usable_wh=float(usable[r]),
        )
        for r, region in enumerate(regions)
        if sites_expected[r] > 0
    }


def _energies(rows: WindowRows, power: int, total: Callable[[Floats], Floats]) -> list[EnergySums]:
    """The energies of one power (row of `WindowRows.positive_wh`) in each region.

    ``total`` adds up sites by region.
    """
    gains = total(_zero_unknown(rows.positive_wh[power])).tolist()
    losses = total(_zero_unknown(rows.negative_wh[power])).tolist()
    if rows.mean_w is None:
        return [
            EnergySums(gain - loss, gain, loss) for gain, loss in zip(gains, losses, strict=True)
        ]
    means = total(_zero_unknown(rows.mean_w[power])).tolist()
    measured = total(np.isfinite(rows.mean_w[power]).astype(np.float64)).astype(int).tolist()
    return [
        EnergySums(gain - loss, gain, loss, mean if sites else None, sites)
        for gain, loss, mean, sites in zip(gains, losses, means, measured, strict=True)
    ]


class Sites:
    """The reporting devices added up by site, for the aggregates of one tick.

    Where ``giving`` is given (Mask, per device), only those of the reporting devices give and
    take energy; the others are still measured.
    """

    def __init__(
        self, latest: Latest, ratings: Ratings, reporting: Mask, giving: Mask | None = None
    ) -> None:
        self._ratings = ratings
        # bincount is four times as fast on indices of the machine's own width.
        self.site = ratings.site.astype(np.intp)
        self._slot = _slots(ratings.region)
        self._alone = np.array_equal(self.site, np.arange(len(ratings.region)))
        """Whether every site has one device, and in the same order: nothing to add up."""
        self.reporting = reporting
        self.soc_known = np.isfinite(latest.soc) & (reporting if giving is None else giving)
        soc = np.where(self.soc_known, latest.soc, 0.0).clip(0.0, 1.0)
        self.usable_wh = np.where(self.soc_known, ratings.rated_energy_wh, 0.0)
        """Rated energy of the batteries whose soc is known: the others give and take nothing."""
        self.stored_wh = soc * self.usable_wh
        reserve_wh = ratings.backup_reserve[self.site] * self.usable_wh
        self.above_reserve_wh = (self.stored_wh - reserve_wh).clip(0.0)
        self.below_full_wh = self.usable_wh - self.stored_wh
        self.measured: dict[str, Mask] = {}
        """Per power: the sites where a reporting device measures it."""
        self.power_w: dict[str, Floats] = {}
        """Per power: batteries and panels add up over a site's devices; its one meter counts
        once, whoever reports it (`domain.metering`)."""
        own = {"grid_w": ratings.meters, "load_w": ratings.meters, "solar_w": ratings.panels}
        for name in ("battery_w", "grid_w", "solar_w", "load_w"):
            watts: Floats = getattr(latest, name)
            known = reporting & np.isfinite(watts)
            if name != "battery_w" and not self._alone:
                known = self._counted(known, own[name], everybody=name == "solar_w")
            self.measured[name] = self.add(known) > 0
            self.power_w[name] = self.add(np.where(known, watts, 0.0))
        self.room_w = self._connection_room_w()
        """Battery power (discharge, charge) that each site's connection has room for."""

    def _counted(self, known: Mask, own: Mask | None, *, everybody: bool) -> Mask:
        """Who counts of those that measure a power; ``everybody`` where nothing is registered."""
        if own is None:
            if everybody:
                return known
            own = np.zeros(len(known), np.bool_)
        return counted(self.site, len(self._ratings.region), known, own, None)

    def add(self, per_device: Floats | Mask) -> Floats:
        """Sums of devices by site."""
        if self._alone:
            return per_device.astype(np.float64, copy=False)
        sites = len(self._ratings.region)
        return _sum_by(self.site, per_device, sites)

    def by_region(self, per_site: Floats) -> Floats:
        """Sums of sites by region."""
        return _sum_by_region(self._slot, per_site, len(self._ratings.regions))

    def deliverable_w(self, duration_s: int) -> tuple[Floats, Floats]:
        """See `deliverable_w`."""
        r = self._ratings
        per_hour = 3600.0 / duration_s
        up = np.minimum(r.rated_discharge_w, self.above_reserve_wh * per_hour)
        down = np.minimum(r.rated_charge_w, self.below_full_wh * per_hour)
        export_room, import_room = self.room_w
        return np.minimum(self.add(up), export_room), np.minimum(self.add(down), import_room)

    def _connection_room_w(self) -> tuple[Floats, Floats]:
        """Battery power (discharge, charge) in W that each site's grid connection has room for.

        The limit plus (less) the site's load - solar where these are measured, or its
        grid + battery (the same, by the balance) where those are. Else what is not measured is
        taken at its worst: no load beside the export, no sun beside the import.
        """
        p, m, r = self.power_w, self.measured, self._ratings
        metered = np.where(m["grid_w"] & m["battery_w"], p["grid_w"] + p["battery_w"], np.nan)
        exact = np.where(m["load_w"] & m["solar_w"], p["load_w"] - p["solar_w"], metered)
        known = np.isfinite(exact)
        least, most = np.where(known, exact, -p["solar_w"]), np.where(known, exact, p["load_w"])
        return (r.export_limit_w + least).clip(0.0), (r.import_limit_w - most).clip(0.0)


def _sum_by_region(slots: NDArray[np.intp], values: Floats, regions: int) -> Floats:
    return _sum_by(slots, values, regions + 1)[1:]


def _slots(region: NDArray[np.int32] | Ints) -> NDArray[np.intp]:
    """Per site, the slot of its region; slot 0 takes the sites that are not registered."""
    return region.astype(np.intp) + 1


def _sum_by(index: NDArray[np.intp], values: Floats | Mask, size: int) -> Floats:
    return np.asarray(np.bincount(index, weights=values, minlength=size), np.float64)


def _zero_unknown(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


def _oldest_by_region(latest: Latest, ratings: Ratings, reporting: Mask) -> Ints:
    region = ratings.region[ratings.site]
    counted = reporting & (region >= 0)
    oldest = np.full(len(ratings.regions), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(oldest, region[counted], latest.measured_at_ms[counted])
    return oldest
