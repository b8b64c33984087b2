"""Plans the frames of a replay, as a pure function of its readings and of the data's own clock.

The *stream time* of a reading is the largest received time up to it in its partition's log.
Readings are published in steps of stream time; in each step a partition gets its readings as
frames, and a partition that has none gets a heartbeat from time to time. Neither the speed nor
the source's batch sizes change a frame.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.telemetry import TELEMETRY_V1

MAX_ROWS = 5000
"""Readings per frame at most: well below Kafka's largest message."""
CLOSE_TO_MS = 900_000
"""The end of a replay is rounded up to this, so that its last windows of every size close."""

EMPTY = pa.RecordBatch.from_pylist([], schema=TELEMETRY_V1)


@dataclass(frozen=True, slots=True)
class LogReadings:
    """Some readings of one partition, in the order of its log."""

    batch: pa.RecordBatch
    """Schema ``telemetry.v1``."""
    backfill: NDArray[np.bool_]
    """Whether each reading is backfill, shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How finely stream time is cut, in ms of the data's clock."""

    step_ms: int
    heartbeat_ms: int
    """A partition without readings gets a heartbeat after this much stream time."""


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One canonical frame to write."""

    partition: int
    number: int
    """Number of the frame in its partition, from 0; identifies it in this replay."""
    batch: pa.RecordBatch
    backfill: bool
    stream_time_ms: int
    """All readings up to this received time are in the partition's log, this frame included."""
    watermark_ms: int | None = None
    """On a partition's last frame: no reading from before this time follows."""


@dataclass(frozen=True, slots=True)
class Step:
    """The frames to publish when the data's clock reaches ``stream_time_ms``."""

    stream_time_ms: int
    frames: tuple[PlannedFrame, ...]


def plan_frames(
    streams: Mapping[int, Iterator[LogReadings]], partitions: int, pace: Pace
) -> Iterator[Step]:
    """The steps of a replay; ``streams`` gives each partition's readings in log order.

    The last step closes every window that a reading lies in. Memory holds one item of each
    stream, and one step.
    """
    logs = [_Log(p, streams.get(p, iter(()))) for p in range(partitions)]
    now_ms = 0
    while (due := _earliest(logs)) is not None:
        now_ms = -(-due // pace.step_ms) * pace.step_ms
        frames: list[PlannedFrame] = []
        for log in logs:
            frames += log.frames_until(now_ms, pace.heartbeat_ms)
        yield Step(now_ms, tuple(frames))
    if now_ms:
        end_ms = max(log.end_ms for log in logs)
        close_ms = -(-end_ms // CLOSE_TO_MS) * CLOSE_TO_MS
        yield Step(now_ms, tuple(log.frame(EMPTY, False, now_ms, close_ms) for log in logs))


def _earliest(logs: "list[_Log]") -> int | None:
    return min((due for log in logs if (due := log.next_ms()) is not None), default=None)


class _Log:
    """One partition: the readings still to plan, and the stream time planned so far."""

    def __init__(self, partition: int, source: Iterator[LogReadings]) -> None:
        self.partition = partition
        self.end_ms = 0
        """End of the last reading, ms; one from a clock that runs ahead counts from receipt."""
        self._source = source
        self._rows: LogReadings | None = None
        self._times: NDArray[np.int64] = np.zeros(0, np.int64)
        self._at = 0
        self._reached_ms = 0
        self._planned_ms = 0
        self._frames = 0

    def next_ms(self) -> int | None:
        """Stream time of the next reading, ms; None = there is none."""
        while self._at == len(self._times):
            rows = next(self._source, None)
            if rows is None:
                return None
            received = _ms(rows.batch, "received_at_ms")
            self._times = np.maximum(np.maximum.accumulate(received), self._reached_ms)
            self._rows, self._at = rows, 0
        return int(self._times[self._at])

    def frames_until(self, until_ms: int, heartbeat_ms: int) -> Iterator[PlannedFrame]:
        """Frames of the readings up to a stream time, or a heartbeat if one is due."""
        taken = self._take(until_ms)
        if taken:
            planned_ms = self._planned_ms
            runs = list(_runs(taken))
            for i, (batch, backfill) in enumerate(runs):
                last = i + 1 == len(runs)
                yield self.frame(batch, backfill, until_ms if last else planned_ms)
        elif until_ms - self._planned_ms >= heartbeat_ms:
            yield self.frame(EMPTY, False, until_ms)

    def frame(
        self, batch: pa.RecordBatch, backfill: bool, until_ms: int, watermark_ms: int | None = None
    ) -> PlannedFrame:
        """The partition's next frame, up to a stream time."""
        self._planned_ms = until_ms
        self._frames += 1
        return PlannedFrame(
            self.partition, self._frames - 1, batch, backfill, until_ms, watermark_ms
        )

    def _take(self, until_ms: int) -> list[LogReadings]:
        taken = []
        while (due := self.next_ms()) is not None and due <= until_ms:
            assert self._rows is not None
            to = int(np.searchsorted(self._times, until_ms, side="right"))
            part = slice(self._at, to)
            batch = self._rows.batch.slice(self._at, to - self._at)
            taken.append(LogReadings(batch, self._rows.backfill[part]))
            self._reached_ms, self._at = int(self._times[to - 1]), to
            measured = np.minimum(_ms(batch, "measured_at_ms"), _ms(batch, "received_at_ms"))
            self.end_ms = max(self.end_ms, int((measured + _ms(batch, "interval_ms")).max()))
        return taken


def _runs(taken: list[LogReadings]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """The rows in order, cut where the lane changes and at the largest frame."""
    backfill = np.concatenate([rows.backfill for rows in taken])
    table = pa.Table.from_batches([rows.batch for rows in taken])
    cuts = np.flatnonzero(backfill[1:] != backfill[:-1]) + 1
    bounds = [0, *cuts.tolist(), len(backfill)]
    for start, end in pairwise(bounds):
        for at in range(start, end, MAX_ROWS):
            # `take` copies: a slice would bring bytes of its neighbours into the frame's padding.
            index = pa.array(np.arange(at, min(at + MAX_ROWS, end)))
            yield table.take(index).combine_chunks().to_batches()[0], bool(backfill[start])


def _ms(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    column: NDArray[np.int64] = pc.cast(batch.column(name), pa.int64()).to_numpy()
    return column
