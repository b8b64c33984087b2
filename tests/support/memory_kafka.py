"""Topics in memory: the real encoding, the real decoding and refusing, and no broker between."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.decode import Read, receive
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.connection import Connection
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

T = TypeVar("T")


@dataclass(slots=True)
class Stored:
    """A record as the broker has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class MemoryKafka:
    """Every record of every topic, in the order in which they were written."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.records: list[Stored] = []
        self._ends: Counter[tuple[str, int]] = Counter()
        self._readers: dict[str, list[asyncio.Queue[Stored]]] = defaultdict(list)

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Stored:
        """Write a record."""
        offset = self._ends[topic, partition]
        self._ends[topic, partition] += 1
        stored = Stored(topic, partition, offset, self._now_ms(), key, value, headers)
        self.records.append(stored)
        for queue in self._readers[topic]:
            queue.put_nowait(stored)
        return stored

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int,
        key: bytes | None = None,
        headers: Any = None,
    ) -> "asyncio.Future[Stored]":
        """As a producer: the caller may be cancelled before it, and not between."""
        await asyncio.sleep(0)
        done = asyncio.get_running_loop().create_future()
        done.set_result(
            self.append(topic, value, key=key, partition=partition, headers=headers or ())
        )
        return done

    async def flush(self) -> None:
        """Everything was written at once."""

    def subscribe(self, *names: str) -> "asyncio.Queue[Stored]":
        """A queue of what is written from now on."""
        queue: asyncio.Queue[Stored] = asyncio.Queue()
        for name in names:
            self._readers[name].append(queue)
        return queue

    def unsubscribe(self, queue: "asyncio.Queue[Stored]") -> None:
        """End a subscription."""
        for queues in self._readers.values():
            if queue in queues:
                queues.remove(queue)

    def read(self, topic: Topic[T]) -> Iterator[T]:
        """The decoded records of a topic; each must be readable."""
        for stored in self.records:
            if stored.topic == topic.name:
                received = receive(topic, stored)
                assert isinstance(received, Read), received
                yield received.record

    def connection(self, health: HealthReporter) -> Connection:
        """A process's ways to and from these topics."""
        letters = DeadLetters(health.process_id, health.counters, self._now_ms)
        return Connection(
            KafkaClients(Settings()),
            self,
            Outlet(self, ""),
            MemoryFollower(self, letters, health.counters),
            letters,
        )


class MemoryFollower(Follower):
    """Follows topics in memory."""

    def __init__(self, kafka: MemoryKafka, letters: DeadLetters, counters: Counter[str]) -> None:
        super().__init__(KafkaClients(Settings()), letters, counters)
        self._kafka = kafka

    async def follow(self, *feeds: Feed[Any], caught_up: asyncio.Event | None = None) -> None:
        """As a real one."""
        by_name = {feed.topic.name: feed for feed in feeds}
        queue = self._kafka.subscribe(*by_name)
        try:
            for record in list(self._kafka.records):
                feed = by_name.get(record.topic)
                since_ms = None if feed is None else feed.since_ms
                if feed is not None and since_ms is not None and record.timestamp >= since_ms:
                    await self.take(feed, record)
            if caught_up is not None:
                caught_up.set()
            while True:
                record = await queue.get()
                await self.take(by_name[record.topic], record)
        finally:
            self._kafka.unsubscribe(queue)
