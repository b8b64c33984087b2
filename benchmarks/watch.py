"""Reports of a running system: live regions, region windows, and each process's health."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from schemas.encoding import decode_json
from schemas.health import Health
from schemas.windows import RegionLive, RegionWindow
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings


@dataclass(slots=True)
class Watch:
    """The records seen so far."""

    regions: dict[str, RegionLive] = field(default_factory=dict)
    """The newest record of each region."""
    ages: list[tuple[int, int, int]] = field(default_factory=list)
    """(when published, age, count), ms: of the readings that a record was the first to include."""
    health: dict[str, Health] = field(default_factory=dict)
    """The newest report of each process."""
    lags: list[tuple[int, str, float]] = field(default_factory=list)
    """(when, role, records behind)"""
    windows: dict[str, RegionWindow] = field(default_factory=dict)
    """Windows by id, in the newest revision."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def counter(self, role: str, name: str) -> int:
        """Sum over the role's processes."""
        return sum(h.counters.get(name, 0) for h in self.health.values() if h.role == role)

    def coverage(self) -> float:
        """Coverage of the worst region."""
        return min((live.coverage for live in self.regions.values()), default=0.0)

    def sites_expected(self) -> int:
        """Sites of all regions whose partitions all report."""
        return sum(
            live.aggregate.sites_expected
            for live in self.regions.values()
            if live.partitions_reporting == live.partitions_expected
        )

    def window_readings(self, size_s: int) -> int:
        """Number of readings in the windows of a size."""
        return sum(w.sums.readings for w in self.windows.values() if w.size_s == size_s)

    def ages_of(self, from_ms: float = 0, to_ms: float = math.inf) -> Counter[int]:
        """Readings by age, of those measured in a time, including late ones."""
        found = Counter[int]()
        for at_ms, age_ms, count in self.ages:
            if from_ms <= at_ms - age_ms < to_ms:
                found[age_ms] += count
        return found

    def first_measured_ms(self) -> int:
        """Measured time of the first reading in a region, ms."""
        return min(at_ms - age_ms for at_ms, age_ms, _ in self.ages)

    def applied(self) -> int:
        """Number of readings that the workers of the fleet have applied, each once."""
        return sum(
            self.counter(role, "readings") - self.counter(role, "duplicates")
            for role in ("fleet", "flow")
        )

    def lag_between(self, role: str, from_ms: float, to_ms: float) -> float:
        """Mean number of records that a role's processes were behind, together."""
        found = [lag for at_ms, of, lag in self.lags if of == role and from_ms <= at_ms < to_ms]
        workers = max(sum(h.role == role for h in self.health.values()), 1)
        return sum(found) / len(found) * workers if found else 0.0

    async def until(self, holds: Callable[[], bool], patience_s: float) -> bool:
        """Wait for a condition; False if it was not met in time."""
        deadline = time.monotonic() + patience_s
        while not holds():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), left_s)
            except TimeoutError:
                return holds()
        return True

    def note(self, topic: str, value: bytes) -> None:
        """Apply a record."""
        if topic.endswith(topics.HEALTH.name):
            health = decode_json(value, Health)
            self.health[health.process_id] = health
            if "lag" in health.gauges:
                self.lags.append((health.at_ms, health.role, health.gauges["lag"]))
        elif topic.endswith(topics.REGION_LIVE.name):
            live = decode_json(value, RegionLive)
            self.regions[live.region] = live
            self.ages += [(live.at_ms, age_ms, count) for age_ms, count in live.fresh_ages_ms]
        else:
            window = decode_json(value, RegionWindow)
            known = self.windows.get(window.window_id)
            if known is None or window.revision >= known.revision:
                self.windows[window.window_id] = window
        self.news.set()


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[Watch]:
    """Follow the system from its start, during the block."""
    watch = Watch()
    names = [
        t.full(settings.namespace)
        for t in (topics.HEALTH, topics.REGION_LIVE, topics.REGION_WINDOWS)
    ]
    consumer = KafkaClients(settings).consumer()
    await consumer.start()
    consumer.assign([TopicPartition(name, 0) for name in names])

    async def follow() -> None:
        async for record in consumer:
            watch.note(record.topic, record.value)

    task = asyncio.create_task(follow())
    try:
        yield watch
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
