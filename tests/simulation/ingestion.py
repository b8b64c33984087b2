"""The small scenario: devices, two gateways, Kafka. What is acked is in the log, once all is well
everything that was kept arrives, and nothing arrives changed."""

import asyncio
from functools import partial

import msgspec

from schemas.telemetry import NativeBody
from tests.simulation.faults import Faults
from tests.simulation.plant import Plant
from tests.simulation.world import World
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.server import running_gateway

HOMES = 3
GATEWAYS = 2
TROUBLE_S = 25.0
MOST_FAULTS = 5
LIMITS = Limits(ack_ms=1000, idle_s=12, strikes_burst=200, strikes_per_min=600)


async def run(world: World) -> int:
    """Play the seed; returns how many faults there were. Raises `BrokenError`."""
    plant = Plant(world, HOMES)
    for slot in range(GATEWAYS):
        world.serve(f"gateway-{slot}", partial(gateway, world, slot))
    await world.sleep(1.0)
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
    return faults.injected


async def gateway(world: World, slot: int) -> None:
    """As ``vpp gateway``."""
    async with running_gateway(world.settings, slot, LIMITS) as running:
        await asyncio.wait(running.background, return_when=asyncio.FIRST_COMPLETED)
        for task in running.background:
            if task.done():
                task.result()


def check_contents(world: World, plant: Plant) -> None:
    """What is stored is what was measured, and all that was acked is stored."""
    for name, line in plant.stored.items():
        body = msgspec.json.decode(line.body, type=NativeBody)
        if plant.measured.get(name) != body:
            world.fail(f"reading {name} was {plant.measured.get(name)}, and is stored as {body}")
    for home in plant.homes.values():
        ring = home.client.device.ring
        for seq in range(ring.next_seq):
            if (home.device_id, home.boot, seq) not in plant.stored:
                world.fail(f"reading {seq} of {home.device_id} is not in Kafka, nor kept")
    world.note(
        f"{len(plant.measured)} measured, {len(plant.acked)} acked, {len(plant.stored)} stored"
    )
    if world.broken is not None:
        raise world.broken
