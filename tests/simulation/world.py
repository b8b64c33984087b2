"""One seed's world: its processes, their supervisor, its Kafka, and the story of what happened."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from aiokafka.errors import IllegalOperation, KafkaError

from tests.simulation.kafka import SimKafka
from tests.simulation.links import SimEngine
from tests.simulation.loop import Process, SimLoop
from vpp_streams.errors import VppError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import topic_config
from vpp_streams.settings import Settings

T0_MS = 1_763_856_000_000
SETTINGS = Settings(namespace="sim", flush_ms=200, snapshot_ms=2000)
STORY = 400
"""Events that are kept to be shown with a seed that fails."""
EXPECTED = (VppError, KafkaError, IllegalOperation, OSError, TimeoutError)
"""What a process may end with: it is started again. Anything else is a bug."""
LOUD = {"StalledError", "FencedError", "NoShareError", "StateUnreadableError"}
"""Errors by which a worker says that it cannot go on."""


class BrokenError(Exception):
    """An invariant does not hold."""


def is_expected(error: BaseException) -> bool:
    """Whether a process may end with this."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_expected(one) for one in error.exceptions)
    return isinstance(error, EXPECTED) or type(error).__name__ in LOUD


Main = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Service:
    """A process that its supervisor keeps running."""

    name: str
    main: Main
    process: Process
    task: asyncio.Task[None] | None = None
    starts: int = 0


class World:
    """Everything of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(f"{seed}-world")
        self.loop = SimLoop(Random(f"{seed}-loop"))
        self.loop.on_trouble = self._trouble
        self.outside = self.loop.outside_context()
        self.kafka = SimKafka(self.loop, Random(f"{seed}-kafka"), self._kafka_ms)
        self.kafka_clock_ms = 0
        self.settings = SETTINGS
        self.link_delay_s = (0.002, 0.02)
        self.services: dict[str, Service] = {}
        self.engines: dict[str, SimEngine] = {}
        self.story: deque[str] = deque(maxlen=STORY)
        self.counts: Counter[str] = Counter()
        self.on_message: Callable[[str, bytes], None] = lambda device_id, data: None
        """Told of each message that a device takes in, before it does."""
        self.on_death: Callable[[Process], None] = lambda process: None
        self.broken: BrokenError | None = None
        self.supervised = True
        for topic in (*topics.ALL, *topics.INTERNAL):
            stamps = topic_config(topic, 1).get("message.timestamp.type") == "LogAppendTime"
            self.kafka.create(topic.full("sim"), topic.partitions, log_append_time=stamps)

    # Time

    def utc_ms(self) -> int:
        """True time."""
        return T0_MS + int((self.loop.now_s - 1000.0) * 1000)

    def _kafka_ms(self) -> int:
        return self.utc_ms() + self.kafka_clock_ms

    # What happened

    def note(self, what: str) -> None:
        """Add to the story."""
        self.story.append(f"{self.loop.now_s - 1000:9.4f} {what}")

    def logged(self, event: dict[str, Any]) -> None:
        """The project logged something."""
        words = " ".join(f"{k}={v}" for k, v in event.items() if k not in ("event", "exc_info"))
        self.note(f"{self.loop.running.name}: {event.get('event')} {words}")
        if str(event.get("event")).startswith("bug"):
            self.fail(f"{self.loop.running.name} logs a bug: {event.get('event')} {words}")

    def fail(self, what: str) -> None:
        """Note a broken invariant; the run ends at its next look."""
        if self.broken is None:
            self.note(f"BROKEN: {what}")
            self.broken = BrokenError(what)

    def check(self, holds: bool, what: str) -> None:
        """As `fail`, where it does not hold."""
        if not holds:
            self.fail(what)

    def _trouble(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, (*EXPECTED, asyncio.CancelledError)):
            self.fail(f"{self.loop.running.name}: {context.get('message')}: {error!r}")

    # Processes

    def serve(self, name: str, main: Main) -> Service:
        """Start a process and keep it running."""
        service = Service(name, main, self.loop.new_process(name))
        self.services[name] = service
        self._start(service)
        return service

    def _start(self, service: Service) -> None:
        service.starts += 1
        if service.starts > 1:
            service.process = self.loop.new_process(f"{service.name}.{service.starts}")
        service.task = self.loop.spawn(service.process, service.main())
        service.task.add_done_callback(
            partial(self._ended, service, service.process),
            context=self.outside,
        )

    def _ended(self, service: Service, process: Process, task: asyncio.Task[None]) -> None:
        if process is not service.process or process.dead:
            return
        error = None if task.cancelled() else task.exception()
        self.note(f"{process.name} has ended: {error!r}")
        if error is not None and not is_expected(error):
            self.fail(f"{process.name} ended by a bug: {error!r}")
        self.counts["ended"] += 1
        self.kill(service)

    def kill(self, service: Service) -> None:
        """SIGKILL; its supervisor starts it again after a moment."""
        if service.process.dead:
            return
        self.loop.kill(service.process)
        engine = self.engines.pop(service.process.name, None)
        if engine is not None:
            engine.lost_its_process()
        self.on_death(service.process)
        self.loop.call_later(
            0.5 + 2 * self.rng.random(), self._start_again, service, context=self.outside
        )

    def _start_again(self, service: Service) -> None:
        if self.supervised and service.process.dead:
            self.note(f"{service.name} starts again")
            self._start(service)

    def stop(self, service: Service) -> None:
        """SIGTERM: it ends as it would."""
        if service.task is not None and not service.process.dead:
            self.loop.call_in(service.process, service.task.cancel)

    def engine_for(self, device_id: str) -> SimEngine | None:
        """A gateway that listens, as a load balancer would choose one."""
        names = sorted(name for name, engine in self.engines.items() if engine.listening)
        return self.engines[self.rng.choice(names)] if names else None

    # Running

    async def sleep(self, seconds: float) -> None:
        """Let time pass; raises what broke meanwhile."""
        until_s = self.loop.now_s + seconds
        while self.loop.now_s < until_s:
            await asyncio.sleep(min(1.0, max(until_s - self.loop.now_s, 0.0)))
            if self.broken is not None:
                raise self.broken

    async def until(
        self, holds: Callable[[], bool], within_s: float, what: str | Callable[[], str]
    ) -> None:
        """Let time pass until it holds; in vain = broken."""
        until_s = self.loop.now_s + within_s
        while not holds():
            await self.sleep(1.0)
            if self.loop.now_s > until_s:
                words = what if isinstance(what, str) else what()
                raise BrokenError(f"not within {within_s:.0f} s: {words}")
