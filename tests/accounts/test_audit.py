"""The audit trail: kept until Kafka has it, in bounds, and never with control characters."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.web_world import KafkaInMemory
from vpp_streams.accounts import audit as module
from vpp_streams.accounts.audit import Audit
from vpp_streams.accounts.store import Store
from vpp_streams.cli.screens.audit_lines import line_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.audit_trail import publish_waiting


def note(audit: Audit, at_ms: int = 0, who: str = "ann", detail: str = "") -> None:
    audit.note(at_ms, who=who, how="cli", action="hold", result="done", detail=detail)


async def test_events_are_published_once_in_order_and_an_outage_loses_none() -> None:
    audit, kafka = Audit(Store(None)), KafkaInMemory()
    for number in range(3):
        note(audit, number, f"user-{number}")

    async def fail(*_: object) -> None:
        raise TimeoutError

    works = kafka.write
    kafka.write = fail  # type: ignore[method-assign, assignment]  # Kafka is away
    with pytest.raises(TimeoutError):
        await publish_waiting(audit, kafka)
    kafka.write = works  # type: ignore[method-assign]  # and back
    assert await publish_waiting(audit, kafka) == 3
    assert await publish_waiting(audit, kafka) == 0
    written: list[tuple[Topic, bytes, bytes]] = kafka.written
    assert [topic for topic, _, _ in written] == [topics.AUDIT] * 3
    assert [f"user-{n}".encode() in value for n, (_, _, value) in enumerate(written)] == [True] * 3


def test_what_waits_is_bounded_and_a_loss_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    counters: Counter[str] = Counter()
    audit = Audit(Store(None), counters)
    for number in range(8):
        note(audit, number)
    assert [event.at_ms for event in audit.waiting()] == [3, 4, 5, 6, 7]
    assert counters["audit_dropped"] == 3


@given(st.text(max_size=300), st.text(max_size=3000))
def test_whatever_a_client_calls_itself_is_one_line(who: str, detail: str) -> None:
    audit = Audit(Store(None))
    note(audit, who=who, detail=detail)
    [event] = audit.waiting()
    assert line_of(event).isprintable()
