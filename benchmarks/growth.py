"""Cost and state by number of devices, partitions and regions; draws docs/growth/*.png.

    python -m benchmarks.growth

In process, the fleet role's partitions: frames of 1000 readings applied, ticks told, outputs
encoded, and a snapshot of every partition each second of stream time. Each point is measured in a
process of its own, so that its memory can be read. A flat line is a cost that grows with the
readings and nothing else. The ratio is to the first row's point, measured again beside each.
"""

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from benchmarks.growth_plots import Plot, draw
from benchmarks.growth_points import Measured, Point, kept_bytes, measure
from benchmarks.report import Table, parser, progress, publish

PLOTS = Path(__file__).parents[1] / "docs" / "growth"
HELD, KEPT = 20_000, 10_000
"""Number of devices where something else grows: partitions and regions; windows."""
MINUTES = (1, 15, 60)
T = TypeVar("T")


def alone(work: Callable[..., T], *args: object) -> T:
    """The result of a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args).result()


def medians(point: Point, repeat: int) -> Measured:
    """Medians of each figure."""
    progress(f"{point.devices:,} devices, {point.partitions} partitions, {point.regions} regions")
    runs = [asdict(alone(measure, point)) for _ in range(repeat)]
    return Measured(**{name: statistics.median(run[name] for run in runs) for name in runs[0]})


def costs(name: str, points: list[Point], repeat: int) -> tuple[Table, list[Measured]]:
    """The figures of each point; ``name`` is what grows."""
    found, ratios = [], []
    for point in points:
        # On a shared machine the speed of a core varies: measured side by side.
        first = medians(points[0], repeat)
        found.append(first if point == points[0] else medians(point, repeat))
        ratios.append(found[-1].reading_us / first.reading_us)
    held = "" if name == "devices" else f" of {points[0].devices:,} devices"
    table = Table(
        f"Cost against {name}{held}",
        (name, "x first", "apply us", "snapshot us", "tick ms", "changelog B", "memory B"),
    )
    for point, ratio, m in zip(points, ratios, found, strict=True):
        table.add(
            f"{getattr(point, name):,}", ratio, m.apply_us,
            m.snapshot_us, m.tick_ms, m.changelog_bytes, m.rss_bytes,
        )  # fmt: skip
    return table, found


def grown(args: argparse.Namespace) -> tuple[list[Table], list[Plot]]:
    """Every series as tables and plots."""
    held = min(HELD, max(args.devices))
    points = {
        "devices": [Point(n) for n in args.devices],
        "partitions": [Point(held, partitions=n) for n in (1, 2, 4, 8)],
        "regions": [Point(held, regions=n) for n in (3, 10, 50)],
    }
    tables, series = [], {}
    for name, some in points.items():
        table, found = costs(name, some, args.repeat)
        tables.append(table)
        series[name] = [getattr(point, name) for point in some], found
    tables[-1].notes.append(
        "us and changelog: per reading; tick: CPU of one of all partitions, two are applied each"
        " second; memory: what the process grew by per device, with two open windows"
    )
    minutes = [n for n in MINUTES if n <= args.minutes]
    progress(f"windows of {minutes[-1]} minutes kept")
    kept = [alone(kept_bytes, min(KEPT, held), n) for n in minutes]
    table = Table("Memory against windows kept", ("minutes", "x first", "bytes per device"))
    for n, size in zip(minutes, kept, strict=True):
        table.add(str(n), size / kept[0], size)
    return [*tables, table], plots_of(series, minutes, kept)


Series = dict[str, tuple[list[int], list[Measured]]]


def plots_of(series: Series, minutes: list[int], kept: list[float]) -> list[Plot]:
    """The plots in docs/growth."""
    devices, by_devices = series["devices"]
    plots = [
        Plot(
            f"cost-{name}.png", f"CPU per reading against {name}", name, "CPU per reading, µs", xs,
            {"applied, with ticks": [m.apply_us for m in found],
             "snapshots": [m.snapshot_us for m in found]},
            log_x=True,
        )
        for name, (xs, found) in series.items()
    ]  # fmt: skip
    regions, by_regions = series["regions"]
    plots += [
        Plot("tick-devices.png", "One tick of all partitions against devices", "devices",
             "CPU per tick, ms", devices, {"tick": [m.tick_ms for m in by_devices]}),
        Plot("tick-regions.png", "One tick of all partitions against regions", "regions",
             "CPU per tick, ms", regions, {"tick": [m.tick_ms for m in by_regions]}),
        Plot("state-devices.png", "Memory of twins and open windows", "devices",
             "bytes per device", devices, {"memory": [m.rss_bytes for m in by_devices]},
             log_x=True),
        Plot("changelog-devices.png", "Changelog written per reading against devices", "devices",
             "bytes per reading", devices, {"changelog": [m.changelog_bytes for m in by_devices]},
             log_x=True),
        Plot("state-windows.png", "Memory of windows against how long they are kept",
             "minutes of windows kept", "bytes per device", minutes, {"memory": kept}),
    ]  # fmt: skip
    return plots


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and draw."""
    options = parser(__doc__, repeat=1)
    options.add_argument("--devices", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument(
        "--minutes", type=int, default=60, help="largest number of minutes of windows kept"
    )
    options.add_argument("--plots", type=Path, default=PLOTS, metavar="DIR", help="draw there")
    args = options.parse_args(argv)
    tables, plots = grown(args)
    draw(plots, args.plots)
    publish(args, tables)
    print(f"\n{len(plots)} plots in {args.plots}")


if __name__ == "__main__":
    main()
