"""Windowed and live aggregates: plain JSON data products, one record per key.

Every aggregate says how much of what it should cover it does cover, and how old it is.
Energies are the sum over readings of power x the time the reading stands for, so they do not
depend on the order of arrival. A window is [start, start + size). ``revision`` rises by one
with each correction; a re-emission after a crash is the same record.
"""

import msgspec


class PowerStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """One power of one site over one window. None = never measured in the window."""

    energy_wh: float
    """Net energy: sum of w x h."""
    positive_wh: float
    """Energy of the positive readings (discharge, import)."""
    negative_wh: float
    """Energy of the negative readings, as a number >= 0 (charge, export)."""
    mean_w: float
    """Energy over the covered time."""
    min_w: float
    """Smallest reading; for a site of several devices the sum of their minima (a bound)."""
    max_w: float
    """Largest reading; for a site of several devices the sum of their maxima (a bound)."""


class SocStats(msgspec.Struct, frozen=True):
    """State of charge of one site over one window, weighted by rated energy."""

    first: float
    last: float
    min: float
    max: float


class SiteWindow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Topic ``site.windows``, key ``site_id``, id ``(site_id, size_s, start_ms)`` + revision."""

    window_id: str
    """``<site_id>|<size_s>|<start_ms>``"""
    site_id: str
    region: str
    start_ms: int
    size_s: int
    revision: int
    """0 = first close; n = n-th correction by late readings."""
    readings: int
    """Readings counted once each, across the site's devices."""
    coverage: float
    """Covered time / window, mean over the site's devices, 0..1."""
    estimated: int = 0
    """Readings whose quality was not ok."""
    bad: int = 0
    """Of these the bad ones: counted as readings, and in no sum, bound or coverage."""
    battery: PowerStats | None = None
    grid: PowerStats | None = None
    solar: PowerStats | None = None
    load: PowerStats | None = None
    soc: SocStats | None = None


class Deliverable(msgspec.Struct, frozen=True):
    """Battery power that could be held for a duration from now, never a sum of nameplates."""

    duration_s: int
    up_w: float
    """Towards the market (discharge)."""
    down_w: float
    """From the market (charge)."""


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition's sites add up to now; sums over the sites that are reporting.

    A device whose newest reading is bad does not report.
    """

    sites_expected: int
    sites_reporting: int
    oldest_sample_ms: int | None
    """Measured time of the oldest latest sample among the reporting sites."""
    battery_w: float
    grid_w: float
    solar_w: float
    load_w: float
    stored_wh: float
    """Sum of soc x rated energy over batteries with a known soc."""
    usable_wh: float
    """Sum of rated energy over the same batteries: soc of the region = stored / usable."""
    deliverable: tuple[Deliverable, ...]


class RegionPartial(msgspec.Struct, frozen=True, tag="live", kw_only=True):
    """Topic ``region.partials``, key region: one fleet partition's share at one tick."""

    region: str
    partition: int
    tick_ms: int
    """Stream time of the tick, a multiple of the tick interval."""
    aggregate: Aggregate
    fresh: tuple[tuple[int, int], ...] = ()
    """(measured_at_ms floored to 50 ms, count) of the live readings applied since last tick."""


class EnergySums(msgspec.Struct, frozen=True):
    """Window sums of one power over the sites of a region (or of a partition of it).

    What was measured, and nothing in place of what was not. Each battery's energy counts up to
    what it is rated for.
    """

    energy_wh: float
    positive_wh: float
    negative_wh: float
    mean_w: float | None = None
    """Sum of the sites' mean powers, each over the time in which it was measured; None = none."""
    sites: int | None = None
    """Sites where it was measured; None = told by an older version."""


class RegionWindowSums(msgspec.Struct, frozen=True, kw_only=True):
    """Additive part of a region window: partials add field by field."""

    sites_expected: int
    sites_reporting: int
    readings: int
    coverage_sum: float
    """Sum of the sites' coverages; coverage = coverage_sum / sites_expected."""
    battery: EnergySums
    grid: EnergySums
    solar: EnergySums
    load: EnergySums
    stored_first_wh: float
    stored_last_wh: float
    usable_wh: float


class RegionWindowPartial(msgspec.Struct, frozen=True, tag="window", kw_only=True):
    """Topic ``region.partials``, key region: one partition's share of one closed window."""

    region: str
    partition: int
    start_ms: int
    size_s: int
    revision: int
    sums: RegionWindowSums


class RegionWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.windows``, key region: published once every partition has its share in."""

    window_id: str
    """``<region>|<size_s>|<start_ms>``"""
    region: str
    start_ms: int
    size_s: int
    revision: int
    """Counts shares and their corrections, from 0: of two records the higher one has more in it."""
    coverage: float
    """Covered site time / expected site time, 0..1."""
    mean_battery_w: float | None
    """Of the sites that measured it, each over the time in which it did: no other site is counted
    as 0, and none is scaled up. None = nobody measured it; so for the others."""
    mean_grid_w: float | None
    mean_solar_w: float | None
    mean_load_w: float | None
    soc_first: float | None
    soc_last: float | None
    sums: RegionWindowSums


class RegionLive(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.live``, key region: the region now, merged from the newest partials."""

    region: str
    at_ms: int
    """When it was merged."""
    soc: float | None
    coverage: float
    """sites_reporting / sites_expected"""
    oldest_sample_age_s: float | None
    partitions_expected: int
    partitions_reporting: int
    aggregate: Aggregate
    age_p50_ms: float | None
    """Reading-to-region age of the readings that this record is the first to show."""
    age_p99_ms: float | None
    fresh_ages_ms: tuple[tuple[int, int], ...]
    """(age in ms, count) of those readings."""
