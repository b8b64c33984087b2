"""Merging the partitions' shares of a region: the region now, and its windows.

Sums run in partition order, so the same shares always give the same bytes. When to merge is
decided by `vpp_streams.domain.fleet.region_pace`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from schemas.bounds import PARTITIONS
from schemas.windows import (
    Aggregate,
    Deliverable,
    EnergySums,
    RegionLive,
    RegionPartial,
    RegionWindow,
    RegionWindowPartial,
    RegionWindowSums,
)
from vpp_streams.domain.fleet.rollup import DURATIONS_S
from vpp_streams.domain.registry.registry import Registry

Expected = Mapping[int, int]
"""Partition -> registered sites of the region in it (at least one)."""


def expected_sites(registry: Registry) -> dict[str, dict[int, int]]:
    """Region -> partition -> registered sites: the partitions that send a region's shares."""
    expected: dict[str, dict[int, int]] = {}
    for partition in range(PARTITIONS):
        for region, sites in registry.columns.sites_by_region(partition).items():
            expected.setdefault(region, {})[partition] = sites
    return expected


def merge_aggregates(parts: Sequence[Aggregate]) -> Aggregate:
    """Add up aggregates, in the order given; without parts all sums are 0."""
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    for part in parts:
        for held in part.deliverable:
            up[held.duration_s] = up.get(held.duration_s, 0.0) + held.up_w
            down[held.duration_s] = down.get(held.duration_s, 0.0) + held.down_w
    return Aggregate(
        sites_expected=sum(p.sites_expected for p in parts),
        sites_reporting=sum(p.sites_reporting for p in parts),
        oldest_sample_ms=min(
            (p.oldest_sample_ms for p in parts if p.oldest_sample_ms is not None), default=None
        ),
        battery_w=sum((p.battery_w for p in parts), 0.0),
        grid_w=sum((p.grid_w for p in parts), 0.0),
        solar_w=sum((p.solar_w for p in parts), 0.0),
        load_w=sum((p.load_w for p in parts), 0.0),
        stored_wh=sum((p.stored_wh for p in parts), 0.0),
        usable_wh=sum((p.usable_wh for p in parts), 0.0),
        deliverable=tuple(Deliverable(d, up[d], down[d]) for d in sorted(up)),
    )


def region_live(
    region: str,
    partials: Mapping[int, RegionPartial],
    expected: Expected,
    *,
    fresh: Mapping[int, int],
    at_ms: int,
    stale_after_ms: int,
) -> RegionLive:
    """The region at ``at_ms`` from the newest partial of each partition.

    A partial older than ``stale_after_ms`` counts for nothing: its sites are expected but do
    not report. ``fresh`` is what this record is the first to show: readings by measured time,
    ms. A device whose clock runs ahead gives age 0.
    """
    live = {p: x for p, x in partials.items() if at_ms - x.tick_ms <= stale_after_ms}
    shares = {p: _silent(sites) for p, sites in expected.items()}
    shares.update((p, partial.aggregate) for p, partial in live.items())
    total = merge_aggregates([shares[p] for p in sorted(shares)])
    ages = Counter[int]()
    for measured_at_ms, count in fresh.items():
        ages[max(at_ms - measured_at_ms, 0)] += count
    oldest_ms = total.oldest_sample_ms
    return RegionLive(
        region=region,
        at_ms=at_ms,
        soc=_ratio(total.stored_wh, total.usable_wh),
        coverage=_ratio(total.sites_reporting, total.sites_expected) or 0.0,
        oldest_sample_age_s=None if oldest_ms is None else (at_ms - oldest_ms) / 1000,
        partitions_expected=len(shares),
        partitions_reporting=len(live),
        aggregate=total,
        age_p50_ms=_quantile(ages, 0.5),
        age_p99_ms=_quantile(ages, 0.99),
        fresh_ages_ms=tuple(sorted(ages.items())),
    )


def region_window(
    region: str, partials: Mapping[int, RegionWindowPartial], expected: Expected
) -> RegionWindow:
    """One window of the region from its partitions' shares (at least one).

    The mean powers are those of the sites that measured them, each over the time in which it did;
    a partition whose share is missing lowers the coverage by its sites. The revision counts shares
    and their corrections, so that of two records of a window the one with more in it always has
    the higher one.
    """
    parts = [partials[p] for p in sorted(partials)]
    shares = [part.sums for part in parts]
    missing = sum(sites for p, sites in expected.items() if p not in partials)
    sums = _merge_sums(shares, sites_missing=missing)
    start_ms, size_s = parts[0].start_ms, parts[0].size_s
    return RegionWindow(
        window_id=f"{region}|{size_s}|{start_ms}",
        region=region,
        start_ms=start_ms,
        size_s=size_s,
        revision=sum(part.revision + 1 for part in parts) - 1,
        coverage=_ratio(sums.coverage_sum, sums.sites_expected) or 0.0,
        **_means_w(shares, size_s / 3600),
        soc_first=_ratio(sums.stored_first_wh, sums.usable_wh),
        soc_last=_ratio(sums.stored_last_wh, sums.usable_wh),
        sums=sums,
    )


def _means_w(shares: Sequence[RegionWindowSums], hours: float) -> dict[str, float | None]:
    """The mean of each power, W, by the name of its field."""
    return {
        "mean_battery_w": _mean_w([(s.battery, s) for s in shares], hours),
        "mean_grid_w": _mean_w([(s.grid, s) for s in shares], hours),
        "mean_solar_w": _mean_w([(s.solar, s) for s in shares], hours),
        "mean_load_w": _mean_w([(s.load, s) for s in shares], hours),
    }


def _mean_w(shares: Sequence[tuple[EnergySums, RegionWindowSums]], hours: float) -> float | None:
    """Mean power of the sites that measured it, W; None = none did."""
    means_w = [
        _older_mean_w(energy, sums, hours) if energy.sites is None else energy.mean_w
        for energy, sums in shares
    ]
    known_w = [mean_w for mean_w in means_w if mean_w is not None]
    return sum(known_w) if known_w else None


def _older_mean_w(energy: EnergySums, sums: RegionWindowSums, hours: float) -> float | None:
    """Measured time of a share without that field: the covered time of the sites that report."""
    covered = _ratio(sums.coverage_sum, sums.sites_reporting)
    return energy.energy_wh / hours / covered if covered else None


def _silent(sites: int) -> Aggregate:
    """The aggregate of a partition of this many sites while none of them reports."""
    return Aggregate(
        sites_expected=sites,
        sites_reporting=0,
        oldest_sample_ms=None,
        battery_w=0.0,
        grid_w=0.0,
        solar_w=0.0,
        load_w=0.0,
        stored_wh=0.0,
        usable_wh=0.0,
        deliverable=tuple(Deliverable(duration_s, 0.0, 0.0) for duration_s in DURATIONS_S),
    )


def _merge_sums(parts: Sequence[RegionWindowSums], sites_missing: int) -> RegionWindowSums:
    return RegionWindowSums(
        sites_expected=sum(p.sites_expected for p in parts) + sites_missing,
        sites_reporting=sum(p.sites_reporting for p in parts),
        readings=sum(p.readings for p in parts),
        coverage_sum=sum((p.coverage_sum for p in parts), 0.0),
        battery=_merge_energy([p.battery for p in parts]),
        grid=_merge_energy([p.grid for p in parts]),
        solar=_merge_energy([p.solar for p in parts]),
        load=_merge_energy([p.load for p in parts]),
        stored_first_wh=sum((p.stored_first_wh for p in parts), 0.0),
        stored_last_wh=sum((p.stored_last_wh for p in parts), 0.0),
        usable_wh=sum((p.usable_wh for p in parts), 0.0),
    )


def _merge_energy(parts: Sequence[EnergySums]) -> EnergySums:
    means_w = [p.mean_w for p in parts if p.mean_w is not None]
    counted = all(p.sites is not None for p in parts)
    return EnergySums(
        energy_wh=sum((p.energy_wh for p in parts), 0.0),
        positive_wh=sum((p.positive_wh for p in parts), 0.0),
        negative_wh=sum((p.negative_wh for p in parts), 0.0),
        mean_w=sum(means_w) if counted and means_w else None,
        sites=sum(p.sites or 0 for p in parts) if counted else None,
    )


def _ratio(part: float, total: float) -> float | None:
    return part / total if total > 0 else None


def _quantile(counts: Mapping[int, int], q: float) -> float | None:
    """The smallest value that at least a fraction ``q`` of the counted do not exceed."""
    wanted = q * sum(counts.values())
    reached = 0
    for value in sorted(counts):
        reached += counts[value]
        if reached >= wanted:
            return float(value)
    return None
