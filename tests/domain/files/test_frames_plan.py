"""The plan of a replay's frames is a function of its readings alone."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import encode_frame
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.files import frames_plan
from vpp_streams.domain.files.frames_plan import (
    EMPTY,
    LogReadings,
    Pace,
    PlannedFrame,
    Step,
    plan_frames,
)

PARTITIONS = 3
PACE = Pace(step_ms=1000, heartbeat_ms=5000)

Log = list[tuple[int, int, bool]]
"""(received_at_ms, measured_at_ms, backfill) in log order."""

logs = st.dictionaries(
    st.integers(0, PARTITIONS - 1),
    st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 60_000), st.booleans()), max_size=30),
)
chunkings = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def chunks(partition: int, log: Log, sizes: list[int]) -> Iterator[LogReadings]:
    at, i = 0, 0
    while at < len(log):
        part = log[at : at + sizes[i % len(sizes)]]
        rows = [
            {"device_id": f"d{partition}", "site_id": f"s{partition}", "seq": at + k,
             "measured_at_ms": measured, "received_at_ms": received, "load_w": float(at + k)}
            for k, (received, measured, _) in enumerate(part)
        ]  # fmt: skip
        yield LogReadings(make_batch(rows), np.array([backfill for _, _, backfill in part]))
        at += len(part)
        i += 1


def plan(log: dict[int, Log], sizes: list[int], pace: Pace = PACE) -> list[Step]:
    streams = {p: chunks(p, rows, sizes) for p, rows in log.items()}
    return list(plan_frames(streams, PARTITIONS, pace))


def frames_of(steps: list[Step], partition: int) -> list[PlannedFrame]:
    return [f for step in steps for f in step.frames if f.partition == partition]


def on_the_wire(steps: list[Step]) -> list[tuple[object, ...]]:
    return [
        (f.partition, f.number, encode_frame(f.batch), f.backfill, f.stream_time_ms, f.watermark_ms)
        for step in steps
        for f in step.frames
    ]


@given(logs, chunkings, chunkings)
def test_chunks_of_the_source_change_no_byte(
    log: dict[int, Log], one: list[int], other: list[int]
) -> None:
    assert on_the_wire(plan(log, one)) == on_the_wire(plan(log, other))


@given(logs, chunkings)
def test_every_reading_is_told_once_in_the_order_of_its_log(
    log: dict[int, Log], sizes: list[int]
) -> None:
    steps = plan(log, sizes)
    for partition in range(PARTITIONS):
        frames = frames_of(steps, partition)
        told = [
            (received, measured, f.backfill)
            for f in frames
            for received, measured in zip(
                f.batch["received_at_ms"].to_pylist(),
                f.batch["measured_at_ms"].to_pylist(),
                strict=True,
            )
        ]
        assert told == log.get(partition, [])
        assert [f.number for f in frames] == list(range(len(frames)))


@given(logs, chunkings)
def test_what_is_told_of_time_is_true_and_never_goes_back(
    log: dict[int, Log], sizes: list[int]
) -> None:
    steps = plan(log, sizes)
    assert [s.stream_time_ms for s in steps] == sorted(s.stream_time_ms for s in steps)
    for partition in range(PARTITIONS):
        told_ms = 0
        seen = 0
        rows = log.get(partition, [])
        reached = np.maximum.accumulate([r[0] for r in rows]) if rows else np.zeros(0)
        for frame in frames_of(steps, partition):
            seen += len(frame.batch)
            assert frame.stream_time_ms >= told_ms
            told_ms = frame.stream_time_ms
            # Every reading up to the time that the frame tells is in the log by now.
            assert (reached[seen:] > told_ms).all()


@given(logs, chunkings)
def test_no_partition_is_left_without_the_time_for_longer_than_a_heartbeat(
    log: dict[int, Log], sizes: list[int]
) -> None:
    told = dict.fromkeys(range(PARTITIONS), 0)
    for step in plan(log, sizes):
        for frame in step.frames:
            told[frame.partition] = frame.stream_time_ms
        assert all(step.stream_time_ms - ms < PACE.heartbeat_ms for ms in told.values())


@given(logs, chunkings)
def test_the_end_closes_every_window_in_every_partition(
    log: dict[int, Log], sizes: list[int]
) -> None:
    steps = plan(log, sizes)
    rows = [row for some in log.values() for row in some]
    if not rows:
        assert steps == []
        return
    end_ms = max(min(received, measured) + 1000 for received, measured, _ in rows)
    last = steps[-1].frames
    assert [f.partition for f in last] == list(range(PARTITIONS))
    for frame in last:
        assert frame.batch is EMPTY
        assert frame.watermark_ms is not None
        assert frame.watermark_ms % 900_000 == 0
        assert 0 <= frame.watermark_ms - end_ms < 900_000
    assert all(f.watermark_ms is None for step in steps[:-1] for f in step.frames)


def test_a_reading_at_the_end_of_a_step_belongs_to_it() -> None:
    steps = plan({0: [(1000, 0, False), (1001, 0, False)]}, [9])
    assert [s.stream_time_ms for s in steps[:2]] == [1000, 2000]
    assert [len(f.batch) for f in frames_of(steps, 0)] == [1, 1, 0]


def test_lanes_and_size_cut_frames() -> None:
    log: Log = [(10, 10, False)] * 3 + [(20, 5, True)] * 2 + [(30, 30, False)]
    steps = plan({1: log}, [2])
    assert [(len(f.batch), f.backfill, f.stream_time_ms) for f in frames_of(steps, 1)] == [
        (3, False, 0),
        (2, True, 0),
        (1, False, 1000),
        (0, False, 1000),
    ]
    many: Log = [(10, 10, False)] * (frames_plan.MAX_ROWS + 1)
    frames = frames_of(plan({1: many}, [len(many)]), 1)
    assert [len(f.batch) for f in frames] == [frames_plan.MAX_ROWS, 1, 0]


def test_memory_holds_a_step_not_the_source() -> None:
    taken = 0

    def endless() -> Iterator[LogReadings]:
        nonlocal taken
        while True:
            taken += 1
            row = {"device_id": "d", "site_id": "s", "seq": taken,
                   "measured_at_ms": taken * 1000, "received_at_ms": taken * 1000}  # fmt: skip
            yield LogReadings(make_batch([row]), np.zeros(1, np.bool_))

    steps = plan_frames({0: endless()}, PARTITIONS, PACE)
    for _ in range(10):
        next(steps)
    assert taken <= 12


def test_an_empty_batch_is_no_end() -> None:
    empty = LogReadings(EMPTY, np.zeros(0, np.bool_))
    row = {"device_id": "d", "site_id": "s", "seq": 1, "measured_at_ms": 5, "received_at_ms": 5}
    rows = LogReadings(make_batch([row]), np.zeros(1, np.bool_))
    steps = list(plan_frames({0: iter([empty, rows, empty])}, 1, PACE))
    assert [len(f.batch) for f in frames_of(steps, 0)] == [1, 0]
    assert isinstance(steps[0].frames[0].batch, pa.RecordBatch)
