"""Topics are created also while one of several brokers does not answer."""

from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError

from vpp_streams.errors import BrokerError
from vpp_streams.kafka import admin, topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings


class FlakyAdmin:
    """An admin client that reaches a broker which is away, for its first ``failures`` requests."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        self.failures -= 1
        if self.failures >= 0:
            raise NodeNotReadyError("node 3")
        return [topic.name for topic in topics.ALL]

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        by_name = {topic.name: topic for topic in topics.ALL}
        return [{"topic": n, "partitions": [0] * by_name[n].partitions} for n in names]


class Clients(KafkaClients):
    def __init__(self, failures: int) -> None:
        super().__init__(Settings())
        self._admin = FlakyAdmin(failures)

    def admin(self, request_timeout_ms: int = 0) -> Any:
        return self._admin


async def test_while_a_broker_is_away_another_attempt_is_made() -> None:
    assert await admin.check_topics(Clients(failures=2)) == set()


async def test_where_none_answers_it_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANOTHER_BROKER_S", 0.1)
    with pytest.raises(BrokerError, match="does not answer any more"):
        await admin.check_topics(Clients(failures=1000))
