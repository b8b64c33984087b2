"""A process's connection to Kafka: a way out, a way in, and its reports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaProducer

from vpp_streams.kafka.clients import FINISH_S, KafkaClients, producing
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.follower import Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.background import run_beside
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.status_server import serving_status
from vpp_streams.process.traces import tracing_role

log = structlog.get_logger()

LETTERS_WAIT_S = 2.0
"""How long a process that ends waits for its dead letters to be written."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One process's ways to and from Kafka."""

    clients: KafkaClients
    producer: AIOKafkaProducer
    outlet: Outlet
    follower: Follower
    letters: DeadLetters


@asynccontextmanager
async def connected(
    clients: KafkaClients,
    health: HealthReporter,
    linger_ms: int = 5,
    finish_s: float = FINISH_S,
) -> AsyncIterator[Connection]:
    """A connection during the body; health and dead letters are published beside it.

    Raises `BrokerError` where Kafka does not answer.
    """
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(producing(clients, linger_ms, finish_s))
        outlet = Outlet(producer, clients.settings.namespace)
        letters = DeadLetters(health.process_id, health.counters)
        follower = Follower(clients, letters, health.counters)
        report_follower(health, follower)
        for work in (letters.run(clients), health.publish_for_ever(clients.settings, producer)):
            run_beside(stack, work).add_done_callback(_log_error)
        try:
            yield Connection(clients, producer, outlet, follower, letters)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LETTERS_WAIT_S):
                    await letters.settled()


@asynccontextmanager
async def connected_role(
    clients: KafkaClients,
    health: HealthReporter,
    linger_ms: int = 5,
    finish_s: float = FINISH_S,
) -> AsyncIterator[Connection]:
    """As `connected`, for a process that runs a role: its status port is served from the start.

    Raises `InputError` where that port cannot be used.
    """
    is_connected = health.probes.need("Kafka")
    settings = clients.settings
    with serving_status(settings, health), tracing_role(settings, health.role):
        async with connected(clients, health, linger_ms, finish_s) as connection:
            is_connected()
            yield connection


def report_follower(health: HealthReporter, follower: Follower) -> None:
    """Report whether a follower turns, and how far it is behind."""
    health.probes.ages_s["the reading of topics"] = follower.age_s
    health.figures.append(
        lambda: [
            ("vpp_consumer_lag_records", (topic, str(partition)), lag)
            for (topic, partition), lag in follower.lags.items()
        ]
    )


def _log_error(ended: asyncio.Task[None]) -> None:
    """Log why a task that never ends by itself has ended."""
    if not ended.cancelled() and (error := ended.exception()) is not None:
        log.error("the reports of this process stopped", exc_info=error)


def onlooker(clients: KafkaClients) -> Follower:
    """A follower for a command that only reads: refused records are logged, not written."""
    health = HealthReporter("onlooker")
    return Follower(clients, DeadLetters(health.process_id, health.counters), health.counters)
