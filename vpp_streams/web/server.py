"""The web process: follows the output topics into the read model and serves it."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import Any, TypeVar

import structlog
import uvicorn

from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.ranges import raw_between
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.background import run_beside
from vpp_streams.process.connection import Connection, connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.ports import bound
from vpp_streams.settings import Settings, words_of
from vpp_streams.web.api import create_web
from vpp_streams.web.audit_trail import publish_for_ever
from vpp_streams.web.connections import DoorConfig, open_files
from vpp_streams.web.logins import Logins
from vpp_streams.web.oidc import Oidc
from vpp_streams.web.places import BACKLOG, Places, limits_for
from vpp_streams.web.readmodel import ReadModel

log = structlog.get_logger()
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


class _Server(uvicorn.Server):
    """uvicorn that ends on a signal without raising it again, so that its caller ends cleanly."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End soon; live streams end by themselves."""
        self.should_exit = True


def _server(
    settings: Settings, read_model: ReadModel, kafka: "WebKafka", accounts: Accounts
) -> _Server:
    proxies, counters = words_of(settings.web_proxies), read_model.counters
    logins = Logins(settings.operators, accounts, proxies, counters)
    places = Places(limits_for(open_files(), settings.web_per_client), proxies, counters)

    def stopping() -> bool:
        return server.should_exit

    app = create_web(
        settings,
        read_model,
        clock.now_ms,
        kafka,
        logins=logins,
        stopping=stopping,
        oidc=_provider(settings, accounts),
    )
    door = DoorConfig(app, places, logins.is_operator, proxies=proxies, timeout_graceful_shutdown=3)
    server = _Server(door)
    return server


def _provider(settings: Settings, accounts: Accounts) -> Oidc | None:
    """The organisation's provider, if one is set up. Raises `SettingsError`."""
    if settings.oidc_issuer is None and settings.oidc_client_id is None:
        return None
    from vpp_streams.web.oidc_client import OidcClient  # noqa: PLC0415  # most systems have none

    return Oidc(settings, accounts, clock.now_ms, OidcClient(settings))


async def serve_web(settings: Settings) -> None:
    """Serve on ``settings.web_port`` until SIGINT or SIGTERM.

    Raises `BrokerError` if Kafka does not answer, `InputError` if the port cannot be used.
    """
    # It would log every twin that a page requests, every two seconds.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    listener = bound(settings.host, settings.web_port)
    read_model = ReadModel(started_at_ms=clock.now_ms())
    accounts = Accounts(accounts_file(settings), counters=read_model.counters)
    with listener, closing(accounts):
        async with _fed(settings, read_model, accounts) as (kafka, feeding):
            server = _server(settings, read_model, kafka, accounts)
            listener.listen(BACKLOG)  # a reader of the next line may connect at once
            log.info("serving", url=f"http://{settings.host}:{listener.getsockname()[1]}")
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.wait({serving, *feeding}, return_when=asyncio.FIRST_COMPLETED)
            server.stop()
            await serving
            for task in feeding:
                if task.done():
                    await task  # it ends only with an error


class WebKafka:
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
async def _fed(
    settings: Settings, model: ReadModel, accounts: Accounts
) -> AsyncIterator[tuple[WebKafka, list[asyncio.Task[None]]]]:
    """Feed the read model during the body; yields the access to Kafka, and the tasks that feed."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("web")
    health.counters = model.counters
    health.gauges["regions"] = lambda: len(model.regions.names())
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(connected(clients, health))
        complete = [_feed(model, topic, 0) for topic in FROM_THE_START]
        recent = [
            _feed(model, topic, model.started_at_ms - back_ms)
            for topic, back_ms in SINCE_MS.items()
        ]
        tasks = [
            await stack.enter_async_context(kafka.follower.following(*complete)),
            run_beside(stack, kafka.follower.follow(*recent)),
        ]
        access = WebKafka(kafka)
        tasks.append(run_beside(stack, publish_for_ever(accounts.audit, access)))
        yield access, tasks


def _feed(model: ReadModel, topic: Topic, since_ms: int) -> Feed[Any]:
    def apply(read: Read[Any]) -> None:
        # Records from before the start are as old as they are, not new.
        old = read.written_at_ms < model.started_at_ms
        model.apply(topic, read, read.written_at_ms if old else clock.now_ms())

    return Feed(topic, apply, lambda removed: model.remove(topic, removed), since_ms)
