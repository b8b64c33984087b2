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
        return described(names)


def described(names: list[str], code: int = 0, leader: int = 1) -> list[dict[str, Any]]:
    """What a broker says of topics; the names that another error came with have no partitions."""
    by_name = {topic.name: topic for topic in topics.ALL}
    return [
        {
            "topic": name,
            "error_code": code,
            "partitions": [{"leader": leader}] * (0 if code else by_name[name].partitions),
        }
        for name in names
    ]


class LateAdmin(FlakyAdmin):
    """An admin client of several brokers, of which some have not heard of the topics yet."""

    def __init__(self, answers: list[tuple[int, int]]) -> None:
        super().__init__(failures=0)
        self.answers = answers

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return described(names, *self.answers.pop(0)) if self.answers else described(names)


class Clients(KafkaClients):
    def __init__(self, admin_client: FlakyAdmin) -> None:
        super().__init__(Settings())
        self._admin = admin_client

    def admin(self, request_timeout_ms: int = 0) -> Any:
        return self._admin


async def test_while_a_broker_is_away_another_attempt_is_made() -> None:
    assert await admin.check_topics(Clients(FlakyAdmin(failures=2))) == set()


async def test_where_none_answers_it_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANOTHER_BROKER_S", 0.1)
    with pytest.raises(BrokerError, match="does not answer any more"):
        await admin.check_topics(Clients(FlakyAdmin(failures=1000)))


UNKNOWN, NO_LEADER_YET, DENIED = (3, 1), (0, -1), (29, 1)


async def test_a_broker_that_has_not_heard_of_a_topic_yet_is_asked_again() -> None:
    late = LateAdmin([UNKNOWN, NO_LEADER_YET, UNKNOWN])
    assert await admin.check_topics(Clients(late)) == set()
    assert not late.answers


async def test_topics_without_a_leader_end_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "LEADERS_WAIT_S", 0.1)
    with pytest.raises(BrokerError, match="have no leader after"):
        await admin.check_topics(Clients(LateAdmin([NO_LEADER_YET] * 1000)))


async def test_a_topic_that_may_not_be_described_is_named_at_once() -> None:
    with pytest.raises(BrokerError, match="TopicAuthorizationFailed"):
        await admin.check_topics(Clients(LateAdmin([DENIED])))
