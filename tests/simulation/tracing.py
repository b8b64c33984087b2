"""Every role from device to setpoint, on a Kafka without faults, until something was seen."""

from collections.abc import Callable
from functools import partial

from agents.region import RegionWorker
from schemas.dispatch import Target
from tests.simulation.counting import channel, context_of, fleet, ingest, role
from tests.simulation.group import SimMembership
from tests.simulation.ingestion import gateway
from tests.simulation.plant import Plant
from tests.simulation.world import World
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet

HOMES = 3


async def whole_loop(world: World, seen: Callable[[], bool]) -> None:
    """Run the loop, request power once it can be delivered, and end once ``seen`` is true."""
    plant = Plant(world, HOMES)
    world.serve("gateway-0", partial(gateway, world, 0))
    for name, main in (("ingest", ingest), ("fleet", fleet), ("region", region)):
        world.serve(name, partial(main, world))
    await world.sleep(3.0)
    plant.start()
    await world.sleep(10.0)
    async with producing(KafkaClients(world.settings)) as producer:
        now_ms = clock.now_ms()
        target = Target(
            request_id="r1",
            region="north",
            export_w=3000.0,
            starts_at_ms=now_ms,
            ends_at_ms=now_ms + 600_000,
            priority="operator",
            source="test",
            issued_at_ms=now_ms,
        )
        await Outlet(producer, world.settings.namespace).write(topics.DISPATCH_TARGETS, target)
    await world.until(seen, 60.0, "what was to be seen")


async def region(world: World) -> None:
    """As ``vpp worker region``, without Faust."""
    context = context_of(world, "region")
    membership = SimMembership(world.kafka, context.group("region"), 1)
    worker = RegionWorker(context, membership)
    async with channel(worker.apply) as deliver:
        await role(world, context, membership, worker.run(deliver))
