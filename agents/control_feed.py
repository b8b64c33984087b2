"""What a fleet worker hears of control in the partitions that it holds.

State is a fold of small topics, read by a consumer of our own: presence whole (it is compacted),
commands and their events from some minutes back, which is longer than any lease. Orders are
levels that the region role repeats twice a second, so they are read from now on; that they do
not come through Faust's consumer, its thread and its queues saves tens of milliseconds.

It follows the fleet table's assignment; nothing is committed, as every start reads the same again.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from vpp_streams import topics
from vpp_streams.settings import Settings
from vpp_streams.topics import Topic

log = structlog.get_logger()

BACK_MS = 600_000
POLL_MS = 100
FEEDS: tuple[Topic, ...] = (
    topics.DISPATCH,
    topics.PRESENCE,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
)

OnRecord = Callable[[Topic, ConsumerRecord], None]
OnReady = Callable[[int], None]


class ControlFeed:
    """Hands over every record of `FEEDS` in the partitions that it is told to follow."""

    def __init__(self, settings: Settings, on_record: OnRecord, on_ready: OnReady) -> None:
        self._settings = settings
        self._on_record = on_record
        self._on_ready = on_ready
        self._topics = {topic.full(settings.namespace): topic for topic in FEEDS}
        self._wanted: frozenset[int] = frozenset()
        self._given: frozenset[int] | None = None
        self._ends: dict[TopicPartition, int] = {}
        """Where each partition that is not caught up ended when it was taken."""
        self._early: dict[int, list[ConsumerRecord]] = {}
        """Events of partitions that are not whole: they tell of commands still to be read."""

    def follow(self, partitions: frozenset[int]) -> None:
        """From now on hand over these, each from its start; ``on_ready`` tells what is whole."""
        self._wanted, self._given = partitions, None

    async def run(self) -> None:
        """Read for ever; cancel to stop."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=POLL_MS,
        )
        await consumer.start()
        try:
            while True:
                if self._given is None:
                    await self._assign(consumer)
                if not self._given:
                    await asyncio.sleep(POLL_MS / 1000)
                    continue
                found = await consumer.getmany(timeout_ms=POLL_MS)
                if self._given is None:
                    continue  # the assignment changed meanwhile: these come again
                for records in found.values():
                    self._hand_over(records)
                if self._ends:
                    await self._tell_ready(consumer)
        finally:
            await consumer.stop()

    def _hand_over(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            topic = self._topics[record.topic]
            if topic is topics.COMMAND_EVENTS and record.partition in self._early:
                self._early[record.partition].append(record)
            else:
                self._on_record(topic, record)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        wanted = self._wanted
        partitions = [TopicPartition(name, p) for name in self._topics for p in sorted(wanted)]
        consumer.assign(partitions)
        if partitions:
            since_ms = time.time_ns() // 1_000_000 - BACK_MS
            begins = await consumer.offsets_for_times(
                {
                    tp: 0 if self._topics[tp.topic] is topics.PRESENCE else since_ms
                    for tp in partitions
                }
            )
            ends = await consumer.end_offsets(partitions)
            for tp in partitions:
                begin = None if self._topics[tp.topic] is topics.DISPATCH else begins[tp]
                consumer.seek(tp, ends[tp] if begin is None else begin.offset)
            self._ends = dict(ends)
            self._early = {p: [] for p in wanted}
        if wanted == self._wanted:
            self._given = wanted

    async def _tell_ready(self, consumer: AIOKafkaConsumer) -> None:
        """A partition is whole once all its feeds are where they ended when we took it."""
        before = {tp.partition for tp in self._ends}
        for tp, end in list(self._ends.items()):
            if await consumer.position(tp) >= end:
                del self._ends[tp]
        for partition in sorted(before - {tp.partition for tp in self._ends}):
            self._hand_over(self._early.pop(partition))
            log.info("control state is whole", partition=partition)
            self._on_ready(partition)
