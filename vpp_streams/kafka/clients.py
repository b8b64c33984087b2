"""The only module that creates Kafka clients, so that all of them have the same settings.

Everything else takes a `KafkaClients`, or an object of the same shape that simulates Kafka.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.refusals import reason_of
from vpp_streams.kafka.security import security_of
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Largest record, and the most that a consumer fetches from a partition at once."""

ANSWER_MS = 10_000
"""How long a broker may take to answer, ms; then the client looks for another one."""
C = TypeVar("C")

FINISH_S = 10.0
"""How long a producer that is closed may take to send what is waiting."""


class KafkaClients:
    """Creates consumers, producers and admins, not yet started, for one broker and namespace."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for security settings that cannot be used."""
        self.settings = settings
        self.security = security_of(settings)

    def full(self, topic: Topic[Any]) -> str:
        """A topic's name on the broker."""
        return topic.full(self.settings.namespace)

    def consumer(self, **options: Any) -> AIOKafkaConsumer:
        """A consumer without a group that begins at the start of the log and commits nothing."""
        ours: dict[str, Any] = {
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "max_partition_fetch_bytes": MAX_RECORD_BYTES,
        }
        consumer = AIOKafkaConsumer(**{**self._common(), **ours, **options})
        # To join a group takes as long as its slowest member.
        return consumer if "group_id" in options else with_short_requests(consumer)

    def producer(self, linger_ms: int = 5, transactional_id: str | None = None) -> AIOKafkaProducer:
        """A producer whose records are safe once their futures are done (acks=all, idempotent)."""
        producer = AIOKafkaProducer(
            **self._common(),
            acks="all",
            enable_idempotence=True,
            linger_ms=linger_ms,
            max_batch_size=512 * 1024,
            max_request_size=MAX_RECORD_BYTES,
            transactional_id=transactional_id,
        )
        return with_short_requests(producer)

    def admin(self, request_timeout_ms: int = 40_000) -> AIOKafkaAdminClient:
        """A client that creates, describes and deletes topics."""
        return AIOKafkaAdminClient(**self._common(), request_timeout_ms=request_timeout_ms)

    async def why_not(self, error: Exception) -> BrokerError:
        """The error for a client that could not start, with the reason and the way out."""
        return await reason_of(self.settings, self.security, error)

    def _common(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.settings.kafka, **self.security.options()}


def with_short_requests(client: C) -> C:
    """Let a client give up a request after `ANSWER_MS`, and not a record that waits to be sent.

    aiokafka has one number for both. A broker that is frozen keeps its connections open: only an
    answer that does not arrive shows it.
    """
    _connections_of(client)._request_timeout_ms = ANSWER_MS  # noqa: SLF001 - see above
    return client


def _connections_of(client: Any) -> Any:
    return client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - aiokafka has no public way


@asynccontextmanager
async def consuming(clients: KafkaClients, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer during the body. Raises `BrokerError` where Kafka does not answer."""
    consumer = clients.consumer(**options)
    try:
        await _start(clients, consumer)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def producing(
    clients: KafkaClients, linger_ms: int = 5, finish_s: float = FINISH_S
) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer during the body; records that wait are sent at the end.

    A broker that no longer answers by then is waited for at most ``finish_s``. Raises
    `BrokerError` where Kafka does not answer.
    """
    producer = clients.producer(linger_ms)
    try:
        await _start(clients, producer)
        yield producer
    finally:
        await _stopped(producer, finish_s)


async def _stopped(producer: AIOKafkaProducer, patience_s: float) -> None:
    """Stop a producer, in a task of its own.

    Its sender may end as a cancelled one, and in Python 3.11.2 a timeout that expires after an
    error in a task group ends as a cancellation: either would take the place of the error with
    which the producer's user ends, and a cancelled task counts as one that was told to end.
    """
    stopping = asyncio.ensure_future(producer.stop())
    try:
        await asyncio.wait({stopping}, timeout=patience_s)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    if not stopping.cancelled():
        stopping.result()


@asynccontextmanager
async def administering(clients: KafkaClients) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client during the body. Raises `BrokerError` where Kafka does not answer."""
    admin = clients.admin()
    try:
        await _start(clients, admin)
        yield admin
    finally:
        await admin.close()


async def _start(clients: KafkaClients, client: Any) -> None:
    try:
        await client.start()
    except (KafkaConnectionError, OSError) as error:
        raise await clients.why_not(error) from None
    if clients.security.tokens is not None and not _knows_a_broker(client):
        # aiokafka takes a refused token for an accepted one: what it reads then is no answer.
        raise await clients.why_not(KafkaConnectionError("it names no broker"))


def _knows_a_broker(client: Any) -> bool:
    return bool(_connections_of(client).cluster.brokers())


def no_topic(settings: Settings, topic: Topic[Any]) -> BrokerError:
    """The one-line error for a topic that the namespace does not have."""
    return BrokerError(
        f"there is no topic {topic.full(settings.namespace)} at {settings.kafka}; VPP_NAMESPACE"
        " selects the namespace (`vpp up` uses `demo`)"
    )
