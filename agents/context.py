"""What every agent receives, created once by the composition root (`vpp_streams.app`)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from agents.region_figures import RegionFigures
from tables.log_reader import LogReader
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.echo import Echo
from vpp_streams.kafka.follower import Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.connection import report_follower
from vpp_streams.process.duty import Duty
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings


@dataclass(slots=True)
class AgentContext:
    """Settings, Kafka, the registry kept current, this process's counters and the wall clock."""

    settings: Settings
    clients: KafkaClients
    registry: Registry
    health: HealthReporter
    letters: DeadLetters
    now_ms: Callable[[], int]
    registry_ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the registry holds everything that topic ``assets`` held at start."""
    producer: AIOKafkaProducer | None = None
    """The worker's one producer; None before the worker runs, and where `duty` has one."""
    duty: Duty | None = None
    """None where all workers of the role work."""
    echo: Echo | None = None
    """Hands on what the worker writes to a topic that it reads as well; None = there is none."""
    readers: list[LogReader] = field(default_factory=list)
    """The readers that are watched."""
    follower: Follower = field(init=False)
    """The way in from Kafka, for topics that are followed completely."""
    figures: RegionFigures = field(init=False)
    """What this worker publishes of regions, as metrics."""

    def __post_init__(self) -> None:
        self.follower = Follower(self.clients, self.letters, self.health.counters)
        report_follower(self.health, self.follower)
        self.figures = RegionFigures()
        self.figures.report_to(self.health, self.now_ms)
        self.health.probes.needs["the registry"] = self.registry_ready.is_set

    @property
    def outlet(self) -> Outlet:
        """The way out to Kafka. Raises `RuntimeError` before the worker runs."""
        if self.duty is not None:
            return self.duty.outlet
        if self.producer is None:
            raise RuntimeError("the worker's producer was not started")
        return Outlet(self.producer, self.settings.namespace, self.echo)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """The worker's one producer, during the body; where one is there already, that one."""
        if self.duty is not None or self.producer is not None:
            yield
            return
        async with producing(self.clients) as self.producer:
            yield

    def group(self, role: str) -> str:
        """Name of a role's consumer group, and of what else belongs to the role as a whole."""
        return f"{self.settings.namespace}.{role}" if self.settings.namespace else role

    def watch_readers(self, *readers: LogReader) -> None:
        """Publish what readers miss in the log, how far each partition is behind, and a stall."""
        watched = self.readers
        watched += readers
        self.health.gauges["missing_records"] = lambda: sum(r.missing for r in watched)
        self.health.gauges["replaced_logs"] = lambda: sum(r.replaced_logs for r in watched)
        self.health.probes.stalls["readers"] = lambda: "; ".join(
            reader.stalled for reader in watched if reader.stalled
        )
        self.health.figures.append(
            lambda: [
                ("vpp_consumer_lag_records", (self._short(tp.topic), str(tp.partition)), lag)
                for reader in readers
                for tp, lag in reader.lags().items()
            ]
        )

    def _short(self, topic: str) -> str:
        return topic.removeprefix(f"{self.settings.namespace}.")
