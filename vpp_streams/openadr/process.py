"""The VEN as a process: its followers and its producer on Kafka, its counters, its end."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.windows import RegionLive, RegionWindow
from schemas.wire import UNREADABLE
from vpp_streams import topics
from vpp_streams.background import run_beside
from vpp_streams.codecs import decode_json, encode_json
from vpp_streams.domain.openadr.measured import KEPT_MS
from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.errors import BrokerError
from vpp_streams.health import HealthReporter
from vpp_streams.kafka import (
    check_topics,
    following,
    new_producer,
    no_broker,
    no_topic,
    read_to_end_then_follow,
)
from vpp_streams.openadr.ven import Record, VenSession, poll_for_ever
from vpp_streams.openadr.vtn import ClientCredentials, Vtn
from vpp_streams.settings import Settings
from vpp_streams.topics import Topic

log = structlog.get_logger()

LIVE_SINCE_MS = 600_000


@dataclass(frozen=True, slots=True)
class VenOptions:
    """What ``vpp openadr`` is told."""

    vtn: str
    ven: Ven
    programs: frozenset[str]
    client_id: str = ""
    client_secret: str = ""
    every_s: float = 30.0


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


async def run_ven(settings: Settings, options: VenOptions) -> None:
    """Be a VEN until SIGINT or SIGTERM. Raises `VppError` where it cannot begin."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request
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
            task.result()  # of those that never end by themselves: its error
    log.info(
        "openadr: stopped; what was asked stands until its end", standing=len(session.standing)
    )


async def open_session(
    stack: AsyncExitStack, settings: Settings, options: VenOptions
) -> tuple[VenSession, list[asyncio.Task[None]]]:
    """A session that knows what stands, and what feeds it until the stack unwinds."""
    beside: list[asyncio.Task[None]] = []
    missing = await check_topics(settings)
    for topic in (topics.DISPATCH_TARGETS, topics.GRID_ALERTS, topics.MARKET_PRICES):
        if topic.full(settings.namespace) in missing:
            raise no_topic(settings, topic)
    producer = await stack.enter_async_context(_producer(settings))
    http = await stack.enter_async_context(_http(options))

    async def send(topic: Topic, key: str, record: Record) -> None:
        name = topic.full(settings.namespace)
        try:
            await producer.send_and_wait(name, encode_json(record), key=key.encode(), partition=0)
        except KafkaError as error:
            raise BrokerError(f"Kafka did not take a record of {name} ({error})") from None

    vtn = Vtn(http, options.vtn)
    reporter = HealthReporter("openadr")
    session = VenSession(vtn, options.ven, options.programs, send, now_ms, reporter.counters)
    reporter.gauges["standing"] = lambda: len(session.standing)
    for topic, on_record in (
        (topics.DISPATCH_TARGETS, session.on_request),
        (topics.GRID_ALERTS, session.on_alert),
    ):
        beside.append(await stack.enter_async_context(following(settings, topic, on_record)))
    measured = session.measured
    for topic, since_ms, take in (
        (
            topics.REGION_WINDOWS,
            KEPT_MS,
            lambda v: measured.on_window(decode_json(v, RegionWindow)),
        ),
        (topics.REGION_LIVE, LIVE_SINCE_MS, lambda v: measured.on_live(decode_json(v, RegionLive))),
    ):
        work = read_to_end_then_follow(
            settings, topic, readable(topic, take), asyncio.Event(), now_ms() - since_ms
        )
        beside.append(run_beside(stack, work))
    run_beside(stack, reporter.publish_for_ever(settings, producer))
    return session, beside


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(settings)
    try:
        await producer.start()
    except (KafkaConnectionError, OSError) as error:
        await producer.stop()
        raise no_broker(settings, error) from None
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _http(options: VenOptions) -> AsyncIterator[httpx.AsyncClient]:
    auth = None
    if options.client_id:
        auth = ClientCredentials(options.vtn.rstrip("/"), options.client_id, options.client_secret)
    headers = {"User-Agent": "vpp-streams", "Accept": "application/json"}
    async with httpx.AsyncClient(auth=auth, headers=headers, timeout=10.0) as http:
        yield http


def readable(
    topic: Topic, take: Callable[[bytes], None]
) -> Callable[[bytes | None, bytes | None, int], None]:
    """``take`` for each record that it can read; the others are told of and left out."""

    def on_record(_key: bytes | None, value: bytes | None, offset: int) -> None:
        try:
            take(value or b"")
        except UNREADABLE as error:
            log.warning("left out", topic=topic.name, offset=offset, error=str(error))

    return on_record
