"""The control topics of the partitions that a fleet worker holds.

State is a fold of small topics, read by a consumer of our own: all of presence (it is compacted),
commands and their events from some minutes back, which is longer than any lease. Orders are
levels that the region role repeats twice a second, so they are read from now on; to bypass
Faust's consumer, its thread and its queues saves tens of milliseconds.

It follows the partitions that the worker holds; nothing is committed, as every start reads the
same again.
A broker that is away is waited for. Reading that stands still although the broker answers ends
the worker: its successor starts again, and meanwhile the region's devices are reported as ones
that cannot be commanded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from vpp_streams import clock
from vpp_streams.domain.telemetry.log_reading import Progress, first_offset
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.kafka.topic_ids import KnownTopics

log = structlog.get_logger()

BACK_MS = 600_000
POLL_MS = 100
LOOK_S = 10.0
"""How often the end of the log is compared with what was read."""
STUCK_S = 60.0
"""Reading that stands still for this long, although the log has more, ends the worker."""
ANSWER_S = 2.0
"""The broker is given this long to report the ends of its logs before reading continues."""
AGAIN_S = 1.0
FEEDS: tuple[Topic[Any], ...] = (
    topics.DISPATCH,
    topics.PRESENCE,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
)

OnRecord = Callable[[Topic[Any], ConsumerRecord], Awaitable[None]]
OnReady = Callable[[int], None]


class ControlFeed:
    """Hands over every record of `FEEDS` in the partitions that it follows."""

    def __init__(
        self,
        clients: KafkaClients,
        on_record: OnRecord,
        on_ready: OnReady,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._on_record = on_record
        self._on_ready = on_ready
        self._clock = clock
        self._topics = {clients.full(topic): topic for topic in FEEDS}
        self._wanted: frozenset[int] = frozenset()
        self._given: frozenset[int] | None = None
        self._ends: dict[TopicPartition, int] = {}
        """The end of each partition that is not caught up, as of when it was taken."""
        self._early: dict[int, list[ConsumerRecord]] = {}
        """Events of partitions that are incomplete: their commands are still to be read."""
        self._progress: Progress[TopicPartition] = Progress(STUCK_S, LOOK_S)
        self._known = KnownTopics()
        self._look_at_s = 0.0

    def follow(self, partitions: frozenset[int]) -> None:
        """Hand over these from now on; ``on_ready`` is called for each that is caught up."""
        self._wanted, self._given = partitions, None

    async def run(self) -> None:
        """Read for ever; cancel to stop.

        Raises `BrokerError` where reading stands still although the log has more, and where a topic
        was deleted and created again.
        """
        consumer = await self._connected()
        try:
            while True:
                try:
                    await self._step(consumer)
                except (KafkaError, OSError, TimeoutError) as error:
                    if not _passes(error):
                        raise
                    # What was to be read is read from the same place once the broker answers.
                    log.warning("the control feed waits for Kafka", error=repr(error))
                    self._progress.reset()
                    await asyncio.sleep(AGAIN_S)
        finally:
            await consumer.stop()

    async def _connected(self) -> AIOKafkaConsumer:
        while True:
            consumer = self._clients.consumer(fetch_max_wait_ms=POLL_MS)
            try:
                await consumer.start()
            except (KafkaError, OSError) as error:
                await consumer.stop()
                if not _passes(error):
                    raise
                log.warning("the control feed waits for Kafka", error=repr(error))
                await asyncio.sleep(AGAIN_S)
            else:
                return consumer

    async def _step(self, consumer: AIOKafkaConsumer) -> None:
        if self._given is None:
            await self._assign(consumer)
        if self._given is None:
            return  # other partitions are wanted by now
        if not self._given:
            await asyncio.sleep(POLL_MS / 1000)
            return
        found = await consumer.getmany(timeout_ms=POLL_MS)
        if self._given is None:
            return  # the assignment changed meanwhile: these are read again
        for records in found.values():
            await self._hand_over(records)
        if self._ends:
            await self._tell_ready(consumer)
        if self._clock() >= self._look_at_s:
            await self._look(consumer)

    async def _hand_over(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            topic = self._topics[record.topic]
            if topic is topics.COMMAND_EVENTS and record.partition in self._early:
                self._early[record.partition].append(record)
            else:
                await self._on_record(topic, record)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        wanted = self._wanted
        partitions = [TopicPartition(name, p) for name in self._topics for p in sorted(wanted)]
        consumer.assign(partitions)
        await self._known.check(consumer, self._topics)
        self._ends, self._early = {}, {p: [] for p in wanted}
        self._progress.reset()
        self._look_at_s = self._clock() + LOOK_S
        if partitions:
            ends, begins = await self._range(consumer, partitions)
            for tp, offset in begins.items():
                consumer.seek(tp, offset)
            self._ends = ends
        if wanted == self._wanted:
            self._given = wanted

    async def _range(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Each partition's end, and where reading begins. The ends are requested first."""
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        whole = [tp for tp in partitions if self._topics[tp.topic] is topics.PRESENCE]
        begins = dict(ends) | await consumer.beginning_offsets(whole)
        since_ms = clock.now_ms() - BACK_MS
        found = await consumer.offsets_for_times(
            {tp: since_ms for tp in partitions if self._topics[tp.topic] in _FROM_SOME_TIME}
        )
        for tp, first in found.items():
            begins[tp] = first_offset(ends[tp], None if first is None else first.offset)
        return ends, begins

    async def _tell_ready(self, consumer: AIOKafkaConsumer) -> None:
        """Report partitions whose feeds have all reached the ends at which they were taken."""
        at = await self._positions(consumer, self._ends)
        if self._given is None:
            return  # another assignment is wanted by now
        before = {tp.partition for tp in self._ends}
        self._ends = {tp: end for tp, end in self._ends.items() if at[tp] < end}
        for partition in sorted(before - {tp.partition for tp in self._ends}):
            await self._hand_over(self._early.pop(partition))
            log.info("control state is whole", partition=partition)
            self._on_ready(partition)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Raise where the log has more and none of it was read for long."""
        await self._known.check(consumer, self._topics)
        partitions = consumer.assignment()
        async with asyncio.timeout(ANSWER_S):
            ends = await consumer.end_offsets(partitions)
        self._look_at_s = self._clock() + LOOK_S
        at = await self._positions(consumer, partitions)
        if self._given is None:
            return
        wanted = {tp: max(end, self._ends.get(tp, 0)) for tp, end in ends.items()}
        if stuck := self._progress.stuck(at, wanted, self._clock()):
            where = ", ".join(sorted(f"{tp.topic}/{tp.partition} at {at[tp]}" for tp in stuck))
            raise BrokerError(
                f"the control feed has read nothing for {STUCK_S:g} s though there is more in"
                f" {where}; this worker ends, its successor reads them anew"
            )

    async def _positions(
        self,
        consumer: AIOKafkaConsumer,
        partitions: "frozenset[TopicPartition] | dict[TopicPartition, int]",
    ) -> dict[TopicPartition, int]:
        async with asyncio.timeout(ANSWER_S):  # one that is out of range has none for a moment
            return {tp: await consumer.position(tp) for tp in list(partitions)}


_FROM_SOME_TIME = (topics.COMMANDS, topics.COMMAND_EVENTS)


def _passes(error: Exception) -> bool:
    """Whether the error is the broker's or the network's, so that a retry may help."""
    return (
        not isinstance(error, KafkaError) or error.retriable or isinstance(error, KafkaTimeoutError)
    )
