"""The command agent's cycle while the world goes on between its sends."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from agents.command import CYCLE_S, LONGEST_REST_S, ORDERED_MS, REST_MS, SHARE, CommandAgent
from agents.pace import Pace
from schemas.commands import CommandEvents
from schemas.dispatch import SupplyPartial
from schemas.encoding import decode_json, encode_json
from tests.support.pool_world import OnePartition, home
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings


class Busy:
    """A producer during whose sends a new home is registered, and heard of."""

    def __init__(self, world: OnePartition) -> None:
        self.world = world
        self.sent: list[tuple[str, bytes]] = []

    @property
    def outlet(self) -> Any:
        async def send(topic: Topic[Any], record: Any) -> None:
            self.sent.append((topic.name, encode_json(record)))
            site = home(len(self.world.sites))
            self.world.sites.append(site)
            for of_site, value_ in (("soc", 0.8), ("power_w", 0.0), ("load_w", 500.0)):
                getattr(self.world, of_site)[site.site_id] = value_
            self.world.fleet.roster._registry.apply(site)  # noqa: SLF001  # the state of one partition
            self.world.measure(100)

        return SimpleNamespace(send=send)


def agent_of(world: OnePartition, kafka: Any) -> CommandAgent:
    """The agent of one partition, whole already, over a producer that is a stand-in."""
    context = SimpleNamespace(
        settings=Settings(),
        clients=KafkaClients(Settings()),
        outlet=kafka.outlet,
        now_ms=lambda: world.now_ms,
        health=SimpleNamespace(counters=Counter(), process_id="fleet-test"),
    )
    agent = CommandAgent(context)  # type: ignore[arg-type]  # stand-ins
    agent.hold({0: world.fleet})
    control = agent._controls[0]  # noqa: SLF001  # the state of one partition
    control.rows, control.pool, control.orders = world.rows, world.pool, world.orders
    control.ready = True
    agent._alerts_known.set()  # noqa: SLF001  # the state of one partition
    return agent


async def test_devices_that_come_while_it_sends_are_in_the_next_cycle() -> None:
    world = OnePartition([home(i) for i in range(3)])
    world.connect()
    world.measure()
    world.order(3000.0)  # nobody answers
    world.measure(60_000)
    kafka = Busy(world)
    agent = agent_of(world, kafka)

    await agent.cycle()
    kinds = [name for name, _ in kafka.sent]
    assert kinds == ["command.events", "region.partials"]
    assert len(decode_json(kafka.sent[0][1], CommandEvents).events) == 3
    (first,) = (v for name, v in kafka.sent if name == "region.partials")
    world.now_ms += REST_MS  # nothing is ordered any more
    await agent.cycle()
    last = kafka.sent[-1][1]
    batteries = [sum(decode_json(v, SupplyPartial).states.values()) for v in (first, last)]
    assert batteries == [3, 5]


class Away:
    """A producer whose sends wait for a broker that is away for 172 s."""

    def __init__(self) -> None:
        self.wall_s = self.own_s = 0.0

    @property
    def outlet(self) -> Any:
        async def send(_topic: Topic[Any], _record: Any) -> None:
            self.wall_s += 172.0
            self.own_s += 20.0  # of other tasks on the same thread

        return SimpleNamespace(send=send)


async def test_cycles_go_on_at_once_when_kafka_is_back() -> None:
    """K4: dispatch slept 2.33 times as long as Kafka had been away."""
    world = OnePartition([home(0)])
    world.connect()
    world.measure()
    kafka = Away()
    agent = agent_of(world, kafka)
    pace = Pace(SHARE, LONGEST_REST_S, CYCLE_S, lambda: kafka.wall_s, lambda: kafka.own_s)
    agent._pace = pace  # noqa: SLF001  # the state of one partition
    await agent.cycle()
    assert kafka.wall_s >= 172.0
    assert pace.rest_s() == 0.0


async def test_a_partition_at_rest_has_a_cycle_a_second_and_one_with_orders_has_two() -> None:
    world = OnePartition([home(i) for i in range(3)])
    world.connect()
    world.measure()
    kafka = Counting(world)
    agent = agent_of(world, kafka)

    async def cycles(seconds: int) -> int:
        before = kafka.supplies
        for _ in range(2 * seconds):
            await agent.cycle()
            world.now_ms += 500
        return kafka.supplies - before

    assert await cycles(4) == 4
    world.order(3000.0)
    assert await cycles(4) == 8
    world.now_ms += ORDERED_MS
    assert await cycles(4) == 4


class Counting:
    """A producer that counts supplies."""

    def __init__(self, world: OnePartition) -> None:
        self.supplies = 0

    @property
    def outlet(self) -> Any:
        async def send(topic: Topic[Any], record: Any) -> None:
            self.supplies += isinstance(record, SupplyPartial)

        return SimpleNamespace(send=send)
