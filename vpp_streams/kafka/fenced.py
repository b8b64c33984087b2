"""A producer that Kafka refuses once another instance has started one of the same name.

Its records are sent in transactions, because that is what Kafka's fence protects: the start of the
next producer of the name ends an open transaction, and from that moment on the broker takes nothing
more from this one, whatever it still has to send and however long it was paused. Our readers do not
wait for the end of a transaction: a record counts as soon as the broker has it, which is always
before any record of the successor.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    ProducerClosed,
    ProducerFenced,
)

from vpp_streams.errors import BrokerError, LostDutyError
from vpp_streams.kafka.clients import KafkaClients

log = structlog.get_logger()

GATHER_S, GATHER_MOST_S = 0.005, 0.1
"""A transaction ends once nothing was sent for this long, or after the longer time: thousands of
records in a row share a few transactions, and one that is waited for is committed soon."""
COMMIT_S = 40.0
"""A commit that takes longer has failed; the instance ends, and another one continues."""
START_S = 10.0
CLOSE_S = 5.0

_FENCED = (ProducerFenced, InvalidProducerEpoch)


class FencedProducer:
    """Sends records like an `AIOKafkaProducer`; a future is done once its record is committed."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._turn = asyncio.Lock()
        """Held by each send and by the commit: a record belongs to one transaction."""
        self._sent: list[tuple[asyncio.Future[Any], asyncio.Future[Any]]] = []
        """Of the open transaction: what Kafka answers, and what the sender waits for."""
        self._ending: asyncio.Task[None] | None = None
        """Ends the open transaction; None while none is open."""
        self._failed: Exception | None = None

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> "asyncio.Future[Any]":
        """Hand over a record. Raises `LostDutyError`, also in the future, once this is fenced."""
        async with self._turn:
            self._raise_failed()
            try:
                if self._ending is None:
                    await self._producer.begin_transaction()
                    self._ending = asyncio.create_task(self._end_soon())
                stored = await self._producer.send(
                    topic, value, key=key, partition=partition, headers=headers
                )
            except (*_FENCED, IllegalOperation, AssertionError) as error:
                # The client asserts its states: an earlier record's answer has the reason.
                raise self._fail(error) from None
            safe = asyncio.get_running_loop().create_future()
            safe.add_done_callback(_retrieve)
            stored.add_done_callback(_retrieve)
            self._sent.append((stored, safe))
            return safe

    async def flush(self) -> None:
        """Return when all that was sent is committed. Raises why that failed."""
        if (ending := self._ending) is not None:
            await asyncio.shield(ending)
        self._raise_failed()

    async def close(self) -> None:
        """End an open transaction and the connection; neither is waited for very long."""
        with suppress(Exception):  # why it failed is known to whoever sent
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        await stop(self._producer)

    async def _end_soon(self) -> None:
        began_s = time.monotonic()
        sent_before = -1
        while len(self._sent) > sent_before and time.monotonic() - began_s < GATHER_MOST_S:
            sent_before = len(self._sent)
            await asyncio.sleep(GATHER_S)
        async with self._turn:
            if self._failed is None:
                try:
                    async with asyncio.timeout(COMMIT_S):
                        await self._producer.commit_transaction()
                except Exception as error:  # also assertions of the client, in a state of error
                    self._fail(error)
            sent, self._sent, self._ending = self._sent, [], None
        for stored, safe in sent:
            if safe.done():
                continue
            if self._failed is not None:
                safe.set_exception(self._failed)
            else:
                safe.set_result(stored.result())

    def _fail(self, error: Exception) -> Exception:
        errors = (error, *(_error_of(stored) for stored, _ in self._sent))
        fenced = any(isinstance(one, (*_FENCED, ProducerClosed)) for one in errors)
        if self._failed is not None:
            return self._failed
        if fenced:
            self._failed = LostDutyError(
                "another instance has taken over; this one ends, to start again as a standby"
            )
        else:
            self._failed = BrokerError(f"Kafka did not take records ({error!r})")
        log.warning("records were not written", error=repr(error), fenced=fenced)
        return self._failed

    def _raise_failed(self) -> None:
        if self._failed is not None:
            raise self._failed


async def start_fenced(clients: KafkaClients, name: str) -> FencedProducer:
    """Start the producer of a name. From then on Kafka refuses every earlier one of the name.

    Raises `KafkaError` or `TimeoutError` where Kafka does not answer.
    """
    producer = clients.producer(linger_ms=0, transactional_id=name)
    try:
        async with asyncio.timeout(START_S):
            await producer.start()
    except BaseException:
        await stop(producer)
        raise
    return FencedProducer(producer)


async def stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer; one whose broker is away, or that is fenced, is left after `CLOSE_S`."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        log.debug("a fenced producer was closed", error=repr(error))


def _retrieve(done: "asyncio.Future[Any]") -> None:
    """Mark an error as seen: it is raised where the next record is sent."""
    if not done.cancelled():
        done.exception()


def _error_of(done: "asyncio.Future[Any]") -> BaseException | None:
    return done.exception() if done.done() and not done.cancelled() else None
