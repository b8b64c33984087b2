"""What a process wrote itself is handed over once, in order, and only where it is what follows."""

from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from tables.echoes import MANY, MOST, Echoes
from tests.support.virtual_time import in_virtual_time

TP = TopicPartition("telemetry", 3)


def record(offset: int, tp: TopicPartition = TP) -> ConsumerRecord:
    return ConsumerRecord(*tp, offset, 0, 1, None, b"", None, 0, 0, ())


def offsets(records: list[ConsumerRecord]) -> list[int]:
    return [r.offset for r in records]


def test_records_that_follow_each_other_are_taken_out_at_once() -> None:
    echoes = Echoes()
    for offset in (5, 6, 7, 9):
        echoes.take(record(offset))
    assert offsets(echoes.from_(TP, 5)) == [5, 6, 7]
    assert not echoes.from_(TP, 8)
    assert echoes.has(TP)
    assert offsets(echoes.from_(TP, 9)) == [9]
    assert not echoes.has(TP)
    assert echoes.end(TP)[0] == 10


def test_what_was_fetched_meanwhile_is_dropped() -> None:
    echoes = Echoes()
    for offset in (5, 6, 7):
        echoes.take(record(offset))
    assert offsets(echoes.from_(TP, 7)) == [7]


def test_a_log_that_begins_again_leaves_nothing_of_the_old_one() -> None:
    echoes = Echoes()
    for offset in (100, 101, 0, 1):
        echoes.take(record(offset))
    assert echoes.first(TP) == 0
    assert offsets(echoes.from_(TP, 0)) == [0, 1]


@given(st.integers(1, 4 * MOST), st.integers(0, 4 * MOST))
def test_a_reader_that_is_slow_fetches_what_there_was_no_room_for(written: int, at: int) -> None:
    echoes = Echoes()
    for offset in range(written):
        echoes.take(record(offset))
    found = offsets(echoes.from_(TP, at))
    assert found == list(range(at, min(written, MOST)))


def test_partitions_that_were_taken_away_are_forgotten() -> None:
    echoes, other = Echoes(), TopicPartition("telemetry", 4)
    echoes.take(record(1))
    echoes.take(record(1, other))
    echoes.keep([other])
    assert not echoes.has(TP)
    assert echoes.end(TP) == (0, 0)
    assert echoes.has(other)


def test_the_writer_waits_for_a_reader_that_is_behind_and_not_for_ever() -> None:
    async def main() -> None:
        echoes = Echoes()
        await echoes.room()
        partitions = [TopicPartition("telemetry", p) for p in range(MANY // MOST + 1)]
        for tp in partitions:
            for offset in range(MOST):
                echoes.take(record(offset, tp))
        await echoes.room()  # ends by itself
        for tp in partitions:
            echoes.from_(tp, 0)
        await echoes.room()

    in_virtual_time(main())
