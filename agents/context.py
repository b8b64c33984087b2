"""What every agent is given, made once by the composition root (`vpp_streams.app`)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import faust

from vpp_streams.domain.registry import Registry
from vpp_streams.health import HealthReporter
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.follower import Follower
from vpp_streams.settings import Settings
from vpp_streams.topics import Topic


@dataclass(frozen=True, slots=True)
class AgentContext:
    """Settings, the registry kept current, this process's counters and the wall clock."""

    settings: Settings
    registry: Registry
    health: HealthReporter
    now_ms: Callable[[], int]
    registry_ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the registry holds all that topic ``assets`` held at start; agents await it."""
    clients: KafkaClients = field(init=False)
    letters: DeadLetters = field(init=False)
    """What is refused of the topics that are read; `DeadLetters.run` writes it."""
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        counters = self.health.counters
        letters = DeadLetters(self.health.process_id, counters, self.now_ms)
        clients = KafkaClients(self.settings)
        object.__setattr__(self, "clients", clients)
        object.__setattr__(self, "letters", letters)
        object.__setattr__(self, "follower", Follower(clients, letters, counters))

    def topic(self, app: faust.App, *topics: Topic) -> faust.TopicT:
        """Our topics as one Faust topic of raw bytes (we decode frames ourselves)."""
        return app.topic(
            *(topic.full(self.settings.namespace) for topic in topics),
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )
