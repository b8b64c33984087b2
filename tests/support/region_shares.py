"""What one partition contributes to a region: live aggregates and windows."""

from typing import Any

import msgspec

from schemas.windows import (
    Aggregate,
    Deliverable,
    EnergySums,
    RegionPartial,
    RegionWindowPartial,
    RegionWindowSums,
)

NOW_MS = 1_763_855_000_000


def live_share(partition: int, tick_ms: int = NOW_MS, **changes: Any) -> RegionPartial:
    """Return a partition's live aggregate of region north; ``changes`` are its fields."""
    fresh = changes.pop("fresh", ())
    aggregate = Aggregate(
        sites_expected=2,
        sites_reporting=2,
        oldest_sample_ms=tick_ms - 700,
        battery_w=1_000.0,
        grid_w=-500.0,
        solar_w=300.0,
        load_w=800.0,
        stored_wh=5_000.0,
        usable_wh=10_000.0,
        deliverable=(Deliverable(900, 4_000.0, 3_000.0),),
    )
    return RegionPartial(
        region="north",
        partition=partition,
        tick_ms=tick_ms,
        aggregate=msgspec.structs.replace(aggregate, **changes),
        fresh=fresh,
    )


def window_share(
    partition: int, revision: int = 0, energy_wh: float = 120.0
) -> RegionWindowPartial:
    """Return a partition's 15-minute window of region north, the same energy in every flow."""
    energy = EnergySums(energy_wh=energy_wh, positive_wh=energy_wh, negative_wh=0.0)
    return RegionWindowPartial(
        region="north",
        partition=partition,
        start_ms=NOW_MS,
        size_s=900,
        revision=revision,
        sums=RegionWindowSums(
            sites_expected=2,
            sites_reporting=2,
            readings=1800,
            coverage_sum=1.5,
            battery=energy,
            grid=energy,
            solar=energy,
            load=energy,
            stored_first_wh=6_000.0,
            stored_last_wh=5_000.0,
            usable_wh=10_000.0,
        ),
    )
