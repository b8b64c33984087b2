"""CPU per reading of the live hot path at 1 Hz: what it costs to have nothing but the newest.

    python -m benchmarks.live_cost
    python -m benchmarks.live_cost --devices 20000 --stacks /tmp/stacks   # and where it goes

Starts the workers of each --layout (roles, and after @ how long gateways gather, ms), lets
`raw_frames` write readings as gateways do, and after a warm-up counts the CPU time of the workers
for a minute, in which every site's window of one minute is published. Unlike a backlog, which is
read in large pieces, a live fleet costs by the frame, the fetch, the timer and the task.

The region's worker runs too, so that the readings' age can be measured; its CPU does not count.
The ratio is to the first layout's cost with as many devices; "x decode" to that of only decoding
the readings' JSON lines, measured in the same run.

With --stacks, py-spy (which must be installed) samples the workers for that minute, and a table
says which part of the work takes which share; the stacks are left in that directory.
"""

import argparse
import asyncio
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.homes import Homes
from benchmarks.pipeline import READY_S, decode_s
from benchmarks.report import Table, parser, progress, publish
from benchmarks.watch import Watch, watching
from benchmarks.workers import Child, end, spawn, workers
from benchmarks.world import import_sites, world
from vpp_streams.serving.ages import percentile
from vpp_streams.settings import load_settings

WARM_S = 20
"""The first seconds create rows of devices, and caches."""
PARTS = (
    ("the fleet's devices: rows, windows, ticks", ("domain/fleet/",)),
    ("raw lines to columns", ("domain/telemetry/",)),
    ("commands and supplies", ("agents/command.py", "domain/control/", "agents/control_feed.py")),
    ("snapshots", ("tables/state_store.py", "tables/partitions.py")),
    ("frames: encode and decode", ("schemas/encoding.py", "kafka/outlet.py", "kafka/tracing.py")),
    ("consumers: fetches and metadata", ("aiokafka/consumer/", "tables/log_reader.py",
                                         "kafka/follower.py", "kafka/topic_ids.py")),
    ("producers", ("aiokafka/producer/",)),
    ("connections to Kafka", ("aiokafka/",)),
    ("Faust", ("faust/", "mode/", "agents/faust_seam.py")),
    ("health and status", ("process/",)),
)  # fmt: skip
"""What the innermost known file of a sampled stack belongs to, most particular first."""
REST = "the event loop and all else"


@dataclass(slots=True)
class Cost:
    """What one minute of one layout cost."""

    layout: str
    devices: int
    readings: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    """By worker."""
    ages_ms: tuple[float | None, float | None] = (None, None)
    """p50 and p99."""
    parts: Counter[str] = field(default_factory=Counter)
    """Samples of stacks, 100 in a second of CPU."""

    @property
    def reading_us(self) -> float:
        """CPU per reading of all counted workers, us."""
        return sum(self.cpu_s.values()) / max(self.readings, 1) * 1e6


async def measure(layout: str, devices: int, args: argparse.Namespace) -> Cost:
    """One minute of one layout, in a namespace of its own."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    homes, cost = Homes(devices), Cost(layout, devices)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(world(settings))
        logs = Path(stack.enter_context(TemporaryDirectory()))
        await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        names, _, flush_ms = layout.partition("@")
        roles = dict.fromkeys(names.split("+"), 1) | {"region": 1}
        children = stack.enter_context(workers(settings, roles))
        counted = [child for child in children if not child.name.startswith("region")]
        watch = await stack.enter_async_context(watching(settings))
        progress(f"{layout}, {devices:,} devices: waiting for the workers")
        if not await watch.until(lambda: watch.sites_expected() == devices, READY_S):
            [child.usage() for child in children]  # raises if one has ended
            raise RuntimeError(f"the workers were not ready within {READY_S:.0f} s")
        seconds = args.warm_s + args.seconds
        command = ("benchmarks.raw_frames", "--imported", "--devices", str(devices), "--seconds",
                   str(seconds + 5), "--namespace", settings.namespace,
                   "--flush-ms", flush_ms or str(load_settings().flush_ms),
                   "--form", args.form)  # fmt: skip
        generator = spawn("generator", command, settings, logs)
        stack.callback(lambda: end([generator]))
        if not await watch.until(lambda: watch.applied() >= devices, READY_S):
            raise RuntimeError(f"nothing arrives; the generator:\n{generator.log.read_text()}")
        await asyncio.sleep(args.warm_s)
        await minute(cost, counted, watch, args)
    progress(f"{cost.reading_us:.2f} us per reading")
    return cost


async def minute(cost: Cost, counted: list[Child], watch: Watch, args: argparse.Namespace) -> None:
    """Count what the workers use while the readings of some seconds are applied."""
    before = {child.name: child.usage().cpu_s for child in counted}
    applied = watch.applied()
    first_ms = max(at_ms for at_ms, _, _ in watch.ages)
    samplers = [sample(child, cost, args) for child in counted] if args.stacks else []
    await asyncio.gather(asyncio.sleep(args.seconds), *samplers)
    cost.cpu_s = {child.name: child.usage().cpu_s - before[child.name] for child in counted}
    cost.readings = watch.applied() - applied
    ages = watch.ages_of(first_ms)
    cost.ages_ms = percentile(ages, 0.5), percentile(ages, 0.99)


async def sample(child: Child, cost: Cost, args: argparse.Namespace) -> None:
    """Sample the stacks of a worker that has the CPU."""
    tool = shutil.which("py-spy")
    if tool is None:
        raise SystemExit("--stacks needs py-spy on the PATH (pip install py-spy)")
    file = args.stacks / f"{cost.layout}-{cost.devices}-{child.name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    sampling = await asyncio.create_subprocess_exec(
        tool, "record", "--pid", str(child.process.pid), "--duration", str(args.seconds - 2),
        "--format", "raw", "--output", str(file), "--rate", "100", "--full-filenames",
        "--nonblocking",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await sampling.wait()
    cost.parts += parts_of(file.read_text())


def parts_of(stacks: str) -> Counter[str]:
    """Samples by part, from collapsed stacks: a line each, outermost first, with a count."""
    found = Counter[str]()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        inner = (part_of(place) for place in reversed(stack.split(";")))
        found[next((part for part in inner if part), REST)] += int(count)
    return found


def part_of(place: str) -> str | None:
    """The part that a place in the code belongs to; None = not known."""
    return next((part for part, files in PARTS if any(file in place for file in files)), None)


def tables_of(costs: list[Cost], line_s: float, seconds: int) -> list[Table]:
    """Cost by layout and devices, and where it goes."""
    table = Table(
        f"Live at 1 Hz: CPU of {seconds} s with a minute's turn",
        ("devices, layout", "x first", "us per reading", "x decode", "cores", "kept up",
         "age p50 ms", "age p99 ms", "by worker, us"),
    )  # fmt: skip
    first: dict[int, float] = {}
    for cost in costs:
        first.setdefault(cost.devices, cost.reading_us)
        each = {name: s / max(cost.readings, 1) * 1e6 for name, s in cost.cpu_s.items()}
        table.add(
            f"{cost.devices:,} {cost.layout}", first[cost.devices] / cost.reading_us,
            cost.reading_us, cost.reading_us / (line_s * 1e6), sum(cost.cpu_s.values()) / seconds,
            f"{cost.readings / (cost.devices * seconds):.0%}",
            *cost.ages_ms,
            ", ".join(f"{name} {us:.2f}" for name, us in each.items()),
        )  # fmt: skip
    table.notes.append(
        "kept up: readings applied of those due; less than all where others have the machine, and"
        " then more of them share a fetch and a timer"
    )
    table.notes.append("x first: how many times cheaper than the first layout of as many devices")
    return [table, *(parts_table(cost) for cost in costs if cost.parts)]


def parts_table(cost: Cost) -> Table:
    """Where the CPU of one run goes."""
    table = Table(f"{cost.layout}, {cost.devices:,} devices: samples", ("part", "share", "us"))
    for part, samples in cost.parts.most_common():
        share = samples / cost.parts.total()
        table.add(part, share, share * cost.reading_us)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--devices", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    options.add_argument("--layout", nargs="+", default=["ingest+fleet@200", "flow"],
                         metavar="ROLES")  # fmt: skip
    options.add_argument("--form", choices=("columns", "lines"), default="columns",
                         help="of raw frames; gateways write columns")  # fmt: skip
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--warm-s", type=int, default=WARM_S)
    options.add_argument("--stacks", type=Path, metavar="DIR", help="sample stacks into there")
    args = options.parse_args(argv)
    costs = [
        asyncio.run(measure(layout, devices, args))
        for devices in args.devices
        for layout in args.layout
    ]
    line_s = decode_s(Homes(1_000))
    publish(args, tables_of(costs, line_s, args.seconds), load_settings().kafka)


if __name__ == "__main__":
    main()
