"""Events on their way to Kafka: whoever waits for an answer gets one, good or bad."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.commands import CommandEvent
from vpp_streams.gateway import outbox as module
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.health import HealthReporter

EVENT = CommandEvent(device_id="d", command_id="c0-1", state="applied", at_ms=1)


class Producer:
    """Takes what it is given, unless told to fail; the test answers for Kafka."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.sent: list[asyncio.Future[Any]] = []
        self._failure = failure

    async def send(self, *_: Any, **__: Any) -> "asyncio.Future[Any]":
        if self._failure:
            raise self._failure
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


def outbox_on(producer: Producer) -> tuple[EventOutbox, HealthReporter]:
    health = HealthReporter("gateway")
    return EventOutbox(Outlet(producer, "n"), health), health


async def test_nobody_hears_before_kafka_has_it() -> None:
    producer = Producer()
    heard: list[bool] = []
    outbox, health = outbox_on(producer)
    outbox.add(0, EVENT, heard.append)
    outbox.add(0, EVENT)
    await outbox.flush()
    assert heard == []
    producer.sent[0].set_result(None)
    await asyncio.sleep(0)
    assert heard == [True]
    assert health.counters["command_events"] == 2


@pytest.mark.parametrize("refused", [True, False])
async def test_what_kafka_does_not_take_is_told_so(refused: bool) -> None:
    producer = Producer(KafkaTimeoutError() if refused else None)
    heard: list[bool] = []
    outbox, health = outbox_on(producer)
    outbox.add(0, EVENT, heard.append)
    await outbox.flush()
    if not refused:
        producer.sent[0].set_exception(KafkaTimeoutError())
        await asyncio.sleep(0)
    assert heard == [False]
    assert health.counters["command_events_dropped"] == 1


async def test_what_there_is_no_room_for_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    outbox, health = outbox_on(Producer())
    heard: list[bool] = []
    outbox.add(0, EVENT, heard.append)
    outbox.add(0, EVENT, heard.append)
    assert heard == [False]
    assert health.counters["command_events_dropped"] == 1
