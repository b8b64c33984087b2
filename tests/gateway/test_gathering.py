"""What leaves for a partition: rows and lines, each device's readings in order."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from schemas.raw_frames import has_columns
from tests.support.compiled_kernels import compiled, numpy_only
from tests.support.gateway_session import at, live_session, produced, reading
from tests.support.raw_records import readings_of
from vpp_streams.gateway.actions import LiveReceipt, Produce
from vpp_streams.gateway.answers import OnAnswer
from vpp_streams.gateway.gathering import MAX_FRAME_BYTES, Gathering, RawRecord
from vpp_streams.gateway.rows import line_of_row, read_row
from vpp_streams.kafka import topics

T = 1_763_855_000_000


def row(device_id: str, seq: int) -> Produce:
    """A plain reading."""
    compiled()
    message = b'[6,"%d","Telemetry",{"b":"b0","s":%d,"t":%d,"soc":0.5}]' % (seq, seq, T)
    found = read_row(message, "b0", 0xB0, T)
    assert found is not None
    return Produce(
        topics.RAW_SOLAR, 3, device_id, found[2], LiveReceipt(str(seq), seq), is_row=True
    )


def line(device_id: str, seq: int) -> Produce:
    """A reading that is no row."""
    text = line_of_row(device_id, row(device_id, seq).readings)
    return Produce(topics.RAW_SOLAR, 3, device_id, text, LiveReceipt(str(seq), seq))


def gathered(*all_: Produce) -> tuple[Gathering, list[tuple[str, int]]]:
    """A gathering of these, and a list that gets the names of what Kafka answers for."""
    gathering = Gathering(topics.RAW_SOLAR, 3)
    answered: list[tuple[str, int]] = []
    for produce in all_:
        gathering.add(produce, len(produce.readings), noting(produce, answered))
    return gathering, answered


def noting(produce: Produce, answered: list[tuple[str, int]]) -> OnAnswer:
    """Note that Kafka has answered for this."""
    return lambda _stored: answered.append(name_of(produce))


def name_of(produce: Produce) -> tuple[str, int]:
    """Device and number."""
    assert isinstance(produce.receipt, LiveReceipt)
    return produce.device_id, produce.receipt.seq


def names_in(record: RawRecord) -> list[tuple[str, int]]:
    """Device and number of each reading of a record."""
    return [(one.device_id, one.seq) for one in readings_of(record.value, record.headers.items())]


def test_each_form_is_one_record_with_its_header_and_its_answers() -> None:
    gathering, answered = gathered(row("a", 1), line("b", 1), row("c", 1), line("b", 2))
    columns, lines = gathering.records()
    assert has_columns(columns.headers.items())
    assert not has_columns(lines.headers.items())
    assert columns.headers["schema"] == b"telemetry.raw.columns.v1"
    assert lines.headers["schema"] == b"telemetry.raw.v1"
    assert names_in(columns) == [("a", 1), ("c", 1)]
    assert names_in(lines) == [("b", 1), ("b", 2)]
    for answer in columns.answers:
        answer(True)
    assert answered == [("a", 1), ("c", 1)]


def test_one_form_alone_is_one_record() -> None:
    assert [has_columns(r.headers.items()) for r in gathered(row("a", 1))[0].records()] == [True]
    assert [has_columns(r.headers.items()) for r in gathered(line("a", 1))[0].records()] == [False]


def test_a_row_behind_a_line_of_its_device_becomes_a_line() -> None:
    gathering, _ = gathered(row("a", 1), line("a", 2), row("a", 3), row("b", 1))
    columns, lines = gathering.records()
    assert names_in(columns) == [("a", 1), ("b", 1)]
    assert names_in(lines) == [("a", 2), ("a", 3)]


FORMS: st.SearchStrategy[Callable[[str, int], Produce]] = st.sampled_from([row, line])


@given(st.lists(st.tuples(FORMS, st.sampled_from("abc")), max_size=30))
def test_every_device_keeps_its_order(readings: list[tuple[Callable[..., Produce], str]]) -> None:
    all_ = [form(device_id, seq) for seq, (form, device_id) in enumerate(readings)]
    gathering, answered = gathered(*all_)
    records = list(gathering.records())
    sent = [name for record in records for name in names_in(record)]
    assert sorted(sent) == sorted(name_of(produce) for produce in all_)
    for device_id in "abc":
        assert [seq for name, seq in sent if name == device_id] == [
            seq for seq, (_, name) in enumerate(readings) if name == device_id
        ]
    for record in records:
        for answer in record.answers:
            answer(True)
    assert answered == sent, "an answer is for a reading of its record"


def test_sizes_are_those_of_what_was_added() -> None:
    gathering = Gathering(topics.RAW_SOLAR, 3)
    for size, one in ((5, row("a", 1)), (7, line("b", 1)), (9, row("b", 2)), (11, row("c", 1))):
        gathering.add(one, size, lambda _: None)
    assert [record.size for record in gathering.records()] == [5 + 11, 7 + 9]


def test_a_frame_is_full_before_a_record_is_too_large_and_takes_anything_when_empty() -> None:
    gathering = Gathering(topics.RAW_SOLAR, 3)
    assert gathering.has_room(2 * MAX_FRAME_BYTES)
    one = row("a", 1)
    size = len(one.readings) + len(one.device_id)
    while gathering.has_room(size):
        gathering.add(one, size, lambda _: None)
    (record,) = gathering.records()
    assert 0.9 * MAX_FRAME_BYTES < len(record.value) < 1.1 * MAX_FRAME_BYTES
    assert not gathering.has_room(size)


def test_without_compiled_code_readings_travel_as_lines() -> None:
    (as_row,) = produced(live_session().receive(reading(10, soc=0.5), at(40)))
    with numpy_only():
        (as_line,) = produced(live_session().receive(reading(10, soc=0.5), at(40)))
    compiled()
    assert (as_row.is_row, as_line.is_row) == (True, False)
    assert line_of_row("d1", as_row.readings) == as_line.readings
