"""The simulated Kafka and its clients do as a real broker and aiokafka do: the same steps against
both give the same answers."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.structs import OffsetAndMetadata

from tests.simulation.clients import Client, SimConsumer
from tests.simulation.producer import SimProducer
from tests.simulation.world import T0_MS, World
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.settings import Settings

Answers = list[Any]
HOUR_MS = 3_600_000


class Real:
    """A broker that is one."""

    def __init__(self, settings: Settings) -> None:
        self.clients = KafkaClients(settings)
        self.topic = f"{settings.namespace}.conformance-{uuid.uuid4().hex[:6]}"
        # A broker may delete records of years ago at any moment: their retention is over.
        self.now_ms = time.time_ns() // 1_000_000

    def consumer(self, **options: Any) -> Any:
        return self.clients.consumer(**options)

    def producer(self, transactional_id: str | None = None) -> Any:
        return self.clients.producer(transactional_id=transactional_id)

    async def create(self) -> None:
        async with administering(self.clients) as admin:
            while True:
                answer = await admin.create_topics([NewTopic(self.topic, 1, 1)])
                described = await admin.describe_topics([self.topic])
                if answer.topic_errors[0][1] in (0, 36) and described[0]["partitions"]:
                    return
                await asyncio.sleep(0.1)

    async def delete(self) -> None:
        async with administering(self.clients) as admin:
            await admin.delete_topics([self.topic])
            while self.topic in await admin.list_topics():  # noqa: ASYNC110 - the broker's word
                await asyncio.sleep(0.1)


class Simulated:
    """A broker that is none."""

    def __init__(self, world: World) -> None:
        self.kafka = world.kafka
        Client.kafka = world.kafka
        self.topic = "conformance"
        self.now_ms = T0_MS

    def consumer(self, **options: Any) -> Any:
        return SimConsumer(**{"auto_offset_reset": "earliest", **options})

    def producer(self, transactional_id: str | None = None) -> Any:
        return SimProducer(transactional_id=transactional_id, enable_idempotence=True, linger_ms=5)

    async def create(self) -> None:
        self.kafka.create(self.topic, 1)

    async def delete(self) -> None:
        self.kafka.delete(self.topic)


Kafka = Real | Simulated


async def outcome(work: Awaitable[Any]) -> str:
    """Name of what it raises; ``ok`` where it raises nothing, ``late`` where it does not end."""
    try:
        await asyncio.wait_for(work, 10)
    except TimeoutError:
        return "late"
    except Exception as error:
        return type(error).__name__
    return "ok"


async def send(kafka: Kafka, producer: Any, value: str, at_ms: int | None = None) -> int:
    sent = await producer.send_and_wait(
        kafka.topic, value.encode(), key=b"k", partition=0, timestamp_ms=at_ms
    )
    return int(sent.offset)


async def values(consumer: Any, **options: Any) -> list[str]:
    """All that is there for this consumer, from where it stands."""
    (tp,) = consumer.assignment()
    end = (await consumer.end_offsets([tp]))[tp]
    found: list[str] = []
    while await consumer.position(tp) < end:
        records = await consumer.getmany(timeout_ms=1500, **options)
        found += [r.value.decode() for batch in records.values() for r in batch]
    return found


async def ends_of_the_log(kafka: Kafka) -> Answers:
    tp = TopicPartition(kafka.topic, 0)
    answers: Answers = []
    async with kafka.producer() as producer, kafka.consumer() as consumer:
        consumer.assign([tp])
        answers.append(await consumer.end_offsets([tp]) == {tp: 0})
        answers.append((await consumer.offsets_for_times({tp: 0}))[tp])
        for i in range(3):
            answers.append(await send(kafka, producer, str(i), kafka.now_ms + 1000 * i))
        answers.append((await consumer.beginning_offsets([tp]))[tp])
        answers.append((await consumer.end_offsets([tp]))[tp])
        for after_ms in (-5000, 0, 1, 2000, 2001):
            found = await consumer.offsets_for_times({tp: kafka.now_ms + after_ms})
            answers.append(found[tp] and (found[tp].offset, found[tp].timestamp - kafka.now_ms))
        answers.append(await consumer.position(tp))
        answers.append(await values(consumer, max_records=2))
        answers.append([await consumer.position(tp), consumer.highwater(tp)])
        consumer.seek(tp, 1)
        answers.append([await consumer.position(tp), (await consumer.getone()).value.decode()])
        await consumer.seek_to_end(tp)
        answers.append([await consumer.position(tp), await values(consumer)])
        await consumer.seek_to_beginning(tp)
        answers.append([await consumer.position(tp), await values(consumer)])
        answers.append(await outcome(consumer.position(TopicPartition(kafka.topic, 7))))
        answers.append(await outcome(send(kafka, producer, "late", kafka.now_ms + 10**12)))
    return answers


async def ended_in_the_log(kafka: Kafka) -> None:
    """Wait for the end of a transaction: the coordinator answers before the log has it."""
    tp = TopicPartition(kafka.topic, 0)
    async with (
        kafka.consumer(isolation_level="read_committed") as committed,
        kafka.consumer() as everything,
    ):
        async with asyncio.timeout(60):
            while await committed.end_offsets([tp]) != await everything.end_offsets([tp]):  # noqa: ASYNC110 - the broker's word
                await asyncio.sleep(0.05)


async def transactions(kafka: Kafka) -> Answers:
    tp = TopicPartition(kafka.topic, 0)
    answers: Answers = []

    async def seen() -> None:
        for level in ("read_committed", "read_uncommitted"):
            async with kafka.consumer(isolation_level=level) as consumer:
                consumer.assign([tp])
                ends = await consumer.end_offsets([tp])
                times = (await consumer.offsets_for_times({tp: kafka.now_ms}))[tp]
                found = await values(consumer)
                answers.append([ends[tp], times and times.offset, found])
                answers.append(await consumer.position(tp))

    name = f"{kafka.topic}-writer"
    async with kafka.producer(name) as producer, kafka.producer() as other:
        answers.append(await outcome(send(kafka, producer, "outside", kafka.now_ms)))
        await producer.begin_transaction()
        for i in range(2):
            await send(kafka, producer, f"aborted-{i}", kafka.now_ms + i)
        answers.append(await send(kafka, other, "plain", kafka.now_ms + 5))
        await seen()
        await producer.abort_transaction()
        await ended_in_the_log(kafka)
        await seen()
        await producer.begin_transaction()
        await producer.commit_transaction()  # of nothing
        await producer.begin_transaction()
        answers.append(await send(kafka, producer, "committed", kafka.now_ms + 9))
        await producer.commit_transaction()
        await ended_in_the_log(kafka)
        await seen()
    return answers


async def fences(kafka: Kafka) -> Answers:
    answers: Answers = []
    name = f"{kafka.topic}-writer"
    async with kafka.producer(name) as first:
        await first.begin_transaction()
        await send(kafka, first, "first", kafka.now_ms)
        async with kafka.producer(name) as second:
            answers.append(await outcome(send(kafka, first, "late", kafka.now_ms)))
            answers.append(await outcome(first.commit_transaction()))
            answers.append(await outcome(send(kafka, first, "later", kafka.now_ms)))
            await second.begin_transaction()
            answers.append(await send(kafka, second, "second", kafka.now_ms))
            await second.commit_transaction()
    async with kafka.producer(name) as third, kafka.producer(name) as fourth:
        await third.begin_transaction()  # it does not know yet
        answers.append(await outcome(send(kafka, third, "third", kafka.now_ms)))
        answers.append(await outcome(third.commit_transaction()))
        async with fourth.transaction():
            answers.append(await send(kafka, fourth, "fourth", kafka.now_ms))
    async with kafka.producer(name) as fifth:
        await fifth.begin_transaction()
        await send(kafka, fifth, "fifth", kafka.now_ms)
        async with kafka.producer(name):
            answers.append(await outcome(fifth.commit_transaction()))
            answers.append(await outcome(fifth.begin_transaction()))
    tp = TopicPartition(kafka.topic, 0)
    await ended_in_the_log(kafka)
    async with kafka.consumer(isolation_level="read_committed") as consumer:
        consumer.assign([tp])
        answers.append([await values(consumer), await consumer.position(tp)])
    return answers


async def recreated(kafka: Kafka) -> Answers:
    tp = TopicPartition(kafka.topic, 0)
    answers: Answers = []
    async with (
        kafka.producer() as producer,
        kafka.consumer(auto_offset_reset="none") as strict,
        kafka.consumer() as lenient,
    ):
        for i in range(3):
            await send(kafka, producer, f"old-{i}", kafka.now_ms)
        for consumer in (strict, lenient):
            consumer.assign([tp])
            consumer.seek(tp, 0)
            answers.append(await values(consumer))
        await kafka.delete()
        await kafka.create()
        async with kafka.producer() as new:
            answers.append(await send(kafka, new, "new", kafka.now_ms))
        answers.append(await outcome(_one(strict)))
        answers.append(await outcome(_one(lenient)))
        answers.append((await strict.end_offsets([tp]))[tp])
        strict.seek(tp, 0)
        answers.append(await values(strict))
    return answers


async def _one(consumer: Any) -> None:
    while not await consumer.getmany(timeout_ms=500):
        pass


CASES = [ends_of_the_log, transactions, fences, recreated]


def simulated(case: Callable[[Kafka], Awaitable[Answers]], seed: int = 1) -> Answers:
    world = World(seed)

    async def run() -> Answers:
        kafka = Simulated(world)
        await kafka.create()
        return await case(kafka)

    try:
        return world.loop.run_until_complete(run())
    finally:
        world.loop.dispose()


@pytest.mark.kafka
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_real_and_simulated_broker_answer_alike(
    case: Callable[[Kafka], Awaitable[Answers]], settings: Settings
) -> None:
    real = Real(settings)
    await real.create()
    expected = await case(real)
    found = await asyncio.to_thread(simulated, case)
    assert found == expected


def test_committed_offsets_are_those_of_the_group() -> None:
    world = World(1)
    tp = TopicPartition("t", 0)
    groups = world.kafka.groups

    async def run() -> None:
        share = await world.kafka.join("g", "one", 2, 10.0)
        assert share == (1, (0, 1))
        groups.commit("g", "one", 1, {tp: OffsetAndMetadata(5, "")})
        second = world.loop.spawn(world.loop.outside, world.kafka.join("g", "two", 2, 10.0))
        await asyncio.sleep(1)
        assert not second.done()  # it waits until the first has joined again
        assert await world.kafka.join("g", "one", 2, 10.0) == (2, (0,))
        assert await second == (2, (1,))
        assert await outcome(_commit(groups, "one", 1, tp)) == "IllegalGenerationError"
        assert await outcome(_commit(groups, "three", 2, tp)) == "UnknownMemberIdError"
        assert groups.committed("g", [tp]) == {tp: 5}
        await asyncio.sleep(11)  # nobody says anything: both are put out
        assert await outcome(_commit(groups, "one", 2, tp)) == "UnknownMemberIdError"

    try:
        world.loop.run_until_complete(run())
    finally:
        world.loop.dispose()


async def _commit(groups: Any, member: str, generation: int, tp: TopicPartition) -> None:
    groups.commit("g", member, generation, {tp: OffsetAndMetadata(9, "")})
