"""Columns in blocks, and the snapshots that preserve them.

The hot state of a partition is numpy columns, one row per device, in blocks of `BLOCK_ROWS`
rows. A *snapshot* is the changed blocks and a commit record with the source offset that they all
stand at. They are written in one transaction, so a changelog always holds the state as of exactly
one offset, and every reading is applied once.

Nothing here knows Kafka or Faust: keys and values are bytes (see `tables.state_store`).
"""

import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Array, Arrays, Column

BLOCK_ROWS = 2048
"""Rows of a block: a window's block is then about 450 KB, under Kafka's 1 MB."""
GROW_ROWS = 64
COMMIT = b"commit"
"""Key of the commit record."""
_HEADER = struct.Struct(">qqI")
"""Offset, and the mark of the record at that offset."""


class Columns:
    """Growable columns with one set of types, stored and marked as changed by block."""

    def __init__(self, spec: Mapping[str, Column]) -> None:
        self.spec = spec
        self.rows = 0
        self.arrays: dict[str, Array] = {}
        self.changed: set[int] = set()
        """Blocks changed since the last snapshot."""
        self._capacity = 0
        self.grow(0)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` rows; new ones hold the column's fill."""
        self.rows = max(self.rows, rows)
        if rows <= self._capacity and self.arrays:
            return
        capacity = max(-(-rows // GROW_ROWS) * GROW_ROWS, 2 * self._capacity)
        for name, column in self.spec.items():
            grown = column.filled(capacity)
            if name in self.arrays:
                grown[..., : self._capacity] = self.arrays[name]
            self.arrays[name] = grown
        self._capacity = capacity

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Mark the blocks of these rows as changed."""
        self.changed.update(np.flatnonzero(np.bincount(rows // BLOCK_ROWS)).tolist())

    def touch_blocks(self, blocks: NDArray[np.uint8]) -> None:
        """Mark the blocks that are not 0 here as changed."""
        self.changed.update(np.flatnonzero(blocks).tolist())

    def copy(self, block: int, extra: Mapping[str, pa.Array] | None = None) -> pa.RecordBatch:
        """One block as it is now; ``extra`` adds columns of its own types."""
        low, high = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, self.rows)
        columns: dict[str, pa.Array] = dict(extra or {})
        for name, column in self.spec.items():
            array = self.arrays[name]
            if column.width == 1:
                columns[name] = pa.array(array[low:high].copy())
            else:
                for i in range(column.width):
                    columns[f"{name}.{i}"] = pa.array(array[i, low:high].copy())
        return pa.RecordBatch.from_pydict(columns)

    def load(self, block: int, batch: pa.RecordBatch) -> None:
        """Restore a decoded block."""
        low = block * BLOCK_ROWS
        high = low + batch.num_rows
        self.grow(high)
        for name, column in self.spec.items():
            if column.width == 1:
                self.arrays[name][low:high] = batch.column(name).to_numpy()
            else:
                for i in range(column.width):
                    self.arrays[name][i, low:high] = batch.column(f"{name}.{i}").to_numpy()


def encode_block(batch: pa.RecordBatch) -> bytes:
    """A record batch as a compressed Arrow IPC stream.

    By one thread, as in `decode_block`: handing out buffers this small takes a third more CPU.
    """
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode_block(data: bytes, names: Container[str] | None = None) -> pa.RecordBatch:
    """The batch of an encoded block; of these columns only, if they are named."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    if names is not None:
        fields = _fields(data)
        options.included_fields = [n for n, field in enumerate(fields) if _column(field) in names]
    with pa.ipc.open_stream(data, options=options) as reader:
        return reader.read_next_batch()


def columns_in(data: bytes) -> set[str]:
    """The columns of an encoded block."""
    return set(map(_column, _fields(data)))


def _fields(data: bytes) -> list[str]:
    with pa.ipc.open_stream(data) as reader:
        names: list[str] = reader.schema.names
    return names


def arrays_of(batch: pa.RecordBatch, spec: Mapping[str, Column]) -> Arrays:
    """The columns of a block's batch that are in it, as arrays that may not be written."""
    found: dict[str, list[Array]] = {}
    for field, column in zip(batch.schema.names, batch.columns, strict=True):
        found.setdefault(_column(field), []).append(column.to_numpy())
    return {
        name: parts[0] if spec[name].width == 1 else np.stack(parts)
        for name, parts in found.items()
    }


def _column(field: str) -> str:
    """The column of a batch's field: ``power_ms.2`` is the third row of ``power_ms``."""
    return field.partition(".")[0]


class Blocks(Mapping[str, bytes]):
    """Blocks by name, copied at once and encoded when read, which takes ten times as long."""

    def __init__(self, copies: Mapping[str, pa.RecordBatch]) -> None:
        self._copies = copies

    def __getitem__(self, name: str) -> bytes:
        return encode_block(self._copies[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._copies)

    def __len__(self) -> int:
        return len(self._copies)


@dataclass(frozen=True, slots=True)
class Mark:
    """A fingerprint of the record at an offset, by which the log is recognized."""

    timestamp_ms: int
    checksum: int
    """CRC-32 of its value."""


NO_MARK = Mark(-1, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The changes of one partition's state: taken at one moment, written later."""

    offset: int
    """Newest source offset that the state includes."""
    meta: bytes
    """The partition's small state, kept in the commit record."""
    blocks: Mapping[str, bytes]
    """Changed blocks by name."""
    dropped: tuple[str, ...] = ()
    """Blocks that are no longer needed."""

    def writes(self, mark: Mark = NO_MARK) -> Iterator[tuple[bytes, bytes | None]]:
        """Keys and values to write together. ``mark`` is that of the record at ``offset``."""
        for name, value in self.blocks.items():
            yield name.encode(), value
        for name in self.dropped:
            yield name.encode(), None
        yield COMMIT, _HEADER.pack(self.offset, mark.timestamp_ms, mark.checksum) + self.meta


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition's state as of its last snapshot."""

    offset: int
    meta: bytes
    blocks: Mapping[str, bytes]
    mark: Mark = NO_MARK


def recover(changelog: Mapping[bytes, bytes]) -> Recovered | None:
    """The state that a changelog holds; None where it holds none.

    Raises `ValueError` where its commit record cannot be read.
    """
    if COMMIT not in changelog:
        return None
    commit = changelog[COMMIT]
    try:
        offset, timestamp_ms, checksum = _HEADER.unpack_from(commit)
    except struct.error as error:
        raise ValueError(f"the commit record cannot be read: {error}") from None
    blocks = {key.decode(): value for key, value in changelog.items() if key != COMMIT}
    return Recovered(offset, commit[_HEADER.size :], blocks, Mark(timestamp_ms, checksum))
