"""The large scenario: devices, gateways, ingest and fleet workers. Whatever stops, wakes or lies,
every acked reading counts once, and the log gives the same again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from agents.context import AgentContext
from agents.fleet import FleetWorker
from agents.flow import FlowWorker
from agents.ingest import IngestWorker
from schemas.encoding import BACKFILL, LIVE
from tables.log_reader import Deliver, Records
from tests.simulation import PARTITIONS
from tests.simulation.faults import Faults
from tests.simulation.group import SimMembership
from tests.simulation.ingestion import check_contents, gateway
from tests.simulation.invariants import (
    check_one_writer,
    check_replay,
    check_stream_time,
    check_windows,
    uncounted,
)
from tests.simulation.plant import Plant
from tests.simulation.world import World
from vpp_streams import clock
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.follower import Feed
from vpp_streams.process.health import HealthReporter

HOMES = 3
WORKERS = 2
TROUBLE_S = 25.0
MOST_FAULTS = 6
MAX_WAITING = 4
"""Deliveries that wait for an agent, as `agents.faust_seam.LogChannel` has it."""


async def run(world: World) -> int:
    """Play the seed; returns how many faults there were. Raises `BrokenError`."""
    return await play(world, {"ingest": ingest, "fleet": fleet})


async def run_flow(world: World) -> int:
    """The same with workers that do both halves."""
    return await play(world, {"flow": flow})


async def play(
    world: World, roles: Mapping[str, Callable[[World], Coroutine[Any, Any, None]]]
) -> int:
    """Play the seed with some workers of each role."""
    plant = Plant(world, HOMES)
    world.serve("gateway-0", partial(gateway, world, 0))
    for number in range(WORKERS):
        for name, main in roles.items():
            world.serve(f"{name}-{number}", partial(main, world))
    await world.sleep(3.0)
    plant.start(obeying=False)
    faults = Faults(world, plant)
    faults.plan(TROUBLE_S, MOST_FAULTS)
    await world.sleep(TROUBLE_S)
    faults.mend()
    await world.sleep(2.0)
    plant.measuring = False
    await world.until(
        lambda: all(home.quiet for home in plant.homes.values()),
        120.0,
        "every device is connected and everything that it kept is acked",
    )
    check_contents(world, plant)
    await world.until(
        lambda: not uncounted(world),
        120.0,
        lambda: f"everything that is stored is in a fleet's snapshot ({uncounted(world)})",
    )
    await world.sleep(22.0)
    check_one_writer(world)
    check_stream_time(world)
    check_replay(world)
    check_windows(world, plant)
    if world.broken is not None:
        raise world.broken
    return faults.injected


def context_of(world: World, role: str) -> AgentContext:
    health = HealthReporter(role)
    return AgentContext(
        settings=world.settings,
        clients=KafkaClients(world.settings),
        registry=Registry(),
        health=health,
        letters=DeadLetters(health.process_id, health.counters),
        now_ms=clock.now_ms,
    )


@asynccontextmanager
async def channel(apply: Callable[[Records], Awaitable[None]]) -> AsyncIterator[Deliver]:
    """What Faust's channel and agent are between reader and worker."""
    queue: asyncio.Queue[Records] = asyncio.Queue(MAX_WAITING)

    async def work() -> None:
        while True:
            await apply(await queue.get())

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        yield queue.put


async def role(
    world: World, context: AgentContext, membership: SimMembership, work: Coroutine[Any, Any, None]
) -> None:
    feed = Feed(topics.ASSETS, lambda read: context.registry.apply(read.record))
    async with asyncio.TaskGroup() as group:
        group.create_task(membership.run())
        group.create_task(context.follower.follow(feed, caught_up=context.registry_ready))
        group.create_task(work)


async def ingest(world: World) -> None:
    """As ``vpp worker ingest``, without Faust."""
    context = context_of(world, "ingest")
    membership = SimMembership(world.kafka, context.group("ingest"), PARTITIONS)
    worker = IngestWorker(context, membership)
    async with lanes(worker) as (live, backfill):
        await role(world, context, membership, worker.run(live, backfill))


@asynccontextmanager
async def lanes(worker: IngestWorker) -> AsyncIterator[tuple[Deliver, Deliver]]:
    """The channels of ingest's two lanes."""

    async def apply_backfill(records: Records) -> None:
        await worker.wait_for_live()
        await worker.apply(records, BACKFILL)

    async with (
        channel(lambda records: worker.apply(records, LIVE)) as live,
        channel(apply_backfill) as backfill,
    ):
        yield live, backfill


async def flow(world: World) -> None:
    """As ``vpp worker flow``, without Faust and its pages."""
    context = context_of(world, "flow")
    membership = SimMembership(world.kafka, context.group("ingest"), PARTITIONS)
    worker = FlowWorker(context, membership)
    async with (
        lanes(worker.ingest) as (live, backfill),
        channel(worker.fleet.apply) as canonical,
    ):
        await role(world, context, membership, worker.run(live, backfill, canonical))


async def fleet(world: World) -> None:
    """As ``vpp worker fleet``, without Faust and its pages."""
    context = context_of(world, "fleet")
    membership = SimMembership(world.kafka, context.group("fleet"), PARTITIONS)
    worker = FleetWorker(context, membership)
    async with channel(worker.apply) as deliver:
        await role(world, context, membership, worker.run(deliver))
