"""What became of commands, gathered for a moment and written to ``command.events``."""

import asyncio
from dataclasses import dataclass, field

import structlog
from aiokafka.errors import KafkaError

from schemas.commands import CommandEvent, CommandEvents
from vpp_streams.gateway.answers import OnAnswer, answer_all, failure_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.health import HealthReporter

log = structlog.get_logger()

FLUSH_S = 0.02
MOST = 100_000
"""Events kept while Kafka is away; beyond that the newest are dropped, and counted."""


@dataclass(slots=True)
class _Frame:
    events: list[CommandEvent] = field(default_factory=list)
    answers: list[OnAnswer] = field(default_factory=list)


class EventOutbox:
    """Sends events to Kafka; an `OnAnswer` is called with whether Kafka has stored its event."""

    def __init__(self, outlet: Outlet, health: HealthReporter) -> None:
        self._outlet = outlet
        self._health = health
        self._waiting: dict[int, _Frame] = {}
        self._count = 0
        self._wake = asyncio.Event()

    def add(self, partition: int, event: CommandEvent, on_answer: OnAnswer | None = None) -> None:
        """Take an event of a device whose site is in this partition."""
        if self._count >= MOST:
            self._health.counters["command_events_dropped"] += 1
            if on_answer is not None:
                on_answer(False)
            return
        self._count += 1
        frame = self._waiting.get(partition)
        if frame is None:
            frame = self._waiting[partition] = _Frame()
            self._wake.set()
        frame.events.append(event)
        if on_answer is not None:
            frame.answers.append(on_answer)

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
        for partition, frame in waiting.items():
            events = CommandEvents(
                source=self._health.process_id, partition=partition, events=tuple(frame.events)
            )
            try:
                sent = await self._outlet.send(topics.COMMAND_EVENTS, events)
            except KafkaError as error:
                self._answer(frame, error)
            else:
                sent.add_done_callback(
                    lambda done, frame=frame: self._answer(frame, failure_of(done))
                )

    def _answer(self, frame: _Frame, error: BaseException | None) -> None:
        count = len(frame.events)
        if error is None:
            self._health.counters["command_events"] += count
        else:
            self._health.counters["command_events_dropped"] += count
            log.warning("Kafka did not take command events", count=count, error=repr(error))
        answer_all(frame.answers, error is None)
