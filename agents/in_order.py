"""Every record of a partition, once and in order, and commits that never stand still.

When a worker starts or partitions move, Faust resumes the fetch, seeks to the committed offset
and clears its queues at about the same time; records that are on the way between these steps
are dropped and their offsets count as read. An agent sees a hole. So each agent asks here
before it applies an event: one that comes too early sends the consumer back to what is missing.
Where nothing comes after the hole, nobody asks; a watch sees that the log goes on and goes back.

Faust's acks do not survive that (a doubled or missing ack stops a partition's commits for
good), so agents tell here which events are done, and the offsets are committed as they are.
"""

import asyncio
import time
from collections.abc import Callable

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from vpp_streams.settings import Settings

log = structlog.get_logger()

_LET_GO_S = 0.05
"""What the fetch loop is handing over while we pause it is through after this long."""
_AGAIN_S = 1.0
"""A rewind is given this long before another one of the same partition."""
_LOOK_S = 5.0
COMMIT_S = 1.0
WATCH_S = 2.0
_WATCH_AGAIN_S = 30.0
"""An agent that is slow, not one that was passed over, gets its backlog twice; not more often."""


class InOrder:
    """The next offset of each partition that a worker reads.

    ``ready`` tells whether the worker's agents apply what comes.
    """

    def __init__(self, app: faust.App, settings: Settings, ready: Callable[[], bool]) -> None:
        self._app = app
        self._settings = settings
        self._ready = ready
        self._next: dict[TopicPartition, int] = {}
        self._state: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] | None = None
        """The group's offsets when the first event came after a rebalance."""
        self._rewound_at: dict[TopicPartition, float] = {}
        self._done: dict[TopicPartition, int] = {}
        """Offsets to commit: the first one that is not done."""
        app.task(self._commit_for_ever)
        app.task(self._watch_for_ever)
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

    async def _watch_for_ever(self) -> None:
        """Go back to records that were passed over with none after them to show it."""
        before: dict[TopicPartition, int] = {}
        while not self._app.should_stop:
            await asyncio.sleep(WATCH_S)
            try:
                behind = await self._behind() if self._ready() else {}
                for tp in (tp for tp, offset in behind.items() if before.get(tp) == offset):
                    await self._go_back(tp, behind[tp])
            except (KafkaError, OSError) as error:
                log.warning("cannot look for records that were passed over", error=repr(error))
                behind = {}
            before = behind

    async def _behind(self) -> dict[TopicPartition, int]:
        """The next offset of each of our partitions whose log has more."""
        changelogs = self._app.tables.changelog_topics
        consumer = self._app.consumer
        behind = {}
        for ours in consumer.assignment():
            if ours.topic not in changelogs:
                tp = TopicPartition(ours.topic, ours.partition)
                expected = self._next[tp] if tp in self._next else await self._start(tp)
                if expected < (consumer.highwater(ours) or 0):
                    behind[tp] = expected
        return behind

    async def _go_back(self, tp: TopicPartition, offset: int) -> None:
        now = time.monotonic()
        if now - self._rewound_at.get(tp, -_WATCH_AGAIN_S) < _WATCH_AGAIN_S:
            return
        self._rewound_at[tp] = now
        if await self._first_from(tp, offset) is not None:
            log.info("passed over in the log", topic=tp.topic, partition=tp.partition, to=offset)
            await self._rewind(tp, offset)

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
