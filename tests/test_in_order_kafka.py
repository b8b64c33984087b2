"""What a takeover drops comes back, also where nothing comes after it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from agents import in_order
from agents.in_order import InOrder
from tests.kafka_world import PATIENCE_S
from vpp_streams import topics
from vpp_streams.kafka import new_producer
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


class FaustThatDrops:
    """An app whose consumer reads a log to its end and hands its agents nothing."""

    def __init__(self, tp: TopicPartition, end: int, group: str) -> None:
        self.conf = SimpleNamespace(id=group)
        self.tables = SimpleNamespace(changelog_topics=set())
        self.on_partitions_revoked = SimpleNamespace(connect=lambda *_, **__: None)
        self.should_stop = False
        self.sought: asyncio.Queue[dict[TopicPartition, int]] = asyncio.Queue()
        self.consumer = SimpleNamespace(
            assignment=lambda: {tp},
            highwater=lambda _: end,
            pause_partitions=lambda _: None,
            resume_partitions=lambda _: None,
            seek_wait=self.sought.put,
        )
        self.tasks: list[Any] = []
        self.task = self.tasks.append


@pytest.mark.parametrize("records", [0, 2])
async def test_records_that_were_passed_over_are_gone_back_to(
    topics_ready: Settings, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    monkeypatch.setattr(in_order, "WATCH_S", 0.01)
    topic = topics.REGION_PARTIALS.full(topics_ready.namespace)
    producer = new_producer(topics_ready)
    await producer.start()
    try:
        for _ in range(records):
            await producer.send_and_wait(topic, b"{}", partition=0)
    finally:
        await producer.stop()
    app = FaustThatDrops(TopicPartition(topic, 0), records, f"{topics_ready.namespace}.nobody")
    looks = 0

    def ready() -> bool:
        nonlocal looks
        looks += 1
        app.should_stop = looks >= 5
        return True

    InOrder(app, topics_ready, ready)  # type: ignore[arg-type]  # a stand-in
    watch = next(task for task in app.tasks if task.__name__ == "_watch_for_ever")
    async with asyncio.timeout(PATIENCE_S):
        await watch()
    gone_back = [app.sought.get_nowait() for _ in range(app.sought.qsize())]
    assert gone_back == ([{TopicPartition(topic, 0): 0}] if records else [])
