"""Merging the partitions' shares into regions: shares per CPU second, for 8 to 64 partitions.

    python -m benchmarks.region

Live: each tick every partition tells its share of every region as JSON; each is decoded, taken in,
and once a tick is complete the region is told, as the region role does. Windows: the same for the
shares of one minute. The ratio is to a plain program that decodes the same JSON (the standard
library's) into a dict and merges nothing.
"""

import json
from collections.abc import Callable, Sequence
from typing import cast

from benchmarks.homes import T0_MS
from benchmarks.report import Table, cpu_s, parser, publish
from schemas.encoding import decode_json, encode_json
from schemas.windows import (
    Aggregate,
    Deliverable,
    EnergySums,
    RegionPartial,
    RegionWindowPartial,
    RegionWindowSums,
)
from vpp_streams.domain.fleet.region_pace import LiveRegion
from vpp_streams.domain.fleet.regions import region_window

TICK_MS = 500
STALE_MS = 10_000
FRESH = 12
"""Number of reading times that a share is the first to include, in steps of 50 ms."""


def live_share(region: str, partition: int, tick_ms: int) -> bytes:
    """A partial as the fleet role writes it."""
    aggregate = Aggregate(
        sites_expected=1000, sites_reporting=998, oldest_sample_ms=tick_ms - 1700,
        battery_w=1.5e6 + partition, grid_w=-2.5e5, solar_w=3.25e6, load_w=4.5e6 + partition,
        stored_wh=7.1e6, usable_wh=13.5e6,
        deliverable=tuple(Deliverable(d, 4.2e6, 3.9e6) for d in (900, 3600, 14400)),
    )  # fmt: skip
    fresh = tuple((tick_ms - 50 * i, 80 + i) for i in range(FRESH, 0, -1))
    return encode_json(RegionPartial(region=region, partition=partition, tick_ms=tick_ms,
                                     aggregate=aggregate, fresh=fresh))  # fmt: skip


def window_share(region: str, partition: int, start_ms: int) -> bytes:
    """A window partial as the fleet role writes it."""
    energy = EnergySums(energy_wh=1234.5, positive_wh=2000.25, negative_wh=765.75)
    sums = RegionWindowSums(
        sites_expected=1000, sites_reporting=998, readings=59_880, coverage_sum=997.5,
        battery=energy, grid=energy, solar=energy, load=energy,
        stored_first_wh=7.1e6, stored_last_wh=7.2e6, usable_wh=13.5e6,
    )  # fmt: skip
    return encode_json(RegionWindowPartial(region=region, partition=partition, start_ms=start_ms,
                                           size_s=60, revision=0, sums=sums))  # fmt: skip


def merge_live(ticks: list[list[bytes]], expected: dict[int, int]) -> int:
    """Merge every tick of every region; returns how many records were published."""
    regions: dict[str, LiveRegion] = {}
    published, now_ms = 0, T0_MS
    for shares in ticks:
        now_ms += TICK_MS
        for value in shares:
            share = decode_json(value, RegionPartial | RegionWindowPartial)  # type: ignore[arg-type]  # a union
            region = regions.setdefault(share.region, LiveRegion(share.region))
            region.apply(share, now_ms)
            if region.due(expected, now_ms):
                encode_json(region.merge(expected, now_ms, STALE_MS))
                published += 1
    return published


def merge_windows(windows: list[list[bytes]], expected: dict[int, int]) -> int:
    """Merge every window of every region, published when complete; returns their number."""
    published = 0
    for shares in windows:
        found: dict[str, dict[int, RegionWindowPartial]] = {}
        for value in shares:
            share = decode_json(value, RegionPartial | RegionWindowPartial)  # type: ignore[arg-type]  # a union
            of_region = found.setdefault(share.region, {})
            of_region[share.partition] = cast(RegionWindowPartial, share)
            if len(of_region) == len(expected):
                encode_json(region_window(share.region, of_region, expected))
                published += 1
    return published


def plain(ticks: list[list[bytes]]) -> int:
    """The baseline."""
    newest = {}
    for shares in ticks:
        for value in shares:
            share = json.loads(value)
            newest[share["region"], share["partition"]] = share
    return len(newest)


Merge = Callable[[list[list[bytes]], dict[int, int]], int]
KINDS: dict[str, tuple[Callable[[str, int, int], bytes], Merge, int]] = {
    "live": (live_share, merge_live, TICK_MS),
    "windows": (window_share, merge_windows, 60_000),
}


def measure(
    kind: str, partitions: int, regions: int, ticks: int, repeat: int
) -> tuple[float, float]:
    """CPU seconds per share: ours, and the plain program's."""
    make, merge, step_ms = KINDS[kind]
    written = [
        [make(f"region-{r:02}", p, T0_MS + (tick + 1) * step_ms)
         for p in range(partitions) for r in range(regions)]
        for tick in range(ticks)
    ]  # fmt: skip
    expected = dict.fromkeys(range(partitions), 1000)
    published = merge(written, expected)
    assert published == ticks * regions, f"{published} records of {ticks * regions}"
    shares = ticks * partitions * regions
    ours_s = cpu_s(lambda: merge(written, expected), repeat) / shares
    return ours_s, cpu_s(lambda: plain(written), repeat) / shares


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=3)
    options.add_argument("--partitions", type=int, nargs="+", default=[8, 16, 64])
    options.add_argument("--regions", type=int, nargs="+", default=[3, 50])
    options.add_argument("--ticks", type=int, default=10)
    args = options.parse_args(argv)
    table = Table(
        "Shares merged to regions",
        ("what", "x plain", "shares per CPU-s", "plain per CPU-s", "a second's CPU, ms"),
    )
    for kind in KINDS:
        for partitions in args.partitions:
            for regions in args.regions:
                ours_s, plain_s = measure(kind, partitions, regions, args.ticks, args.repeat)
                per_s = partitions * regions * 1000 / KINDS[kind][2]
                table.add(f"{kind}, {partitions} partitions, {regions} regions", ours_s / plain_s,
                          round(1 / ours_s), round(1 / plain_s), ours_s * per_s * 1e3)  # fmt: skip
    table.notes.append("below 1 x plain: faster than only decoding with the standard library")
    publish(args, [table])


if __name__ == "__main__":
    main()
