"""Windowed and live aggregates: plain JSON data products, one record per key.

Every aggregate states its coverage (the part of what it should cover) and its age.
Energies are the sum over readings of power x the time the reading stands for, so they do not
depend on the order of arrival. A window is [start, start + size). ``revision`` increases by one
with each correction; a record published again after a crash is the same record.
"""

from typing import Annotated

import msgspec

from schemas.bounds import (
    MAX_MANY,
    AgeMs,
    Count,
    EpochMs,
    Id,
    Label,
    Number,
    PartitionNumber,
    Ratio,
    SizeS,
    WattHours,
    Watts,
)


class PowerStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """One power of one site over one window. None = never measured in the window."""

    energy_wh: WattHours
    """Net energy: sum of w x h."""
    positive_wh: WattHours
    """Energy of the positive readings (discharge, import)."""
    negative_wh: WattHours
    """Energy of the negative readings, as a number >= 0 (charge, export)."""
    mean_w: Watts
    """Energy over the covered time."""
    min_w: Watts
    """Smallest reading; for a site of several devices the sum of their minima (a bound)."""
    max_w: Watts
    """Largest reading; for a site of several devices the sum of their maxima (a bound)."""


class SocStats(msgspec.Struct, frozen=True):
    """State of charge of one site over one window, weighted by rated energy."""

    first: Ratio
    last: Ratio
    min: Ratio
    max: Ratio


class SiteWindow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Topic ``site.windows``, key ``site_id``, id ``(site_id, size_s, start_ms)`` + revision."""

    window_id: Label
    """``<site_id>|<size_s>|<start_ms>``"""
    site_id: Id
    region: Id
    start_ms: EpochMs
    size_s: SizeS
    revision: Count
    """0 = first close; n = n-th correction by late readings."""
    readings: Count
    """Readings counted once each, across the site's devices."""
    coverage: Ratio
    """Covered time / window, mean over the site's devices, 0..1."""
    estimated: Count = 0
    """Readings whose quality was not ok."""
    bad: Count = 0
    """Of these the bad ones: counted as readings, and in no sum, bound or coverage."""
    battery: PowerStats | None = None
    grid: PowerStats | None = None
    solar: PowerStats | None = None
    load: PowerStats | None = None
    soc: SocStats | None = None


class Deliverable(msgspec.Struct, frozen=True):
    """Battery power that could be held for a duration from now, never a sum of nameplates."""

    duration_s: SizeS
    up_w: Watts
    """Towards the market (discharge)."""
    down_w: Watts
    """From the market (charge)."""


Deliverables = Annotated[tuple[Deliverable, ...], msgspec.Meta(max_length=100)]


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of a partition's sites now, over the sites that report.

    A device whose newest reading is bad does not report.
    """

    sites_expected: Count
    sites_reporting: Count
    oldest_sample_ms: EpochMs | None
    """Measured time of the oldest latest sample among the reporting sites."""
    battery_w: Watts
    grid_w: Watts
    solar_w: Watts
    load_w: Watts
    stored_wh: WattHours
    """Sum of soc x rated energy over batteries with a known soc."""
    usable_wh: WattHours
    """Sum of rated energy over the same batteries: soc of the region = stored / usable."""
    deliverable: Deliverables


class RegionPartial(msgspec.Struct, frozen=True, tag="live", kw_only=True):
    """Topic ``region.partials``, key region: one fleet partition's share at one tick."""

    region: Id
    partition: PartitionNumber
    tick_ms: EpochMs
    """Stream time of the tick, a multiple of the tick interval."""
    aggregate: Aggregate
    fresh: Annotated[tuple[tuple[EpochMs, Count], ...], msgspec.Meta(max_length=MAX_MANY)] = ()
    """(measured_at_ms floored to 50 ms, count) of the live readings applied since last tick."""


class EnergySums(msgspec.Struct, frozen=True):
    """Window sums of one power over the sites of a region (or of a partition of it).

    They include only measured values, without a replacement for missing ones. Each battery's energy
    counts up to its rating.
    """

    energy_wh: WattHours
    positive_wh: WattHours
    negative_wh: WattHours
    mean_w: Watts | None = None
    """Sum of the sites' mean powers, each over the time in which it was measured; None = none."""
    sites: Count | None = None
    """Number of sites where it was measured; None = reported by an older version."""


class RegionWindowSums(msgspec.Struct, frozen=True, kw_only=True):
    """Additive part of a region window: partials add field by field."""

    sites_expected: Count
    sites_reporting: Count
    readings: Count
    coverage_sum: Number
    """Sum of the sites' coverages; coverage = coverage_sum / sites_expected."""
    battery: EnergySums
    grid: EnergySums
    solar: EnergySums
    load: EnergySums
    stored_first_wh: WattHours
    stored_last_wh: WattHours
    usable_wh: WattHours


class RegionWindowPartial(msgspec.Struct, frozen=True, tag="window", kw_only=True):
    """Topic ``region.partials``, key region: one partition's share of one closed window."""

    region: Id
    partition: PartitionNumber
    start_ms: EpochMs
    size_s: SizeS
    revision: Count
    sums: RegionWindowSums


class RegionWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.windows``, key region: published once every partition's share is included."""

    window_id: Label
    """``<region>|<size_s>|<start_ms>``"""
    region: Id
    start_ms: EpochMs
    size_s: SizeS
    revision: Count
    """Counts shares and their corrections, from 0: of two records the higher one includes more."""
    coverage: Ratio
    """Covered site time / expected site time, 0..1."""
    mean_battery_w: Watts | None
    """Of the sites that measured it, each over the time in which it did: no other site is counted
    as 0, and none is scaled up. None = no site measured it; the same applies to the others."""
    mean_grid_w: Watts | None
    mean_solar_w: Watts | None
    mean_load_w: Watts | None
    soc_first: Ratio | None
    soc_last: Ratio | None
    sums: RegionWindowSums


class RegionLive(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.live``, key region: the region now, merged from the newest partials."""

    region: Id
    at_ms: EpochMs
    """When it was merged."""
    soc: Ratio | None
    coverage: Ratio
    """sites_reporting / sites_expected"""
    oldest_sample_age_s: Number | None
    partitions_expected: Count
    partitions_reporting: Count
    aggregate: Aggregate
    age_p50_ms: Number | None
    """Age of the readings that this record is the first to include, ms."""
    age_p99_ms: Number | None
    fresh_ages_ms: Annotated[tuple[tuple[AgeMs, Count], ...], msgspec.Meta(max_length=MAX_MANY)]
    """(age in ms, count) of those readings."""
