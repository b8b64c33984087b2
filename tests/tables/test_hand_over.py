"""A partition that was taken from a worker and comes back starts where its group stands."""

import asyncio
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError

from agents.in_flight import InFlight
from tables.log_reader import STALLED_S, LogReader, Position, Records
from tables.state_store import FencedError, Writer
from tests.support.virtual_time import in_virtual_time
from vpp_streams.kafka import topic_ids
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

TP = TopicPartition("raw.powerwall", 1)


async def _nowhere(_records: Records) -> None:
    pass


def a_reader_at(offset: int) -> LogReader:
    reader = LogReader(KafkaClients(Settings()), _nowhere)
    reader._positions = {TP: Position(offset)}  # noqa: SLF001  # before Kafka is read
    return reader


def test_a_partition_that_was_taken_away_and_given_back_at_once_is_read_from_its_position() -> None:
    """Simulated seed 338: two records were never applied, and heartbeats stopped for good."""
    reader = a_reader_at(54)
    reader.read({})
    reader.read({TP: Position(52)})
    assert reader._wanted == {TP: Position(52)}  # noqa: SLF001  # before Kafka is read


def test_a_partition_that_stays_goes_on_from_where_it_is() -> None:
    reader = a_reader_at(54)
    reader.read({TP: Position(52)})
    assert reader._wanted == {TP: Position(54)}  # noqa: SLF001  # before Kafka is read


def test_a_partition_is_dropped_also_from_an_assignment_that_waits() -> None:
    reader = a_reader_at(54)
    reader.read({TP: Position(52)})
    reader.drop(TP)
    reader.read({TP: Position(50)})
    assert reader._wanted == {TP: Position(50)}  # noqa: SLF001  # before Kafka is read


def test_going_back_in_one_partition_does_not_bring_back_those_that_were_taken_away() -> None:
    reader, other = a_reader_at(54), TopicPartition("raw.solar", 1)
    reader.read({})
    reader.go_back(other, Position(3))
    assert reader._wanted == {other: Position(3)}  # noqa: SLF001  # before Kafka is read


async def test_a_record_whose_partition_was_taken_away_meanwhile_leaves_no_trace() -> None:
    membership: Any = None
    in_flight = InFlight(membership)
    in_flight.start({TP: Position(51)})
    in_flight.start({})
    record = ConsumerRecord(*TP, 51, 0, 0, None, b"", 0, 0, 0, ())
    await in_flight.add(TP, record, [])
    assert in_flight.positions() == {}
    in_flight.start({TP: Position(54)})
    await in_flight.add(TP, record, [])
    assert in_flight.positions() == {TP: 54}


class Stuck:
    """A producer whose commit never ends, as one that was stopped meanwhile."""

    async def begin_transaction(self) -> None:
        pass

    async def commit_transaction(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        pass


async def test_a_write_ends_when_its_writer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated seed 388: the snapshots of all partitions waited for one that was given back."""

    async def no_ids(_client: Stuck, _names: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr(topic_ids, "topic_ids", no_ids)
    writer = Writer(Stuck(), TP)
    writing = asyncio.create_task(writer.write([]))
    await asyncio.sleep(0)
    await writer.close()
    with pytest.raises(FencedError):
        await writing


class Group:
    """The consumer group, as far as a commit goes."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> bool:
        self.committed |= {tp: at.offset for tp, at in offsets.items()}
        return True


async def test_no_offset_of_a_log_is_committed_whose_beginning_was_not_read() -> None:
    """Of a topic made again with more records than were read, the first ones would be missed."""
    group: Any = Group()
    in_flight = InFlight(group)
    in_flight.start({TP: Position(51)})

    def record(offset: int) -> ConsumerRecord:
        return ConsumerRecord(*TP, offset, 0, 0, None, b"", 0, 0, 0, ())

    async def same() -> None:
        pass

    async def another() -> None:
        in_flight.begins_again(TP)

    await in_flight.add(TP, record(51), [])
    await in_flight.settle()
    await in_flight.commit(another)
    await in_flight.add(TP, record(52), [])
    await in_flight.settle()
    await in_flight.commit(same)
    assert group.committed == {}
    assert in_flight.takes(Records(TP, 0, [record(0)], replaced=True))
    await in_flight.add(TP, record(0), [])
    await in_flight.settle()
    await in_flight.commit(same)
    assert group.committed == {TP: 1}


async def test_a_partition_that_was_given_back_is_committed_again() -> None:
    """Nothing was committed of it yet, so it began at 0 and no other log was found any more."""
    group: Any = Group()
    in_flight = InFlight(group)
    in_flight.start({TP: Position()})
    in_flight.begins_again(TP)
    in_flight.start({})
    in_flight.start({TP: Position()})

    async def same() -> None:
        pass

    record = ConsumerRecord(*TP, 0, 0, 0, None, b"", 0, 0, 0, ())
    await in_flight.add(TP, record, [])
    await in_flight.settle()
    await in_flight.commit(same)
    assert group.committed == {TP: 1}


class Ends:
    """A consumer that knows where the log ends, and when Kafka is away."""

    def __init__(self) -> None:
        self.end, self.away = 60, False

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return dict.fromkeys(partitions, self.end)


@pytest.mark.parametrize("away", [False, True])
def test_records_that_were_read_and_are_not_applied_are_a_stall(away: bool) -> None:
    """All was read, so nothing else shows that the work hangs; while Kafka is away it may wait."""

    async def watched() -> str:
        reader, consumer = a_reader_at(60), Ends()
        reader.applied = lambda: {TP: 54}
        consumer.away = away
        watching = asyncio.create_task(reader._watch_for_ever(consumer))  # noqa: SLF001  # without Kafka
        await asyncio.sleep(STALLED_S / 2)
        assert not reader.stalled
        await asyncio.sleep(STALLED_S)
        watching.cancel()
        return reader.stalled

    words = in_virtual_time(watched())
    assert words == (
        "" if away else "nothing was applied for 60 s, with more in raw.powerwall/1 at 54"
    )


class Backlog:
    """A consumer that has a backlog of two partitions, in one answer."""

    def __init__(self, records: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        self._records = records

    async def getmany(self, **_options: object) -> dict[TopicPartition, list[ConsumerRecord]]:
        found, self._records = self._records, {}
        await asyncio.sleep(0 if found else 0.1)
        return found

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 400)


def test_a_partition_does_not_starve_while_the_records_of_another_are_applied() -> None:
    """A backlog on a busy machine ended the worker: a partition stood still for a minute."""
    other = TopicPartition("raw.powerwall", 2)
    took: dict[TopicPartition, list[int]] = {TP: [], other: []}
    complete = asyncio.Event()

    async def slowly(records: Records) -> None:
        await asyncio.sleep(0.4 * len(records.records))
        assert records.after == (took[records.tp][-1] + 1 if took[records.tp] else 0)
        took[records.tp] += [record.offset for record in records.records]
        if all(len(offsets) == 400 for offsets in took.values()):
            complete.set()

    async def read() -> None:
        reader = LogReader(KafkaClients(Settings()), slowly)
        reader._positions = {TP: Position(), other: Position()}  # noqa: SLF001  # without Kafka
        consumer: Any = Backlog(
            {
                tp: [ConsumerRecord(*tp, n, 0, 0, None, b"", 0, 0, 0, ()) for n in range(400)]
                for tp in (TP, other)
            }
        )
        async with asyncio.timeout(500), asyncio.TaskGroup() as group:
            reading = group.create_task(reader._read_for_ever(consumer))  # noqa: SLF001  # as above
            watching = group.create_task(reader._watch_for_ever(consumer))  # noqa: SLF001  # as above
            await complete.wait()
            reading.cancel()
            watching.cancel()

    in_virtual_time(read())
    assert took == {TP: list(range(400)), other: list(range(400))}
