"""``vpp replay``: a source's readings as canonical frames in a namespace of their own.

What is written is `vpp_streams.domain.frames_plan`'s; here is only when: at most as fast as the
data's clock times the speed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.assets import Site
from schemas.telemetry import SCHEMA_NAME
from vpp_streams import topics
from vpp_streams.codecs import (
    BACKFILL,
    HEADER_STREAM_TIME,
    HEADER_WATERMARK,
    LIVE,
    encode_frame,
    encode_json,
    frame_headers,
)
from vpp_streams.domain.frames_plan import PlannedFrame, Step, plan_frames
from vpp_streams.domain.partition import partition_of
from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import ensure_topics, new_producer, no_broker
from vpp_streams.recorded import Source
from vpp_streams.settings import Settings

MAX_ON_THE_WAY = 2000
"""Frames handed to the producer that Kafka has not confirmed yet."""


class Pacer:
    """Holds the data's clock to a multiple of the wall clock."""

    def __init__(
        self,
        speed: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``speed`` in seconds of data per second; None = as fast as it goes."""
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._began: tuple[float, int] | None = None

    async def reach(self, stream_time_ms: int) -> None:
        """Wait until the data's clock, at this speed, shows ``stream_time_ms``."""
        if self._speed is None:
            return
        if self._began is None:
            self._began = self._clock(), stream_time_ms
        began_s, began_ms = self._began
        wait_s = began_s + (stream_time_ms - began_ms) / 1000 / self._speed - self._clock()
        if wait_s > 0:
            await self._sleep(wait_s)


async def replay(
    settings: Settings,
    source: Source,
    pacer: Pacer,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> None:
    """Write a source's sites and readings to the settings' namespace.

    Raises `InputError` where the namespace has telemetry already: time runs once in a namespace.
    """
    await ensure_topics(settings)
    await _check_unused(settings)
    producer = new_producer(settings, linger_ms=20)
    try:
        await producer.start()
    except (KafkaConnectionError, OSError) as error:
        raise no_broker(settings, error) from None
    try:
        await _import_sites(producer, settings, source.sites)
        await _tell(producer, settings, source, pacer, on_step)
    except KafkaError as error:
        raise BrokerError(f"Kafka stopped taking frames ({error!r}); replay it again") from None
    finally:
        await producer.stop()


async def _tell(
    producer: AIOKafkaProducer,
    settings: Settings,
    source: Source,
    pacer: Pacer,
    on_step: Callable[[Step], None],
) -> None:
    topic = topics.TELEMETRY.full(settings.namespace)
    on_the_way: deque[Awaitable[object]] = deque()
    for step in plan_frames(source.streams(), topics.PARTITIONS, source.pace):
        await pacer.reach(step.stream_time_ms)
        for frame in step.frames:
            on_the_way.append(
                await producer.send(
                    topic,
                    encode_frame(frame.batch),
                    partition=frame.partition,
                    headers=list(replay_headers(frame).items()),
                )
            )
        while len(on_the_way) > MAX_ON_THE_WAY:
            await on_the_way.popleft()
        on_step(step)
    await asyncio.gather(*on_the_way)


def replay_headers(frame: PlannedFrame) -> dict[str, bytes]:
    """A frame's Kafka headers: like its content, the same at any speed."""
    lane = BACKFILL if frame.backfill else LIVE
    headers = frame_headers(SCHEMA_NAME, "replay", f"{frame.partition}-{frame.number}", lane)
    headers[HEADER_STREAM_TIME] = str(frame.stream_time_ms).encode()
    if frame.watermark_ms is not None:
        headers[HEADER_WATERMARK] = str(frame.watermark_ms).encode()
    return headers


async def _import_sites(
    producer: AIOKafkaProducer, settings: Settings, sites: Iterable[Site]
) -> None:
    sent = [
        await producer.send(
            topics.ASSETS.full(settings.namespace),
            encode_json(site),
            key=site.site_id.encode(),
            partition=partition_of(site.site_id, topics.ASSETS.partitions),
        )
        for site in sites
    ]
    await asyncio.gather(*sent)


async def _check_unused(settings: Settings) -> None:
    name = topics.TELEMETRY.full(settings.namespace)
    partitions = [TopicPartition(name, p) for p in range(topics.PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        if any((await consumer.end_offsets(partitions)).values()):
            raise InputError(
                f"{name} has readings already, and a replay must have its time to itself;"
                " choose another --namespace"
            )
    finally:
        await consumer.stop()
