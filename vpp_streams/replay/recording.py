"""A recording: a directory of Parquet files that holds each Kafka record exactly once.

Readings gather in open parts; a *checkpoint* makes every open part durable (complete file,
fsync, atomic rename) and only then saves the offsets from which to continue. A kill loses the
open parts, and their readings are read again. So are those of a part that became durable before
the offsets were saved: a part is named by its first offset, which is the first of its partition
and hour after the saved one, so the same part gets the same name and replaces the first copy.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from schemas.encoding import decode_frame, encode_json
from vpp_streams.domain.files.recording_layout import (
    RECORDED_V1,
    STATE_FILE,
    PartKey,
    RecordingState,
    part_path,
    recorded_rows,
)
from vpp_streams.errors import InputError
from vpp_streams.process.durable_files import rename_durably, write_durably

log = structlog.get_logger()

ROW_GROUP = 65_536
"""Readings that a part gathers in memory before it writes them."""
CHECKPOINT_ROWS = 2_000_000
"""Readings in open parts that make a checkpoint due."""
MAX_OPEN_PARTS = 64
"""More open parts make a checkpoint due, so that scattered received times cannot fill memory."""


class OpenPart:
    """A part that is being written, under a name that readers ignore."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.draft")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._draft, RECORDED_V1, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Add readings (schema `RECORDED_V1`); they stay in memory until a row group is full."""
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= ROW_GROUP:
            self._write()

    def finish(self) -> None:
        """Make the part durable under its name."""
        self._write()
        self._writer.close()
        rename_durably(self._draft, self.path)

    def discard(self) -> None:
        """Delete the part: its readings will be read from the log again."""
        self._writer.close()
        self._draft.unlink()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
            self._waiting, self._waiting_rows = [], 0


class Recording:
    """A recording directory that is being written."""

    def __init__(self, directory: Path, topic: str) -> None:
        """Continue the recording in ``directory``, or begin one.

        Raises `InputError` where the directory is the recording of another topic.
        """
        self.directory = directory
        self.counters: Counter[str] = Counter()
        state = _read_state(directory / STATE_FILE)
        if state and state.topic != topic:
            raise InputError(
                f"{directory} is a recording of {state.topic}, not of {topic};"
                " give another directory, or the VPP_NAMESPACE it was recorded in"
            )
        self.topic = topic
        self.next_offsets = dict(state.next_offsets) if state else {}
        """Partition -> offset to read next."""
        self._open: dict[PartKey, OpenPart] = {}
        self._open_rows = 0
        for draft in directory.glob("date=*/hour=*/.*.draft"):
            draft.unlink()  # left by a kill

    def add(self, partition: int, offset: int, value: bytes | None, backfill: bool) -> None:
        """Add one Kafka record; one that is not a canonical frame is counted and left out."""
        self.next_offsets[partition] = offset + 1
        try:
            batch = decode_frame(value or b"")
        except ValueError as error:
            self.counters["bad_frames"] += 1
            log.warning("left out", partition=partition, offset=offset, error=str(error))
            return
        if not len(batch):
            return  # a heartbeat; a replay plans its own
        for key, rows in recorded_rows(batch, partition, offset, backfill).items():
            if key not in self._open:
                self._open[key] = OpenPart(self.directory / part_path(key, offset))
            self._open[key].add(rows)
            self._open_rows += len(rows)
            self.counters["readings"] += len(rows)

    @property
    def full(self) -> bool:
        """Whether the open parts make a checkpoint due."""
        return self._open_rows >= CHECKPOINT_ROWS or len(self._open) > MAX_OPEN_PARTS

    def checkpoint(self) -> None:
        """Make all that was added durable, then save the offsets from which to continue."""
        for key in list(self._open):
            self._open[key].finish()
            del self._open[key]
            self.counters["files"] += 1
        self._open_rows = 0
        state = RecordingState(self.topic, self.next_offsets)
        write_durably(self.directory / STATE_FILE, encode_json(state))

    def discard_open(self) -> None:
        """Delete the parts that are still open; their readings will be read from the log again."""
        for part in self._open.values():
            part.discard()
        self._open.clear()


def _read_state(path: Path) -> RecordingState | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RecordingState)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error}); give another directory") from None


@contextmanager
def recording_in(directory: Path, topic: str) -> Iterator[Recording]:
    """Open the recording in a directory, for one process at a time.

    Raises `InputError` where another process records there, or the directory cannot be used.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"cannot record into {directory}: it is a file, give a directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot record into {directory}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another `vpp record` is writing to {directory}") from None
        recording = Recording(directory, topic)
        try:
            yield recording
        finally:
            recording.discard_open()
    finally:
        os.close(handle)
