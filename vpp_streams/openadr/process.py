"""The VEN as a process: its access to Kafka, its counters and its end."""

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from aiokafka.errors import KafkaError

from schemas.bounds import Id
from schemas.dispatch import Request
from schemas.grid import Alert
from schemas.windows import RegionLive, RegionWindow
from vpp_streams import clock
from vpp_streams.domain.openadr.measured import KEPT_MS
from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import check_topics
from vpp_streams.kafka.clients import KafkaClients, no_topic
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.openadr.ven import Record, VenSession, poll_for_ever
from vpp_streams.openadr.vtn import ClientCredentials, Vtn
from vpp_streams.process.background import run_beside
from vpp_streams.process.connection import connected_role
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()

LIVE_SINCE_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VenOptions:
    """The options of ``vpp openadr``."""

    vtn: str
    ven: Ven
    programs: frozenset[str]
    client_id: str = ""
    client_secret: str = ""
    every_s: float = 30.0


def checked_options(
    *,
    vtn: str,
    ven: Ven,
    programs: frozenset[str],
    client_id: str,
    client_secret: str,
    every_s: float,
) -> VenOptions:
    """The options as a user gives them. Raises `InputError` where they cannot be."""
    parts = urlsplit(vtn)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise InputError(f"--vtn {vtn}: give a base URL, for example https://vtn.example/openadr3")
    try:
        msgspec.convert(ven.region, Id)
    except msgspec.ValidationError:
        raise InputError(f"--region {ven.region!r} is not a valid region name") from None
    if bool(client_id) != bool(client_secret):
        raise InputError("give VPP_OPENADR_CLIENT_ID and VPP_OPENADR_CLIENT_SECRET both, or none")
    if len(ven.name) > 100:
        raise InputError("--name has more than 100 characters")
    return VenOptions(
        vtn=vtn,
        ven=ven,
        programs=programs,
        client_id=client_id,
        client_secret=client_secret,
        every_s=every_s,
    )


async def run_ven(settings: Settings, options: VenOptions) -> None:
    """Run a VEN until SIGINT or SIGTERM. Raises `VppError` if it cannot start."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        session, beside = await open_session(stack, settings, options)
        log.info("openadr: polling", vtn=options.vtn, ven=options.ven.name, s=options.every_s)
        beside.append(
            run_beside(stack, poll_for_ever(session, stop, options.every_s, random.random))
        )
        ending = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({ending, *beside}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        for task in done - {ending}:
            task.result()  # these tasks end only with an error
    log.info(
        "openadr: stopped; requests that were made apply until their end",
        standing=len(session.standing),
    )


async def open_session(
    stack: AsyncExitStack, settings: Settings, options: VenOptions
) -> tuple[VenSession, list[asyncio.Task[None]]]:
    """A session that has read its own requests, and the tasks that feed it."""
    clients = KafkaClients(settings)
    missing = await check_topics(clients)
    for topic in (topics.DISPATCH_TARGETS, topics.GRID_ALERTS, topics.MARKET_PRICES):
        if clients.full(topic) in missing:
            raise no_topic(settings, topic)
    reporter = HealthReporter("openadr")
    kafka = await stack.enter_async_context(connected_role(clients, reporter))
    http = await stack.enter_async_context(_http(options))

    async def send(topic: Topic, record: Record) -> None:
        try:
            await kafka.outlet.write(topic, record)
        except KafkaError as error:
            name = clients.full(topic)
            raise BrokerError(f"Kafka did not take a record of {name} ({error})") from None

    vtn = Vtn(http, options.vtn)
    session = VenSession(vtn, options.ven, options.programs, send, clock.now_ms, reporter.counters)
    reporter.gauges["standing"] = lambda: len(session.standing)
    standing = await stack.enter_async_context(kafka.follower.following(*_standing(session)))
    measured = run_beside(stack, kafka.follower.follow(*_measured(session)))
    return session, [standing, measured]


def _standing(session: VenSession) -> tuple[Feed[Request], Feed[Alert]]:
    """The feeds that a session reads before it polls: its earlier requests and alerts."""
    standing = session.standing
    return (
        Feed(
            topics.DISPATCH_TARGETS,
            lambda read: standing.on_request(read.record.request_id, read.record),
            lambda removed: standing.on_request(removed.key, None),
        ),
        Feed(
            topics.GRID_ALERTS,
            lambda read: standing.on_alert(read.record.alert_id, read.record),
            lambda removed: standing.on_alert(removed.key, None),
        ),
    )


def _measured(session: VenSession) -> tuple[Feed[RegionWindow], Feed[RegionLive]]:
    """The feeds from which reports are made."""
    measured = session.measured
    return (
        Feed(
            topics.REGION_WINDOWS,
            lambda read: measured.on_window(read.record),
            since_ms=clock.now_ms() - KEPT_MS,
        ),
        Feed(
            topics.REGION_LIVE,
            lambda read: measured.on_live(read.record),
            since_ms=clock.now_ms() - LIVE_SINCE_MS,
        ),
    )


@asynccontextmanager
async def _http(options: VenOptions) -> AsyncIterator[httpx.AsyncClient]:
    auth = None
    if options.client_id:
        auth = ClientCredentials(options.vtn.rstrip("/"), options.client_id, options.client_secret)
    headers = {"User-Agent": "vpp-streams", "Accept": "application/json"}
    async with httpx.AsyncClient(auth=auth, headers=headers, timeout=10.0) as http:
        yield http
