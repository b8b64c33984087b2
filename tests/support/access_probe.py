"""Tries every topic as one user, by Kafka's own requests: one that reads and one that writes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tests.support.waiting import PATIENCE_S
from vpp_streams import clock
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.settings import Settings

DENIED = 29
"""Kafka's code of TOPIC_AUTHORIZATION_FAILED."""
ANSWERED = (0, 1)
"""Its codes for a request that was carried out: no error, and a log that begins later."""

NOT_YET = {3, 6}
"""Its codes for a topic or a leader that the broker does not know yet."""


class Probe:
    """What a user may do, as the broker answers it."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._client = admin._client  # noqa: SLF001 - it sends any request

    async def readable(self, names: Iterable[str]) -> set[str]:
        """The topics of these that a fetch is not denied for. Each other one is denied."""
        topics = [(name, [(0, 0, 1024)]) for name in names]
        return _allowed(await self._send(FetchRequest(1, 0, 1 << 20, 0, topics)))

    async def writable(self, names: Iterable[str]) -> set[str]:
        """The topics of these that a record is taken for. Each other one is denied."""
        topics = [(name, [(0, _batch())]) for name in names]
        return _allowed(await self._send(ProduceRequest(None, -1, 10_000, topics)))

    async def _send(self, request: Any) -> Any:
        """The answer, once every partition has a leader: shortly after its topic was created."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._client.send(self._client.get_random_node(), request)
                codes = {row[1] for _, rows in answer.topics for row in rows}
                if not codes & NOT_YET:
                    return answer
                await asyncio.sleep(0.1)


@asynccontextmanager
async def probing(settings: Settings) -> AsyncIterator[Probe]:
    """A probe as the user of these settings."""
    async with administering(KafkaClients(settings)) as admin:
        yield Probe(admin)


def _allowed(answer: Any) -> set[str]:
    """Names of the topics without an error; an error other than a denial fails the test."""
    allowed = set()
    for name, partitions in answer.topics:
        for _, code, *_ in partitions:
            assert code in (*ANSWERED, DENIED), f"{name} answers with error {code}"
            if code in ANSWERED:
                allowed.add(name)
    return allowed


def _batch() -> bytes:
    """One record with a key: compacted topics take no other."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 4096)
    assert builder.append(0, clock.now_ms(), b"probe", b"{}", []) is not None
    return bytes(builder.build())
