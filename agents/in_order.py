"""Every record of a partition, once and in order, and commits that never stand still.

When a worker starts or partitions move, Faust resumes the fetch, seeks to the committed offset
and clears its queues at about the same time; records that are on the way between these steps
are dropped and their offsets count as read. An agent sees a hole. So each agent asks here
before it applies an event: one that comes too early sends the consumer back to what is missing.

Faust's acks do not survive that (a doubled or missing ack stops a partition's commits for
good), so agents tell here which events are done, and the offsets are committed as they are.
"""

import asyncio
import time

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from vpp_streams.settings import Settings

log = structlog.get_logger()

_LET_GO_S = 0.05
"""What the fetch loop is handing over while we pause it is through after this long."""
_AGAIN_S = 1.0
"""A rewind is given this long before another one of the same partition."""
_LOOK_S = 5.0
COMMIT_S = 1.0


class InOrder:
    """The next offset of each partition that a worker reads."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._next: dict[TopicPartition, int] = {}
        self._state: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] | None = None
        """The group's offsets when the first event came after a rebalance."""
        self._rewound_at: dict[TopicPartition, float] = {}
        self._done: dict[TopicPartition, int] = {}
        """Offsets to commit: the first one that is not done."""
        app.task(self._commit_for_ever)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)

    def expect(self, topic: str, partition: int, offset: int) -> None:
        """The state of this partition goes on with ``offset``: no later one may come first."""
        self._state[TopicPartition(topic, partition)] = offset

    async def admit(self, event: faust.EventT) -> bool:
        """Whether an event may be applied now; if not, it comes again."""
        self._release(event)
        offset = event.message.offset
        tp = TopicPartition(event.message.topic, event.message.partition)
        if tp not in self._next:
            self._next[tp] = await self._start(tp)
        expected = self._next[tp]
        if offset > expected and not await self._follows(tp, expected, offset):
            return False
        self._next[tp] = max(expected, offset + 1)
        return True

    def done(self, event: faust.EventT) -> None:
        """What this event gave rise to is safe; tell events of a partition in order."""
        tp = TopicPartition(event.message.topic, event.message.partition)
        if tp in self._next:  # else revoked meanwhile
            self._done[tp] = max(event.message.offset + 1, self._done.get(tp, 0))

    def _release(self, event: faust.EventT) -> None:
        """Faust keeps a message until it is acked; ours never are."""
        self._app.consumer._unacked_messages.discard(event.message)

    async def _commit_for_ever(self) -> None:
        while not self._app.should_stop:
            await asyncio.sleep(COMMIT_S)
            done, self._done = self._done, {}
            if done:
                await self._app.consumer._commit(
                    {faust.types.TP(tp.topic, tp.partition): offset for tp, offset in done.items()}
                )

    async def _follows(self, tp: TopicPartition, expected: int, offset: int) -> bool:
        """Whether the log has nothing between; if it has, go back there."""
        now = time.monotonic()
        if now - self._rewound_at.get(tp, -_AGAIN_S) < _AGAIN_S:
            return False  # queued before we went back
        if await self._first_from(tp, expected) == offset:
            return True  # expired, or a transaction's marker: a hole in the log itself
        log.info("going back in the log", topic=tp.topic, partition=tp.partition, to=expected)
        self._rewound_at[tp] = now
        await self._rewind(tp, expected)
        return False

    async def _rewind(self, tp: TopicPartition, offset: int) -> None:
        consumer = self._app.consumer
        ours = faust.types.TP(tp.topic, tp.partition)
        consumer.pause_partitions({ours})
        await asyncio.sleep(_LET_GO_S)
        if ours in consumer.assignment():
            await consumer.seek_wait({ours: offset})  # `seek` is not safe across its threads
            consumer.resume_partitions({ours})

    async def _first_from(self, tp: TopicPartition, offset: int) -> int | None:
        """Offset of the first record at or after ``offset``; None where none came in time."""
        looker = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await looker.start()
        try:
            looker.assign([tp])
            looker.seek(tp, offset)
            record = await asyncio.wait_for(looker.getone(), _LOOK_S)
        except TimeoutError:
            return None
        finally:
            await looker.stop()
        return int(record.offset)

    async def _start(self, tp: TopicPartition) -> int:
        """Where the partition goes on: at the committed offset, which is where Faust starts.

        The state may be ahead of it (what comes is a repetition) or, where its changelog was
        lost, behind.
        """
        if self._committed is None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
            await admin.start()
            try:
                found = await admin.list_consumer_group_offsets(self._app.conf.id)
            finally:
                await admin.close()
            self._committed = {known: max(meta.offset, 0) for known, meta in found.items()}
        committed = self._committed.get(tp, 0)
        return min(committed, self._state.get(tp, committed))

    async def _on_revoked(self, *_args: object, **_kwargs: object) -> None:
        self._next.clear()
        self._state.clear()
        self._committed = None
        self._rewound_at.clear()
        self._done.clear()
