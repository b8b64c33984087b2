"""What a process that lives with Kafka has of it: a way out, a way in, and its reports."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from vpp_streams.background import run_beside
from vpp_streams.health import HealthReporter
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.follower import Follower
from vpp_streams.kafka.outlet import Outlet


@dataclass(frozen=True, slots=True)
class Connection:
    """One process's ways to and from Kafka."""

    clients: KafkaClients
    outlet: Outlet
    follower: Follower
    letters: DeadLetters


@asynccontextmanager
async def connected(
    clients: KafkaClients, health: HealthReporter, linger_ms: int = 5
) -> AsyncIterator[Connection]:
    """A connection during the body; health and dead letters are published beside it.

    Raises `BrokerError` where Kafka does not answer.
    """
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(producing(clients, linger_ms))
        outlet = Outlet(producer, clients.settings.namespace)
        letters = DeadLetters(health.process_id, health.counters)
        follower = Follower(clients, letters, health.counters)
        run_beside(stack, letters.run(clients, outlet))
        run_beside(stack, health.publish_for_ever(clients.settings, producer))
        yield Connection(clients, outlet, follower, letters)


def onlooker(clients: KafkaClients) -> Follower:
    """A follower for a command that only looks: what it refuses is logged and not written."""
    health = HealthReporter("onlooker")
    return Follower(clients, DeadLetters(health.process_id, health.counters), health.counters)
