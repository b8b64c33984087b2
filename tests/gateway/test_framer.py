"""Frames: what is gathered together, what Kafka's answers do, and when to stop taking more in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, OutOfOrderSequenceNumber

from schemas.raw_frames import decode_raw
from tests.support.compiled_kernels import compiled
from tests.support.gateway_session import at, live_session, produced, reading
from vpp_streams.errors import BrokerError
from vpp_streams.gateway.actions import LiveReceipt, Produce
from vpp_streams.gateway.framer import Framer
from vpp_streams.gateway.gathering import MAX_FRAME_BYTES
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet


class Kafka:
    """A producer whose answers the test gives."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[tuple[str, int, bytes, asyncio.Future[None]]] = asyncio.Queue()
        self.refuses: KafkaError | None = None

    async def send(
        self, topic: str, value: bytes, *, key: None, partition: int, headers: Any
    ) -> asyncio.Future[None]:
        if self.refuses:
            raise self.refuses
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.put_nowait((topic, partition, value, future))
        return future


def lines(partition: int, text: bytes) -> Produce:
    """Lines of a device whose name has one letter."""
    return Produce(topics.RAW_SOLAR, partition, "d", text, LiveReceipt("1", 1))


@asynccontextmanager
async def framer_on(kafka: Kafka, flush_ms: int = 1) -> AsyncIterator[Framer]:
    framer = Framer(Outlet(kafka, "ns"), "gateway-test", flush_ms, Counter())
    task = asyncio.create_task(framer.run())
    yield framer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_lines_of_a_partition_share_a_frame_in_order() -> None:
    kafka = Kafka()
    async with framer_on(kafka) as framer:
        answers: list[str] = []
        framer.add(lines(1, b"a"), lambda ok: answers.append(f"a {ok}"))
        framer.add(lines(2, b"x"), lambda ok: answers.append(f"x {ok}"))
        framer.add(lines(1, b"b"), lambda ok: answers.append(f"b {ok}"))
        topic, partition, value, first = await kafka.sent.get()
        assert (topic, partition, value) == ("ns.raw.solar", 1, b"a\nb")
        *_, value, second = await kafka.sent.get()
        assert value == b"x"
        assert answers == []
        second.set_exception(KafkaTimeoutError())
        first.set_result(None)
        assert await framer.finish(timeout_s=60)
        assert sorted(answers) == ["a True", "b True", "x False"]
        assert framer.in_flight_bytes == 0


async def test_a_full_frame_does_not_wait() -> None:
    kafka = Kafka()
    line = b"x" * (MAX_FRAME_BYTES // 4)
    async with framer_on(kafka, flush_ms=5_000_000) as framer:
        for _ in range(4):
            framer.add(lines(1, line), lambda ok: None)
        assert kafka.sent.empty()
        framer.add(lines(2, b"other"), lambda ok: None)
        framer.add(lines(1, b"last"), lambda ok: None)
        _, partition, full, _ = await kafka.sent.get()
        assert partition == 1
        await asyncio.sleep(0)
        assert kafka.sent.empty()  # those that are not full are gathered on
        assert not await framer.finish(timeout_s=0)
        *_, rest, _ = await kafka.sent.get()
        assert (await kafka.sent.get())[2] == b"other"
        assert (full + b"\n" + rest).split(b"\n") == [line] * 4 + [b"last"]
        assert len(full) <= MAX_FRAME_BYTES


async def test_rows_leave_before_lines_and_each_is_answered_for_alone() -> None:
    kafka = Kafka()
    async with framer_on(kafka) as framer:
        answers: list[str] = []
        (row,) = produced(live_session().receive(reading(10, soc=0.5), at(40)))
        compiled()
        framer.add(lines(3, b"line"), lambda ok: answers.append(f"line {ok}"))
        framer.add(row, lambda ok: answers.append(f"row {ok}"))
        *_, columns, first = await kafka.sent.get()
        *_, text, second = await kafka.sent.get()
        assert decode_raw(columns).column("seq").to_pylist() == [10]
        assert text == b"line"
        first.set_exception(KafkaTimeoutError())
        second.set_result(None)
        assert await framer.finish(timeout_s=60)
        assert sorted(answers) == ["line True", "row False"]
        assert framer.in_flight_bytes == 0


async def test_no_answer_means_no_room_and_a_refusal_is_an_answer() -> None:
    kafka = Kafka()
    async with framer_on(kafka) as framer:
        framer.max_in_flight_bytes = 10
        answers: list[bool] = []
        framer.add(lines(1, b"0123456789"), answers.append)
        assert not framer.room.is_set()
        assert not await framer.finish(timeout_s=0)
        *_, future = await kafka.sent.get()
        future.set_result(None)
        await framer.room.wait()
        kafka.refuses = KafkaTimeoutError()
        framer.add(lines(1, b"0123456789"), answers.append)
        await framer.room.wait()
        assert answers == [True, False]


async def test_one_sessions_bug_keeps_no_answer_from_the_others() -> None:
    kafka = Kafka()
    async with framer_on(kafka) as framer:
        answers: list[bool] = []

        def bug(ok: bool) -> None:
            raise RuntimeError("a bug")

        framer.add(lines(1, b"a"), bug)
        framer.add(lines(1, b"b"), answers.append)
        *_, future = await kafka.sent.get()
        future.set_result(None)
        assert await framer.finish(timeout_s=60)
        assert answers == [True]


async def test_a_producer_that_takes_nothing_any_more_ends_the_gateway() -> None:
    kafka = Kafka()
    kafka.refuses = OutOfOrderSequenceNumber()
    framer = Framer(Outlet(kafka, "ns"), "gateway-test", 1, Counter())
    answers: list[bool] = []
    framer.add(lines(1, b"a"), answers.append)
    with pytest.raises(BrokerError, match="OutOfOrderSequenceNumber"):
        await framer.run()
    assert answers == [False]


async def test_a_record_that_kafka_misses_ends_the_gateway() -> None:
    """It came back from a kill without it, and refused all readings of 222 devices for ever."""
    kafka = Kafka()
    framer = Framer(Outlet(kafka, "ns"), "gateway-test", 1, Counter())
    answers: list[bool] = []
    running = asyncio.create_task(framer.run())
    framer.add(lines(1, b"a"), answers.append)
    *_, future = await kafka.sent.get()
    future.set_exception(OutOfOrderSequenceNumber())
    async with asyncio.timeout(60):
        with pytest.raises(BrokerError, match="OutOfOrderSequenceNumber"):
            await running
    assert answers == [False]
