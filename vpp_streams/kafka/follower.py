"""The one way in: follows topics for ever, and decodes and checks each record by its contract.

A record that decoding or its callback refuses becomes a dead letter, and the next record is read:
no record ever ends a process.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.assets import Site
from schemas.identity import Revocation
from schemas.preferences import Preferences
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, consuming
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.decode import RawRecord, Read, Refusal, Removed, receive, refusal_of
from vpp_streams.kafka.topic import Topic
from vpp_streams.kafka.topic_ids import LOOK_S, KnownTopics

T = TypeVar("T")
log = structlog.get_logger()

POLL_MS = 200
MAX_RECORDS = 1000
"""Most records fetched in one go."""
MOST_S = 0.02
"""Longest time that records are applied before the other tasks of the process have their turn: one
record may have a thousand rows."""


@dataclass(frozen=True, slots=True)
class Feed(Generic[T]):
    """A topic to follow, from when on, and the callbacks that apply its records."""

    topic: Topic[T]
    apply: Callable[[Read[T]], Awaitable[None] | None]
    """Applies a record. Raises `RefusedError` for one it refuses; any other error is a bug."""
    removed: Callable[[Removed], None] = lambda _removed: None
    """Called when a key was removed from a compacted topic."""
    since_ms: int | None = 0
    """Records written before this time are left out; 0 = read all, None = only future ones."""
    partitions: Collection[int] = ()
    """Partitions to follow; empty = all."""


def assets_into(registry: Registry) -> Feed[Site]:
    """A feed that keeps a registry current; a removed key removes its site."""
    return Feed(
        topics.ASSETS,
        lambda read: registry.apply(read.record),
        lambda removed: registry.remove(removed.key),
    )


def preferences_into(registry: Registry) -> Feed[Preferences]:
    """A feed that keeps what owners decided current; a removed key leaves a site as registered."""
    return Feed(
        topics.PREFERENCES,
        lambda read: registry.prefer(read.record.site_id, read.record),
        lambda removed: registry.prefer(removed.key, None),
    )


def revocations_into(revocations: Revocations) -> Feed[Revocation]:
    """A feed that keeps the revocations of devices current."""
    return Feed(topics.IDENTITY_REVOCATIONS, lambda read: revocations.apply(read.record))


class Follower:
    """Follows topics, with one consumer per call."""

    def __init__(self, clients: KafkaClients, letters: DeadLetters, counters: Counter[str]) -> None:
        self._clients = clients
        self._letters = letters
        self._counters = counters
        self._readings: list[_Reading] = []
        self.lags: dict[tuple[str, int], int] = {}
        """Records of each topic and partition that were not applied, as of a moment ago."""

    def age_s(self) -> float:
        """Seconds since the loops that follow topics last turned; the greatest of them."""
        turned_s = [one.turned_s for one in self._readings if one.turned_s is not None]
        return time.monotonic() - min(turned_s) if turned_s else 0.0

    async def follow(self, *feeds: Feed[Any], caught_up: asyncio.Event | None = None) -> None:
        """Hand every record to its feed, for ever; cancel to stop.

        ``caught_up`` is set once all records that existed at the start have been handed over.
        Raises `BrokerError` where Kafka does not answer at the start, and where a topic was
        deleted and created again: what was applied of the old one cannot be undone.
        """
        caught_up = caught_up or asyncio.Event()
        by_name = {self._clients.full(feed.topic): feed for feed in feeds}
        known = KnownTopics()
        async with consuming(self._clients) as consumer, self._reading(consumer) as reading:
            await known.check(consumer, by_name)
            check_at_s = time.monotonic() + LOOK_S
            reading.goals.append((await _begin(consumer, by_name), caught_up))
            while True:
                await reading.look()
                found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                rest_at_s = time.monotonic() + MOST_S
                for tp, records in found.items():
                    for record in records:
                        await self.take(by_name[tp.topic], record)
                        if time.monotonic() >= rest_at_s:
                            await asyncio.sleep(0)
                            rest_at_s = time.monotonic() + MOST_S
                await asyncio.sleep(0)
                reading.turned_s = now_s = time.monotonic()
                if now_s >= check_at_s:
                    await known.check(consumer, by_name)
                    await self._note_lags(consumer, by_name)
                    check_at_s = time.monotonic() + LOOK_S

    async def _note_lags(
        self, consumer: AIOKafkaConsumer, by_name: Mapping[str, Feed[Any]]
    ) -> None:
        """Note how far behind each partition is: everything that was read is applied here."""
        for tp in consumer.assignment():
            end, at = consumer.highwater(tp), await consumer.position(tp)
            if end is not None:
                self.lags[by_name[tp.topic].topic.name, tp.partition] = max(end - at, 0)

    @asynccontextmanager
    async def _reading(self, consumer: AIOKafkaConsumer) -> AsyncIterator["_Reading"]:
        reading = _Reading(consumer)
        self._readings.append(reading)
        try:
            yield reading
        finally:
            self._readings.remove(reading)

    async def reached_end(self) -> None:
        """Return once all records are applied that the followed topics hold now."""
        goals = [asyncio.Event() for _ in self._readings]
        for reading, goal in zip(self._readings, goals, strict=True):
            reading.wanted.append(goal)
        for goal in goals:
            await goal.wait()

    async def follow_in(self, group: asyncio.TaskGroup, *feeds: Feed[Any]) -> None:
        """`follow` in a task of ``group``; returns once it has caught up."""
        caught_up = asyncio.Event()
        group.create_task(self.follow(*feeds, caught_up=caught_up))
        await caught_up.wait()

    @asynccontextmanager
    async def following(self, *feeds: Feed[Any]) -> AsyncIterator[asyncio.Task[None]]:
        """Run `follow` beside the body, which starts once it has caught up."""
        caught_up = asyncio.Event()
        task = asyncio.create_task(self.follow(*feeds, caught_up=caught_up))
        waiter = asyncio.create_task(caught_up.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task  # it only ends with an error
            yield task
        finally:
            waiter.cancel()
            task.cancel()
            await asyncio.gather(task, waiter, return_exceptions=True)

    async def take(self, feed: Feed[T], raw: RawRecord) -> None:
        """Decode and apply one record, or collect its dead letter. Never raises."""
        refusal = await self._applied(feed, raw)
        if refusal is not None:
            self._letters.refuse(feed.topic, raw, refusal)

    async def _applied(self, feed: Feed[T], raw: RawRecord) -> Refusal | None:
        received = receive(feed.topic, raw)
        try:
            match received:
                case Refusal():
                    return received
                case Removed():
                    feed.removed(received)
                case Read():
                    work = feed.apply(received)
                    if work is not None:
                        await work
        except RefusedError as error:
            return refusal_of(error)
        except Exception as error:  # our bug, and it is logged; later records are good ones
            self._counters["apply_errors"] += 1
            log.exception(
                "applying a record failed",
                topic=feed.topic.name,
                partition=raw.partition,
                offset=raw.offset,
            )
            return Refusal("apply_error", f"{type(error).__name__}: {error}"[:300])
        return None


async def _begin(
    consumer: AIOKafkaConsumer, by_name: dict[str, Feed[Any]]
) -> dict[TopicPartition, int]:
    """Seek to where each feed begins; returns the current end offsets."""
    partitions = [
        TopicPartition(name, p)
        for name, feed in by_name.items()
        for p in feed.partitions or range(feed.topic.partitions)
    ]
    consumer.assign(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    since_ms = {tp: by_name[tp.topic].since_ms for tp in partitions}
    from_a_time = {tp: at_ms for tp, at_ms in since_ms.items() if at_ms}
    found = await consumer.offsets_for_times(from_a_time) if from_a_time else {}
    for tp in partitions:
        if since_ms[tp] is None or (tp in found and found[tp] is None):
            consumer.seek(tp, ends[tp])
        elif tp in found:
            consumer.seek(tp, found[tp].offset)
    complete = [tp for tp in partitions if since_ms[tp] == 0]
    if complete:
        await consumer.seek_to_beginning(*complete)
    return ends


class _Reading:
    """One consumer that follows, and who waits until it has read to the end."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.wanted: list[asyncio.Event] = []
        """Set once the end of now is reached, which Kafka was not asked for yet."""
        self.goals: list[tuple[dict[TopicPartition, int], asyncio.Event]] = []
        """End offsets, and what is set once they are reached."""
        self.turned_s: float | None = None
        """When the loop last turned, by the monotonic clock; None = not yet."""

    async def look(self) -> None:
        """Set what was reached; everything that was handed over has been applied."""
        if self.wanted:
            wanted, self.wanted = self.wanted, []
            try:
                ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
            except (KafkaError, OSError):
                self.wanted += wanted  # Kafka is away: it is asked again
                return
            self.goals += [(ends, event) for event in wanted]
        for goal in list(self.goals):
            ends, event = goal
            if await self._has_reached(ends):
                event.set()
                self.goals.remove(goal)

    async def _has_reached(self, ends: dict[TopicPartition, int]) -> bool:
        for tp, end in ends.items():
            if await self._consumer.position(tp) < end:
                return False
        return True
