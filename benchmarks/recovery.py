"""How long a fleet worker needs from its assignment until it continues.

    python -m benchmarks.recovery

In process: the twins of --devices and --minutes of their windows, over 8 partitions, rebuilt from
what the changelog holds: blocks sorted out (`columnar.recover`), columns filled
(`FleetPartition.restore`), joined with the registry, and the first tick. The registry is there
and in columns, as in a worker that partitions are assigned to. The ratio is to only decoding the
same blocks; a plain table of a JSON document per device, as Faust recovers one, is
there to compare (a tenth of the devices, scaled).

The real `vpp worker fleet`, with --worker-devices: from its start until its pages answer for a
site of every partition, on an empty changelog and on one that this script wrote. 0 leaves it out.
"""

import argparse
import asyncio
import gc
import json
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack

import httpx

from benchmarks.homes import T0_MS, Homes
from benchmarks.report import Table, cpu_s, parser, progress, publish
from benchmarks.workers import Child, workers
from benchmarks.world import import_sites, world
from schemas.bounds import PARTITIONS
from vpp_streams.domain.fleet.columnar import COMMIT, decode_block, recover
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.settings import load_settings

MINUTE_S = 60
ROWS = 10_000
READY_S = 300.0
Writes = dict[bytes, bytes]


def changelog(homes: Homes, minutes: int) -> dict[int, Writes]:
    """Partition -> content of its changelog: each home reported once in each of some minutes."""
    parts = {p: FleetPartition(p, "telemetry", Registry(), Policy()) for p in range(PARTITIONS)}
    for minute in range(minutes):
        # Numbered without holes, as a fleet that reports each second leaves its twins.
        for p, batch in homes.by_partition(minute * MINUTE_S, ROWS, seq=minute + 1):
            parts[p].apply(Frame(parts[p].applied_offset + 1, Batch.of(batch)))
    return {
        p: {key: value for key, value in part.snapshot().writes() if value is not None}
        for p, part in parts.items()
    }


READY = ("sort the blocks", "fill the columns", "join the registry", "first tick")
DUE = "close the windows that are due"


def restored(writes: dict[int, Writes], registry: Registry, minutes: int) -> dict[str, float]:
    """CPU seconds of each step for all partitions."""
    spent = dict.fromkeys((*READY, DUE), 0.0)
    kept = []
    nothing = Batch.of(Homes(1).batches(0, 1)[0].slice(0, 0))
    last_ms = T0_MS + (minutes - 1) * MINUTE_S * 1000
    for p, items in writes.items():
        part = FleetPartition(p, "telemetry", registry, Policy())
        clock = [time.process_time()]
        recovered = recover(items)
        assert recovered is not None
        clock.append(time.process_time())
        part.restore(recovered)
        clock.append(time.process_time())
        part.roster.ratings()
        clock.append(time.process_time())
        # A tick later than what it had seen, then a minute later.
        for time_ms in (last_ms + 2000, last_ms + 2 * MINUTE_S * 1000):
            part.apply(Frame(part.applied_offset + 1, nothing, stream_time_ms=time_ms))
            clock.append(time.process_time())
        for i, name in enumerate(spent):
            spent[name] += clock[i + 1] - clock[i]
        kept.append(part)  # as in a worker that has all of them
    return spent


def json_table_s(homes: Homes) -> float:
    """CPU seconds to fill a dict from a JSON document per device."""
    some = max(homes.n // 10, 1)
    documents = {
        site_id: json.dumps(reading).encode()
        for (site_id, _, reading), _ in zip(homes.one_by_one(0), range(some), strict=False)
    }
    return cpu_s(lambda: {k: json.loads(v) for k, v in documents.items()}, 1) * homes.n / some


def in_process(devices: int, minutes: int) -> Table:
    """Rebuild everything once."""
    progress(f"making the state of {devices:,} devices")
    homes = Homes(devices)
    writes = changelog(homes, minutes)
    progress("restoring it")
    registry = Registry(homes.sites())
    columns_s = cpu_s(lambda: registry.columns, 1)
    gc.collect()
    gc.freeze()  # as in the worker
    blocks = [v for items in writes.values() for k, v in items.items() if k != COMMIT]
    floor_s = cpu_s(lambda: deque(map(decode_block, blocks), 0), 1)
    spent = restored(writes, registry, minutes)
    table = Table(
        f"{devices:,} twins and {minutes} min of windows restored, in process",
        ("step", "x decode", "CPU s", "devices per CPU-s"),
    )
    due_s = spent.pop(DUE)
    rows = spent | {"ready": sum(spent.values()), DUE: due_s,
                    "the registry's columns, once": columns_s, "only decode blocks": floor_s,
                    "JSON document per twin": json_table_s(homes)}  # fmt: skip
    for name, seconds in rows.items():
        table.add(name, seconds / floor_s, seconds, round(devices / max(seconds, 1e-9)))
    size = sum(len(v) for items in writes.values() for v in items.values())
    table.notes.append(f"changelog: {size / 1e6:,.0f} MB, {size / devices:,.0f} bytes per device")
    return table


async def until_ready(worker: Child, sites: list[str], readings: int) -> float:
    """CPU seconds until the worker answers for all of these sites."""
    async with asyncio.timeout(READY_S), httpx.AsyncClient(timeout=30.0) as http:
        for site_id in sites:
            url = f"http://127.0.0.1:{worker.port}/sites/{site_id}/twin"
            while not await answers(http, url, readings):
                worker.usage()  # raises if it has ended
                await asyncio.sleep(0.1)
    return worker.usage().cpu_s


async def answers(http: httpx.AsyncClient, url: str, readings: int) -> bool:
    """Whether the twin is there with its readings (0 = the partition is enough)."""
    try:
        answer = await http.get(url)
    except httpx.TransportError:
        return False
    if answer.status_code != httpx.codes.OK:
        return False
    return bool(sum(d.get("readings", 0) for d in answer.json()["devices"]) == readings)


async def real_worker(devices: int, minutes: int) -> Table:
    """Start a worker without state, then with a state."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    homes = Homes(devices)
    sites = [homes.site_ids[homes.partition.tolist().index(p)] for p in range(PARTITIONS)]
    table = Table(
        f"vpp worker fleet with {devices:,} devices registered, from start to ready",
        ("changelog", "x empty", "CPU s", "seconds", "peak MB"),
    )
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(world(settings))
        await import_sites(producer, settings, homes.sites(), homes.partition.tolist())
        empty_s = 0.0
        for name, readings in (("empty", 0), (f"{minutes} min of windows", minutes)):
            if readings:
                for p, items in changelog(homes, minutes).items():
                    topic = topics.STATE_FLEET.full(settings.namespace)
                    for k, v in items.items():
                        await producer.send(topic, v, key=k, partition=p)
                await producer.flush()
            progress(f"the worker starts, changelog: {name}")
            began = time.perf_counter()
            with workers(settings, {"fleet": 1}) as (worker,):
                spent = await until_ready(worker, sites, readings)
                empty_s = empty_s or spent
                took = time.perf_counter() - began
                table.add(name, spent / empty_s, spent, took, round(worker.usage().peak_rss_mb))
    table.notes.append(
        "the empty start reads the registry, joins its group and receives assignments"
    )
    return table


def measured(args: argparse.Namespace) -> list[Table]:
    """Both tables."""
    tables = [in_process(args.devices, args.minutes)]
    if args.worker_devices:
        tables.append(asyncio.run(real_worker(args.worker_devices, args.minutes)))
    return tables


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--devices", type=int, default=1_000_000)
    options.add_argument("--minutes", type=int, default=2, help="minutes of windows that were kept")
    options.add_argument("--worker-devices", type=int, default=100_000)
    args = options.parse_args(argv)
    publish(args, measured(args), load_settings().kafka if args.worker_devices else None)


if __name__ == "__main__":
    main()
