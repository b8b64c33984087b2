"""What became of commands, gathered for a moment and written to ``command.events``."""

import asyncio
from functools import partial

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.commands import CommandEvent, CommandEvents
from vpp_streams import topics
from vpp_streams.codecs import encode_json
from vpp_streams.health import HealthReporter

log = structlog.get_logger()

FLUSH_S = 0.02
MOST = 100_000
"""Events kept while Kafka is away; beyond that the newest are dropped, and counted."""


class EventOutbox:
    """Events on their way to Kafka; nothing waits for it."""

    def __init__(self, producer: AIOKafkaProducer, namespace: str, health: HealthReporter) -> None:
        self._producer = producer
        self._topic = topics.COMMAND_EVENTS.full(namespace)
        self._health = health
        self._waiting: dict[int, list[CommandEvent]] = {}
        self._count = 0
        self._wake = asyncio.Event()

    def add(self, partition: int, event: CommandEvent) -> None:
        """Take an event of a device whose site is in this partition."""
        if self._count >= MOST:
            self._health.counters["command_events_dropped"] += 1
            return
        self._count += 1
        events = self._waiting.get(partition)
        if events is None:
            events = self._waiting[partition] = []
            self._wake.set()
        events.append(event)

    async def run(self) -> None:
        """Send what has been gathered, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_S)
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Hand everything to the producer now."""
        waiting, self._waiting = self._waiting, {}
        self._count = 0
        for partition, events in waiting.items():
            frame = CommandEvents(
                source=self._health.process_id, partition=partition, events=tuple(events)
            )
            try:
                sent = await self._producer.send(
                    self._topic, encode_json(frame), partition=partition
                )
            except KafkaError as error:
                self._answered(len(events), error)
            else:
                sent.add_done_callback(partial(self._done, len(events)))

    def _done(self, count: int, sent: asyncio.Future[object]) -> None:
        self._answered(count, asyncio.CancelledError() if sent.cancelled() else sent.exception())

    def _answered(self, count: int, error: BaseException | None) -> None:
        if error is None:
            self._health.counters["command_events"] += count
            return
        self._health.counters["command_events_dropped"] += count
        log.warning("Kafka did not take command events", count=count, error=repr(error))
