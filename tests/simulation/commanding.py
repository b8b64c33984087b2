"""The third scenario: as `counting`, and the devices are commanded all the while. Once all is
well, everything that is connected follows the newest request, no command outlives it, and each
has an end."""

import asyncio
from functools import partial

import msgspec

from schemas.commands import FINAL, CommandEvents, CommandFrame, command_id
from schemas.dispatch import Dispatch, Share
from tests.simulation import PARTITIONS
from tests.simulation.counting import fleet, ingest
from tests.simulation.faults import Faults
from tests.simulation.ingestion import gateway
from tests.simulation.invariants import committed
from tests.simulation.plant import Plant
from tests.simulation.world import World
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet

HOMES = 3
WORKERS = 2
TROUBLE_S = 40.0
MOST_FAULTS = 5
EVERY_S = 0.5
COMMANDABLE_S = 150.0
"""A device that failed or did not answer is left alone for a while (`LeasePolicy.trouble_ms`), a
lease is as long, and devices forget a gateway's wrong clock slowly: after this, all follow."""
NEAR_W = 60.0
ENDED_S = 90.0
"""The fleet role reports an end that nobody else did, and again where Kafka did not take it."""


class Region:
    """What a region's dispatcher asks of the fleet's partitions, twice a second."""

    def __init__(self, world: World, plant: Plant) -> None:
        self._world, self._plant = world, plant
        self.request = 0
        self.each_w = 0.0
        """Asked of every home."""
        self.ends_at_ms: dict[str, int] = {}
        self.ask(1000.0, 3600.0)

    def ask(self, each_w: float, seconds: float) -> None:
        """A new request: this of every home, for so long."""
        self.request += 1
        self.each_w = each_w
        self.ends_at_ms[f"r{self.request}"] = self._world.utc_ms() + round(seconds * 1000)
        self._world.note(f"request r{self.request}: {each_w:.0f} W of each, for {seconds:.0f} s")

    async def run(self) -> None:
        """As the region role."""
        clients = KafkaClients(self._world.settings)
        async with producing(clients) as producer:
            outlet = Outlet(producer, self._world.settings.namespace)
            while True:
                for partition in range(PARTITIONS):
                    await outlet.send(topics.DISPATCH, self._order(partition))
                await asyncio.sleep(EVERY_S)

    def _order(self, partition: int) -> Dispatch:
        request_id = f"r{self.request}"
        now_ms, ends_at_ms = clock.now_ms(), self.ends_at_ms[request_id]
        share_w = self.each_w * len(self._plant.sites_of(partition))
        return Dispatch(
            region="north",
            partition=partition,
            request_id=request_id,
            issued_at_ms=now_ms,
            asked_at_ms=now_ms,
            until_ms=ends_at_ms,
            shares=(Share("", share_w),) if now_ms < ends_at_ms else None,
        )


async def run(world: World) -> int:
    """Play the seed; returns how many faults there were. Raises `BrokenError`."""
    plant = Plant(world, HOMES)
    region = Region(world, plant)
    world.serve("gateway-0", partial(gateway, world, 0))
    for number in range(WORKERS):
        world.serve(f"ingest-{number}", partial(ingest, world))
        world.serve(f"fleet-{number}", partial(fleet, world))
    world.serve("region", region.run)
    await world.sleep(3.0)
    plant.start()
    faults = Faults(world, plant)
    faults.plan(TROUBLE_S, MOST_FAULTS)
    for _ in range(3):
        await world.sleep(TROUBLE_S / 3)
        region.ask(world.rng.uniform(-2000, 2000), world.rng.uniform(5, 60))
    faults.mend()
    await world.until(
        lambda: all(home.client.live for home in plant.homes.values()),
        60.0,
        "every device is connected",
    )
    region.ask(1500.0 + 100 * world.rng.random(), 3600.0)
    await world.until(
        lambda: follows(plant, region.each_w),
        COMMANDABLE_S,
        "everything that is connected follows the newest request",
    )
    region.ask(-1500.0, 12.0)
    await world.sleep(6.0)
    await world.until(
        lambda: not any(plant.leases.held["stands"]), 12.0, "no lease outlives its request"
    )
    check_ends(world, region)
    await world.until(
        lambda: not without_end(world),
        ENDED_S,
        lambda: f"every command has an end (none has: {without_end(world)[:3]})",
    )
    if world.broken is not None:
        raise world.broken
    return faults.injected


def follows(plant: Plant, asked_w: float) -> bool:
    """Whether every battery holds a lease, and a partition's together do what is asked."""
    held, does_w = plant.leases.held, plant.physics.flows.battery_w
    if not held["stands"].all():
        return False
    for partition in range(PARTITIONS):
        rows = [plant.row_of(site) for site in plant.sites_of(partition)]
        asked_of_all_w = asked_w * len(rows)
        for sum_w in (held["setpoint_w"][rows].sum(), does_w[rows].sum()):
            if abs(sum_w - asked_of_all_w) > NEAR_W:
                return False
    return True


def check_ends(world: World, region: Region) -> None:
    """No command is made for longer than its request."""
    for partition in range(PARTITIONS):
        for record in committed(world, topics.COMMANDS, partition):
            frame = msgspec.json.decode(record.value or b"", type=CommandFrame)
            ends_at_ms = region.ends_at_ms.get(frame.request_id)
            held = any(row.setpoint_w is not None for row in frame.rows)
            if ends_at_ms is not None and held and frame.valid_until_ms > ends_at_ms:
                world.fail(
                    f"a command of {frame.request_id} is valid"
                    f" {frame.valid_until_ms - ends_at_ms} ms after its end"
                )


def without_end(world: World) -> list[tuple[str, str]]:
    """(device, command) of every command whose end is not in the log; the first there is its end.

    Whether a device answers, a gateway dies or a worker is paused: none is left open.
    """
    asked: set[tuple[str, str]] = set()
    ended: set[tuple[str, str]] = set()
    for partition in range(PARTITIONS):
        for record in committed(world, topics.COMMANDS, partition):
            frame = msgspec.json.decode(record.value or b"", type=CommandFrame)
            id_ = command_id(partition, frame.rank)
            asked |= {(row.device_id, id_) for row in frame.rows}
        for record in committed(world, topics.COMMAND_EVENTS, partition):
            told = msgspec.json.decode(record.value or b"", type=CommandEvents)
            ended |= {(e.device_id, e.command_id) for e in told.events if e.state in FINAL}
    return sorted(asked - ended)
