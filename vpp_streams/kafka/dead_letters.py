"""Writes refused records to topic ``records.rejected``: each once, with reason and bytes.

The id of a dead letter is that of its record, so a process that is started again, or a second one
that reads the same topic, would write the same letter. Before its first one, a process reads which
exist already; where two race, the topic is compacted by id and readers count ids.
"""

import asyncio
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from schemas.bounds import MAX_TIME_MS
from schemas.rejected import MAX_KEPT_BYTES, MAX_KEPT_KEY_BYTES, RejectedRecord
from vpp_streams import clock
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.decode import RawRecord, Refusal
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.ranges import records_since
from vpp_streams.kafka.topic import Topic

log = structlog.get_logger()

MAX_WAITING = 1000
"""Most dead letters that wait for Kafka; further ones are counted and dropped."""
MAX_KNOWN = 100_000
"""Most ids of refused records that are remembered; the oldest are forgotten."""
RETRY_S = 5.0
REFUSED_OF = "rejected:"
"""Prefix of a counter's name; the topic's name, ``:`` and the reason follow."""


class DeadLetters:
    """Collects refused records; `run` writes them. A process that only reads does not run it."""

    def __init__(
        self,
        process_id: str,
        counters: Counter[str],
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._process_id = process_id
        self._counters = counters
        self._now_ms = now_ms
        self._waiting: deque[RejectedRecord] = deque()
        self._known: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def refuse(self, topic: Topic[Any], raw: RawRecord, refusal: Refusal) -> None:
        """Count and log a refused record, and keep its dead letter for `run`. Never raises."""
        letter = dead_letter(topic, raw, refusal, self._process_id, self._now_ms())
        if letter.rejected_id in self._known:
            return
        self._counters["records_rejected"] += 1
        self._counters[f"{REFUSED_OF}{topic.name}:{refusal.reason}"] += 1
        log.warning(
            "a record was refused",
            id=letter.rejected_id,
            reason=refusal.reason,
            detail=refusal.detail,
        )
        if len(self._waiting) >= MAX_WAITING:
            self._counters["dead_letters_dropped"] += 1
            return
        self._remember(letter.rejected_id)
        self._waiting.append(letter)
        self._idle.clear()
        self._wake.set()

    async def run(self, clients: KafkaClients) -> None:
        """Write refused records until cancelled; opens no Kafka client before the first one."""
        while True:
            await self._wake.wait()
            try:
                existing = await _written(clients)
                async with producing(clients) as producer:
                    outlet = Outlet(producer, clients.settings.namespace)
                    while True:
                        await self._wake.wait()
                        self._wake.clear()
                        await self._write(outlet, existing)
            except (KafkaError, BrokerError) as error:
                log.warning("dead letters wait for Kafka", count=self.waiting, error=repr(error))
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def settled(self) -> None:
        """Return once no dead letter waits; `run` must be running."""
        await self._idle.wait()

    @property
    def waiting(self) -> int:
        """Number of dead letters that Kafka does not have yet."""
        return len(self._waiting)

    async def _write(self, outlet: Outlet, existing: set[str]) -> None:
        while self._waiting:
            letter = self._waiting[0]
            if letter.rejected_id not in existing:
                await outlet.write(topics.RECORDS_REJECTED, letter)
                self._counters["dead_letters"] += 1
            self._waiting.popleft()
        self._idle.set()

    def _remember(self, id_: str) -> None:
        self._known[id_] = None
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


async def _written(clients: KafkaClients) -> set[str]:
    """Ids of the dead letters in the topic."""
    letters = records_since(clients, topics.RECORDS_REJECTED, 0)
    return {read.record.rejected_id async for read in letters}


def dead_letter(
    topic: Topic[Any], raw: RawRecord, refusal: Refusal, process_id: str, now_ms: int
) -> RejectedRecord:
    """The dead letter of a refused record."""
    value = raw.value or b""
    return RejectedRecord(
        rejected_id=f"{topic.name}-{raw.partition}-{raw.offset}",
        source_topic=topic.name,
        source_partition=raw.partition,
        source_offset=raw.offset,
        written_at_ms=min(max(raw.timestamp, 0), MAX_TIME_MS),
        reason=refusal.reason,
        detail=refusal.detail,
        process=process_id,
        at_ms=now_ms,
        size=len(value),
        key_base64=b64encode((raw.key or b"")[:MAX_KEPT_KEY_BYTES]).decode(),
        original_base64=b64encode(value[:MAX_KEPT_BYTES]).decode(),
    )
