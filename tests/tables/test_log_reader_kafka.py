"""The log as its reader stands in it: once and in order, and never another log unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete

from tables import log_reader
from tables.echoes import Echoes
from tables.log_reader import LogReader, Position, Records, mark_of
from tests.support.kafka_world import make_again
from tests.support.telemetry_factory import make_batch
from tests.support.waiting import PATIENCE_S
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, administering, producing
from vpp_streams.kafka.echo import Echo, EchoedRecord
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


class Reading:
    """A reader of one partition, and what it handed over."""

    def __init__(self, clients: KafkaClients, echoes: Echoes | None = None) -> None:
        self.clients = clients
        self.tp = TopicPartition(clients.full(topics.TELEMETRY), 0)
        self.received: list[ConsumerRecord] = []
        self.replaced = 0
        self.reader = LogReader(clients, self._deliver, echoes=echoes)
        self._more = asyncio.Condition()
        self.hold = asyncio.Event()
        """Cleared: the reader waits in the next delivery."""
        self.hold.set()

    async def _deliver(self, records: Records) -> None:
        async with self._more:
            self.replaced += records.replaced
            self.received += records.records
            self._more.notify_all()
        await self.hold.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(condition)

    def values(self) -> list[bytes]:
        return [record.value for record in self.received]

    async def write(self, *values: bytes) -> None:
        async with producing(self.clients) as producer:
            for value in values:
                await producer.send_and_wait(self.tp.topic, value, partition=0)

    async def make_again(self) -> None:
        """Delete the topic and create it anew."""
        await make_again(self.clients.settings, topics.TELEMETRY)


@asynccontextmanager
async def reading(
    settings: Settings, position: Position | None, echoes: Echoes | None = None
) -> AsyncIterator[Reading]:
    found = Reading(KafkaClients(settings), echoes)
    if position is not None:
        found.reader.read({found.tp: position})
    work = asyncio.create_task(found.reader.run())
    try:
        yield found
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def standing_at(settings: Settings, *values: bytes) -> Position:
    """Write these, and stand after them."""
    async with reading(settings, Position()) as first:
        await first.write(*values)
        await first.until(lambda: len(first.received) == len(values))
        return Position(len(values), mark_of(first.received[-1]))


async def test_a_reader_goes_on_where_the_state_stands(topics_ready: Settings) -> None:
    position = await standing_at(topics_ready, b"a", b"b")
    async with reading(topics_ready, position) as second:
        await second.write(b"c", b"d")
        await second.until(lambda: len(second.received) == 2)
        assert second.values() == [b"c", b"d"]
        assert (second.replaced, second.reader.missing) == (0, 0)


async def test_a_topic_made_again_is_read_from_its_beginning(topics_ready: Settings) -> None:
    """K5: all was dropped as repeats until the old offset was passed."""
    position = await standing_at(topics_ready, b"a", b"b", b"c")
    async with reading(topics_ready, None) as second:
        await second.make_again()
        await second.write(b"v", b"w", b"x", b"y", b"z")
        second.reader.read({second.tp: position})
        await second.until(lambda: len(second.received) == 5)
        assert second.values() == [b"v", b"w", b"x", b"y", b"z"]
        assert second.replaced == second.reader.replaced_logs == 1


async def test_a_log_that_was_cut_back_is_read_from_its_beginning(topics_ready: Settings) -> None:
    position = await standing_at(topics_ready, b"a", b"b", b"c")
    async with reading(topics_ready, None) as second:
        await second.make_again()
        await second.write(b"v")
        second.reader.read({second.tp: position})
        await second.until(lambda: len(second.received) == 1)
        assert (second.values(), second.replaced) == ([b"v"], 1)


async def test_a_topic_made_again_while_it_is_read(topics_ready: Settings) -> None:
    async with reading(topics_ready, Position()) as one:
        await one.write(b"a", b"b", b"c")
        await one.until(lambda: len(one.received) == 3)
        await one.make_again()
        await one.write(b"v", b"w")
        await one.until(lambda: len(one.received) == 5)
        assert (one.values()[3:], one.replaced) == ([b"v", b"w"], 1)


async def test_a_topic_made_again_with_more_records_than_were_read(
    topics_ready: Settings,
) -> None:
    """No offset shows it: the new log has a record wherever the reader looks for its next one."""
    async with reading(topics_ready, Position()) as one:
        await one.write(b"a", b"b")
        await one.until(lambda: len(one.received) == 2)
        one.hold.clear()
        await one.write(b"c")
        await one.until(lambda: len(one.received) == 3)
        await one.make_again()
        await one.write(b"v", b"w", b"x", b"y", b"z")
        one.hold.set()
        await one.until(lambda: one.values()[-5:] == [b"v", b"w", b"x", b"y", b"z"])
        assert one.replaced == one.reader.replaced_logs == 1


async def test_records_removed_under_a_stopped_reader_are_counted(topics_ready: Settings) -> None:
    """K13: only coverage showed it."""
    position = await standing_at(topics_ready, b"a", b"b")
    async with reading(topics_ready, None) as second:
        await second.write(b"c", b"d", b"e")
        async with administering(second.clients) as admin:
            await admin.delete_records({second.tp: RecordsToDelete(before_offset=4)})
        second.reader.read({second.tp: position})
        await second.until(lambda: len(second.received) == 1)
        assert (second.values(), second.reader.missing, second.replaced) == ([b"e"], 2, 0)


async def test_what_was_not_taken_is_read_again(topics_ready: Settings) -> None:
    async with reading(topics_ready, Position()) as one:
        await one.write(b"a", b"b", b"c")
        await one.until(lambda: len(one.received) == 3)
        one.reader.go_back(one.tp, Position(1))
        await one.until(lambda: len(one.received) == 5)
        assert one.values() == [b"a", b"b", b"c", b"b", b"c"]


FRAMES = [
    make_batch(
        [
            {
                "device_id": "pw",
                "site_id": "home",
                "seq": seq,
                "measured_at_ms": seq,
                "received_at_ms": seq,
                "battery_w": 1.0,
            }
        ]
    )
    for seq in range(6)
]


class Ours:
    """A writer whose records are echoed to its own reader."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings, echoes: Echoes) -> None:
        echo = Echo(topics.TELEMETRY, echoes.take)
        self._outlet = Outlet(producer, settings.namespace, echo)

    async def write(self, seq: int) -> None:
        await (await self._outlet.send(topics.TELEMETRY, FRAMES[seq], partition=0))


def is_echoed(records: list[ConsumerRecord]) -> list[bool]:
    return [isinstance(record, EchoedRecord) for record in records]


async def test_what_we_wrote_is_handed_over_as_it_would_be_read(topics_ready: Settings) -> None:
    echoes = Echoes()
    async with producing(KafkaClients(topics_ready)) as producer:
        ours = Ours(producer, topics_ready, echoes)
        async with reading(topics_ready, Position(), echoes) as one:
            await ours.write(0)
            await one.until(lambda: len(one.received) == 1)  # the first may be fetched
            for seq in (1, 2, 3):
                await ours.write(seq)
            await one.until(lambda: len(one.received) == 4)
            assert is_echoed(one.received[2:]) == [True, True]
            assert one.received[3].content is FRAMES[3]
        async with reading(topics_ready, Position()) as other:
            await other.until(lambda: len(other.received) == 4)
            for echoed, fetched in zip(one.received, other.received, strict=True):
                assert (echoed.offset, echoed.value) == (fetched.offset, fetched.value)
                assert mark_of(echoed) == mark_of(fetched)


async def test_what_others_wrote_in_between_is_fetched_in_its_place(topics_ready: Settings) -> None:
    echoes = Echoes()
    async with producing(KafkaClients(topics_ready)) as producer:
        ours = Ours(producer, topics_ready, echoes)
        async with reading(topics_ready, Position(), echoes) as one:
            for seq in (0, 1, 2):
                await ours.write(seq)
            await one.until(lambda: len(one.received) == 3)
            await one.write(b"of another worker")
            await ours.write(3)
            await one.until(lambda: len(one.received) == 5)
            assert [record.offset for record in one.received] == [0, 1, 2, 3, 4]
            assert one.received[3].value == b"of another worker"
            assert one.reader.missing == 0
            for seq in (4, 5):
                await ours.write(seq)
            await one.until(lambda: len(one.received) == 7)
            assert [record.offset for record in one.received] == list(range(7))


async def test_where_the_state_stands_is_looked_up_before_anything_is_echoed(
    topics_ready: Settings,
) -> None:
    """The log was made again, and the worker writes where its state stands."""
    position = await standing_at(topics_ready, b"a", b"b")
    echoes = Echoes()
    async with producing(KafkaClients(topics_ready)) as producer:
        ours = Ours(producer, topics_ready, echoes)
        async with reading(topics_ready, None, echoes) as one:
            await one.make_again()
            await one.write(b"x", b"y")
            await ours.write(0)
            one.reader.read({one.tp: position})
            await one.until(lambda: len(one.received) == 3)
            assert one.replaced == 1
            assert one.values()[:2] == [b"x", b"y"]


async def test_a_log_that_is_cut_off_behind_what_was_echoed_begins_again(
    topics_ready: Settings,
) -> None:
    echoes = Echoes()
    clients = KafkaClients(topics_ready)
    async with reading(topics_ready, Position(), echoes) as one:
        async with producing(clients) as producer:
            for seq in (0, 1, 2):
                await Ours(producer, topics_ready, echoes).write(seq)
            await one.until(lambda: len(one.received) == 3)
        await one.make_again()
        async with producing(clients) as producer:
            await Ours(producer, topics_ready, echoes).write(3)
        await one.until(lambda: one.replaced == 1)
        assert one.received[3].offset == 0


async def test_a_partition_given_up_while_the_end_of_its_log_is_requested(
    topics_ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebalance came between the question and its answer."""
    echoes, given_up = Echoes(), asyncio.Event()
    end_offsets = AIOKafkaConsumer.end_offsets
    monkeypatch.setattr(log_reader, "LOOK_S", 0.01)
    async with producing(KafkaClients(topics_ready)) as producer:
        ours = Ours(producer, topics_ready, echoes)
        async with reading(topics_ready, Position(), echoes) as one:

            async def answer(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> Any:
                found = await end_offsets(consumer, partitions)
                if len(one.received) == 3 and one.tp in partitions:
                    one.reader.drop(one.tp)
                    given_up.set()
                return found

            monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", answer)
            for seq in (0, 1, 2):
                await ours.write(seq)
            async with asyncio.timeout(PATIENCE_S):
                await given_up.wait()
            await one.write(b"of another worker")
            one.reader.read({one.tp: Position(3)})
            await one.until(lambda: len(one.received) == 4)
            assert one.received[3].value == b"of another worker"
