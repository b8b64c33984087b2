"""Feeds a read model from the output topics, and gives access to Kafka beside it."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.ranges import raw_between
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.background import run_beside
from vpp_streams.process.connection import Connection, connected_role
from vpp_streams.process.health import HealthReporter
from vpp_streams.serving.audit_trail import publish_for_ever
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings

T = TypeVar("T")
_TEN_MIN_MS = 600_000
FROM_THE_START: tuple[Topic, ...] = (
    topics.ASSETS,
    topics.PREFERENCES,
    topics.PRESENCE,
    topics.DISPATCH_TARGETS,
    topics.GRID_ALERTS,
    topics.INCIDENTS,
    topics.PROGRAMS,
    topics.ENROLMENTS,
    topics.TARIFFS,
)
SINCE_MS: dict[Topic, int] = {
    topics.SITE_WINDOWS: HOUR_MS,
    topics.REGION_WINDOWS: HOUR_MS,
    topics.TELEMETRY_REJECTED: HOUR_MS,
    topics.RECORDS_REJECTED: DAY_MS,
    topics.REGION_LIVE: HOUR_MS // 2,
    topics.REGION_FORECASTS: HOUR_MS,
    topics.HEALTH: 0,
    topics.DISPATCH_EVENTS: HOUR_MS,
    topics.COMMANDS: _TEN_MIN_MS,
    topics.COMMAND_EVENTS: _TEN_MIN_MS,
    topics.TELEMETRY: 0,
    topics.MARKET_BIDS: DAY_MS,
    topics.MARKET_AWARDS: DAY_MS,
    topics.MARKET_DELIVERIES: DAY_MS,
    topics.MARKET_PLANS: DAY_MS,
}
"""How far back each topic is read at the start, ms."""
EVERYTHING: frozenset[Topic] = frozenset((*FROM_THE_START, *SINCE_MS))


class TopicAccess:
    """Writes orders and reads topics on demand (see `desk.Kafka`)."""

    def __init__(self, kafka: Connection) -> None:
        self._kafka = kafka

    async def write(self, topic: Topic[T], record: T) -> object:
        """Write a record; on return it is on all replicas. Raises `KafkaError`."""
        return await self._kafka.outlet.write(topic, record)

    async def read_since(
        self, topic: Topic, since_ms: int, partition: int
    ) -> AsyncIterator[tuple[int, bytes | None]]:
        """(time written in ms, value) of each record from ``since_ms`` to the present end."""
        clients = self._kafka.clients
        async for record in raw_between(clients, topic, since_ms, None, (partition,)):
            yield record.timestamp, record.value


@asynccontextmanager
async def fed(
    role: str,
    settings: Settings,
    model: ReadModel,
    accounts: Accounts,
    follow: Collection[Topic],
) -> AsyncIterator[tuple[TopicAccess, list[asyncio.Task[None]]]]:
    """Feed the read model with some of its topics during the body, and publish the audit trail.

    Yields the access to Kafka, and the tasks that feed: they end only with an error.
    """
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter(role)
    health.counters = model.counters
    health.gauges["regions"] = lambda: len(model.regions.names())
    async with AsyncExitStack() as stack:
        read_back, caught_up = health.probes.need("what regions are made of"), asyncio.Event()
        health.probes.needs["the recent past"] = caught_up.is_set
        kafka = await stack.enter_async_context(connected_role(clients, health))
        complete = [feed_of(model, topic, 0) for topic in FROM_THE_START if topic in follow]
        recent = [
            feed_of(model, topic, model.started_at_ms - back_ms)
            for topic, back_ms in SINCE_MS.items()
            if topic in follow
        ]
        tasks = [
            await stack.enter_async_context(kafka.follower.following(*complete)),
            run_beside(stack, kafka.follower.follow(*recent, caught_up=caught_up)),
        ]
        read_back()
        access = TopicAccess(kafka)
        tasks.append(run_beside(stack, publish_for_ever(accounts.audit, access)))
        yield access, tasks


def feed_of(model: ReadModel, topic: Topic, since_ms: int) -> Feed[Any]:
    """A feed of one topic into the read model, from a time on (ms; 0 = from its beginning)."""

    def apply(read: Read[Any]) -> None:
        # Records from before the start are as old as they are, not new.
        old = read.written_at_ms < model.started_at_ms
        model.apply(topic, read, read.written_at_ms if old else clock.now_ms())

    return Feed(topic, apply, lambda removed: model.remove(topic, removed), since_ms)
