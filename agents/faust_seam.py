"""Group membership and channels: the one place that knows Faust's private parts.

Faust forms the consumer group of a role over a topic that never holds a record, so a rebalance
has nothing to recover, nothing to seek and nothing to lose: it only decides which worker
owns which partition number. The records themselves are read by `tables.log_reader`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import faust
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from agents.context import AgentContext
from tables.group import SHARE_PATIENCE_S, NoShareError, Share
from vpp_streams.kafka.security import Security
from vpp_streams.kafka.topic import Topic

log = structlog.get_logger()

COMMIT_PATIENCE_S = 10.0
"""A commit that takes longer is given up: the next one includes it."""


class CancelledWorkError(RuntimeError):
    """Work beside the agents was cancelled, and not because its app ends."""


def run_beside_agents(app: faust.App, work: Callable[[], Awaitable[None]]) -> None:
    """Run work as long as the app runs; whatever else ends it early ends the app as well.

    An error in it does that by itself. Of a cancelled task, however, Faust believes that it has
    cancelled it: the worker would go on without its work, and look healthy.
    """

    async def run() -> None:
        try:
            await work()
        except asyncio.CancelledError as error:
            if app.should_stop:
                raise
            raise CancelledWorkError(f"{work.__qualname__} was cancelled") from error

    app.task(run)


class Membership:
    """This worker's place in the consumer group of its role."""

    def __init__(self, app: faust.App, seats: faust.TopicT) -> None:
        self._app = app
        self.share: Share | None = None
        """None while the group rebalances, and before the worker is in it."""
        self._changed = asyncio.Event()
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.agent(seats, name=f"{app.conf.id}-seats")(self._sit)

    async def shares(self, patience_s: float = SHARE_PATIENCE_S) -> AsyncIterator[Share]:
        """Every share that the group assigns, for ever; outdated ones are left out.

        A share that stays is repeated each ``patience_s``. Raises `NoShareError` where the group
        assigns none for this long.
        """
        known: Share | None = None
        while True:
            share = await self.changes(known, patience_s)
            if share is None and known is None:
                raise NoShareError(f"no place in the consumer group for {patience_s:.0f} s")
            known = share
            if share is not None:
                yield share

    async def changes(self, known: Share | None, patience_s: float) -> Share | None:
        """The share once it differs from ``known``; the same again after ``patience_s``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self.share is known:
                    self._changed.clear()
                    await self._changed.wait()
        return self.share

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        """Commit offsets as the group's member; False where the group has moved on or is away.

        Kafka refuses the commit of a member that lost its place, so a worker that was paused
        cannot take back what its successor committed.
        """
        thread = self._app.consumer._thread
        try:
            done: bool = await thread.call_thread(_commit, thread._ensure_consumer(), dict(offsets))
        except (KafkaError, OSError) as error:
            log.warning("offsets were not committed", error=repr(error))
            return False
        return done

    async def _sit(self, stream: faust.StreamT) -> None:
        async for _record in stream.noack():  # nobody writes there
            log.warning("a record in the topic of seats was left out")

    async def _on_assigned(
        self, _app: faust.App, assigned: set[faust.types.TP], **_kwargs: object
    ) -> None:
        # Kafka waits for this: what takes long is done by the task that waits for `changes`.
        self.share = Share(
            self._app.consumer_generation_id, frozenset(tp.partition for tp in assigned)
        )
        self._changed.set()

    async def _on_revoked(self, *_args: object, **_kwargs: object) -> None:
        self.share = None
        self._changed.set()


async def _commit(consumer: Any, offsets: dict[TopicPartition, OffsetAndMetadata]) -> bool:
    """Commit in the consumer's own thread. Its public ``commit`` knows subscribed topics only."""
    try:
        async with asyncio.timeout(COMMIT_PATIENCE_S):
            await consumer._coordinator.commit_offsets(None, offsets)
    except (CommitFailedError, TimeoutError):
        return False
    return True


class LogChannel(faust.Channel):
    """A channel for an agent whose values survive a rebalance of Faust.

    Faust's own channels are emptied and held up whenever the group rebalances.
    """

    MAX_WAITING = 4
    AGENT_PATIENCE_S = 60.0

    @property
    def queue(self) -> ThrowableQueue:
        """The queue behind the channel, which only the agent empties."""
        queue: ThrowableQueue | None = getattr(self, "_queue", None)
        if queue is None:
            flowing = FlowControlEvent(initially_suspended=False)
            queue = ThrowableQueue(maxsize=self.MAX_WAITING, flow_control=flowing)
            self._queue = queue
        return queue

    async def put(self, value: object) -> None:
        """Hand a value to the agent once it listens. Raises `TimeoutError` where it never does."""
        async with asyncio.timeout(self.AGENT_PATIENCE_S):
            while not self._subscribers:  # noqa: ASYNC110  # Faust signals it to nobody
                await asyncio.sleep(0.01)  # what is put before would be lost
        await super().put(value)


def credentials_of(security: Security) -> faust.types.auth.CredentialsT | None:
    """The same security in Faust's words; None without any."""
    if security.tokens is not None:
        return faust.auth.OAuthCredentials(oauth_cb=security.tokens, ssl_context=security.tls)
    if security.mechanism is not None:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=security.tls,
        )
    return faust.SSLCredentials(security.tls) if security.tls is not None else None


def membership_of(app: faust.App, seats: Topic[Any], context: AgentContext) -> Membership:
    """The place of this worker in the group of a role, which subscribes to its topic of seats.

    Nothing is written there; a record that is written all the same is not decoded, so it cannot end
    the agent.
    """
    name = seats.full(context.settings.namespace)
    return Membership(app, app.topic(name, key_serializer="raw", value_serializer="raw"))
