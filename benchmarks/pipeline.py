"""The whole pipeline on this machine: raw frames in Kafka to live regions, by real workers.

    python -m benchmarks.pipeline --devices 20000
    python -m benchmarks.pipeline --find            # the most devices that hold here

Starts `vpp worker ingest`, `fleet` and `region` in a new namespace, registers the devices, lets
`raw_frames` write their readings at 1 Hz and follows what the workers say. Tells how old readings
are when a region first shows them, how far ingest and fleet are behind and whether that grows, CPU
seconds and peak memory of each process and of the local broker (which others may use as well), and
proves by count that nothing was lost or counted twice: readings sent = canonical = applied = in
region windows, and so on a sample of twins.

It holds if the generator kept up, nothing was lost, and the age's p99 is within --age-goal-ms.
The ratio is CPU per reading to that of only decoding its JSON line, measured in the same run.
"""

import argparse
import asyncio
import json
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import msgspec

from benchmarks.frame_bytes import digits, frames_of
from benchmarks.homes import Homes
from benchmarks.pipeline_tables import Run, tables
from benchmarks.processes import Usage, busy_s
from benchmarks.report import cpu_s, parser, progress, publish
from benchmarks.watch import Watch, watching
from benchmarks.workers import Child, broker_usage, end, spawn, workers
from benchmarks.world import close_windows, import_sites, world
from schemas.telemetry import RawLine
from vpp_streams.serving.ages import percentile
from vpp_streams.settings import Settings, load_settings

WARM_S = 5
"""The first seconds create rows of devices and are not steady."""
READY_S = 180.0
PUBLISHED_S = 15.0
SAMPLE = 25
"""Number of twins that are requested from the workers' pages."""


def has_windows(watch: Watch, size_s: int, readings: int) -> bool:
    """Whether region windows of this size cover this many readings."""
    return watch.window_readings(size_s) >= readings


async def run_once(devices: int, args: argparse.Namespace) -> Run:
    """One run from start to end in a namespace of its own."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    homes, run = Homes(devices), Run(devices)
    run.decode_s = decode_s(homes)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(world(settings))
        logs = Path(stack.enter_context(TemporaryDirectory()))
        await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        roles = {"ingest": args.ingest, "fleet": args.fleet, "region": 1}
        children = stack.enter_context(workers(settings, roles))
        watch = await stack.enter_async_context(watching(settings))
        progress(f"{devices:,} devices: waiting for the workers")
        if not await watch.until(lambda: watch.sites_expected() == devices, READY_S):
            [child.usage() for child in children]  # raises if one has ended
            raise RuntimeError(f"the workers were not ready within {READY_S:.0f} s")
        before, busy_before = used(children, settings), busy_s()
        own_before, clock_before = time.process_time(), time.perf_counter()
        command = ("benchmarks.raw_frames", "--imported", "--devices", str(devices),
                   "--seconds", str(args.seconds + WARM_S), "--namespace", settings.namespace,
                   "--json", str(logs / "sent.json"))  # fmt: skip
        generator = spawn("generator", command, settings, logs)
        stack.callback(lambda: end([generator]))
        await watch_over(watch, generator, run, logs)
        await watch.until(lambda: watch.applied() >= run.sent, args.drain_s)
        after = used(children, settings)
        run.wall_s = time.perf_counter() - clock_before
        run.spent |= {
            name: Usage(after[name].cpu_s - before[name].cpu_s, after[name].peak_rss_mb)
            for name in after
        }
        ours_s = sum(u.cpu_s for u in run.spent.values()) + time.process_time() - own_before
        free_s = run.wall_s * (os.cpu_count() or 1)
        run.others = max(busy_s() - busy_before - ours_s, 0) / free_s
        await close_windows(producer, settings, int(time.time() * 1000))
        for size_s in (60, 900):
            await watch.until(partial(has_windows, watch, size_s, run.sent), PUBLISHED_S)
        # The windows may be published before the last live tick.
        await watch.until(lambda: watch.ages_of().total() >= run.sent, PUBLISHED_S)
        measure(run, watch, args.seconds)
        fleet = next(child for child in children if child.name.startswith("fleet"))
        run.counted["twins (sample)"] = await sampled(homes, fleet, run, args.seconds + WARM_S)
    return run


def decode_s(homes: Homes) -> float:
    """CPU seconds of only decoding one line."""
    frame = max(frames_of(homes, 200), key=lambda f: f.lines)
    decode, data = msgspec.json.Decoder(RawLine).decode_lines, frame.at(digits(1_800_000_000, 1))
    return cpu_s(lambda: decode(data), 30) / frame.lines


def used(children: list[Child], settings: Settings) -> dict[str, Usage]:
    """Each process's usage until now."""
    found = {child.name: child.usage() for child in children}
    of_broker = broker_usage(settings)
    return found | ({"broker": of_broker} if of_broker else {})


async def watch_over(watch: Watch, generator: Child, run: Run, logs: Path) -> None:
    """Wait for the end of the generator, and note its counts in ``run``."""
    began = time.monotonic()
    while generator.process.poll() is None:
        await asyncio.sleep(5)
        progress(
            f"{time.monotonic() - began:3.0f} s: coverage {watch.coverage():.1%},"
            f" {watch.applied():,} readings applied"
        )
    if generator.process.poll():
        raise RuntimeError(f"the generator failed:\n{generator.log.read_text()[-2000:]}")
    (table,) = json.loads((logs / "sent.json").read_text())["tables"]
    sent = dict(zip(table["columns"], table["rows"][0], strict=True))
    run.sent, run.kept_up = sent["readings"], sent["kept up"] == "yes"
    run.spent["generator"] = Usage(sent["readings"] / sent["per CPU-s"], 0.0)


def measure(run: Run, watch: Watch, seconds: int) -> None:
    """Counts of everything, ages and lags of the steady time."""
    run.counted |= {
        "ingest, canonical": watch.counter("ingest", "canonical"),
        "fleet, applied": watch.applied(),
        "regions, shown live": watch.ages_of().total(),
        "region windows of 1 min": watch.window_readings(60),
        "region windows of 15 min": watch.window_readings(900),
    }
    run.repeats = watch.counter("fleet", "duplicates")
    from_ms = watch.first_measured_ms() + WARM_S * 1000
    ages = watch.ages_of(from_ms, from_ms + seconds * 1000)
    run.ages_ms = percentile(ages, 0.5), percentile(ages, 0.99)
    third = seconds * 1000 / 3
    for i in range(3):
        part = from_ms + i * third, from_ms + (i + 1) * third
        ingest, fleet = (watch.lag_between(role, *part) for role in ("ingest", "fleet"))
        run.thirds.append((percentile(watch.ages_of(*part), 0.5), ingest, fleet))


async def sampled(homes: Homes, fleet: Child, run: Run, seconds: int) -> int:
    """Readings sent, less those that a sample of twins misses of one per second."""
    step = max(homes.n // SAMPLE, 1)
    missing = 0
    async with httpx.AsyncClient(timeout=20.0) as http:
        for site_id in homes.site_ids[::step]:
            page = (await http.get(f"http://127.0.0.1:{fleet.port}/sites/{site_id}/twin")).json()
            (twin,) = page["devices"]
            missing += seconds - twin["readings"]
    return run.sent - missing


async def find(args: argparse.Namespace) -> list[Run]:
    """Double the load until it does not hold, then bisect to a tenth."""
    runs, low, high = [], 0, None
    devices = args.devices
    while high is None or high - low > high / 10:
        runs.append(await run_once(devices, args))
        holds = runs[-1].holds(args.age_goal_ms)
        progress(f"{devices:,} devices {'hold' if holds else 'do not hold'}")
        low, high = (devices, high) if holds else (low, devices)
        devices = devices * 2 if high is None else (low + high) // 2
        if devices < 1000:
            break
    return runs


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--devices", type=int, default=20_000)
    options.add_argument("--seconds", type=int, default=60,
                         help="after a warm-up of 5; in 60 there is one minute's turn, in which"
                         " every site's window is published")  # fmt: skip
    options.add_argument("--ingest", type=int, default=1, help="ingest workers")
    options.add_argument("--fleet", type=int, default=1, help="fleet workers")
    options.add_argument(
        "--drain-s", type=float, default=60.0, help="time allowed for draining at the end"
    )
    options.add_argument("--age-goal-ms", type=float, default=1500.0)
    options.add_argument(
        "--find", action="store_true", help="search the largest number of devices that holds"
    )
    args = options.parse_args(argv)
    runs = asyncio.run(find(args)) if args.find else [asyncio.run(run_once(args.devices, args))]
    publish(args, tables(runs, args.seconds, args.age_goal_ms), load_settings().kafka)


if __name__ == "__main__":
    main()
