"""Publishes a source's readings as canonical frames in a namespace of their own (``vpp replay``).

`vpp_streams.domain.files.frames_plan` decides what is written; this module decides when: at most
``speed`` times as fast as the data's clock.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.bounds import PARTITIONS
from schemas.encoding import BACKFILL, HEADER_STREAM_TIME, HEADER_WATERMARK, LIVE, frame_headers
from schemas.telemetry import SCHEMA_NAME
from vpp_streams.domain.files.frames_plan import PlannedFrame, Step, plan_frames
from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, consuming, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.replay.sources import Source
from vpp_streams.settings import Settings

MAX_ON_THE_WAY = 2000
"""Most frames handed to the producer that Kafka has not confirmed yet."""


class Pacer:
    """Limits the data's clock to a multiple of the wall clock."""

    def __init__(
        self,
        speed: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``speed`` in seconds of data per second; None = as fast as possible."""
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

    Raises `InputError` where the namespace has telemetry already: its time cannot run twice.
    """
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    await _check_unused(clients)
    try:
        async with producing(clients, linger_ms=20) as producer:
            outlet = Outlet(producer, settings.namespace)
            await asyncio.gather(*[await outlet.send(topics.ASSETS, site) for site in source.sites])
            await _publish(outlet, source, pacer, on_step)
    except KafkaError as error:
        raise BrokerError(f"Kafka stopped accepting frames ({error!r}); replay it again") from None


async def _publish(
    outlet: Outlet, source: Source, pacer: Pacer, on_step: Callable[[Step], None]
) -> None:
    on_the_way: deque[Awaitable[object]] = deque()
    for step in plan_frames(source.streams(), PARTITIONS, source.pace):
        await pacer.reach(step.stream_time_ms)
        for frame in step.frames:
            headers = replay_headers(frame)
            sent = await outlet.send(
                topics.TELEMETRY, frame.batch, partition=frame.partition, headers=headers
            )
            on_the_way.append(sent)
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


async def _check_unused(clients: KafkaClients) -> None:
    name = clients.full(topics.TELEMETRY)
    partitions = [TopicPartition(name, p) for p in range(PARTITIONS)]
    async with consuming(clients) as consumer:
        if any((await consumer.end_offsets(partitions)).values()):
            raise InputError(
                f"{name} has readings already, and a replay needs a namespace without any;"
                " choose another --namespace"
            )
