"""Columns in blocks, and the snapshots that make them survive.

The hot state of a partition is numpy columns, one row per device, in blocks of `BLOCK_ROWS`
rows. A *snapshot* is the changed blocks and, last, a commit record with the source offset that
they all stand at. Blocks have two slots in turn (shadow pages): a snapshot writes the slot that
the last committed one does not use, so a worker killed in the middle of a snapshot leaves the
previous one whole. Recovery takes of each block the newest version that is not newer than the
commit record: state as of exactly one offset, every reading applied once.

Nothing here knows Kafka or Faust: keys and values are bytes (see `agents.snapshots`).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpp_streams.domain.columns import Array, Column

BLOCK_ROWS = 2048
"""Rows of a block: a window's block is then about 450 KB, under Kafka's 1 MB."""
GROW_ROWS = 64
_HEADER = struct.Struct(">q")
_COMMIT = "commit"


class Columns:
    """Growable columns of one spec, stored and marked as changed by block."""

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
            shape = (capacity,) if column.width == 1 else (column.width, capacity)
            grown: Array = np.full(shape, column.fill, column.dtype)
            if name in self.arrays:
                grown[..., : self._capacity] = self.arrays[name]
            self.arrays[name] = grown
        self._capacity = capacity

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Mark the blocks of these rows as changed."""
        self.changed.update(np.flatnonzero(np.bincount(rows // BLOCK_ROWS)).tolist())

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
        """Put a decoded block in its place."""
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


def decode_block(data: bytes) -> pa.RecordBatch:
    """The batch of an encoded block."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.ipc.open_stream(data, options=options) as reader:
        return reader.read_next_batch()


class Blocks(Mapping[str, bytes]):
    """Blocks by name, copied at once, encoded when asked for: that takes ten times as long."""

    def __init__(self, copies: Mapping[str, pa.RecordBatch]) -> None:
        self._copies = copies

    def __getitem__(self, name: str) -> bytes:
        return encode_block(self._copies[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._copies)

    def __len__(self) -> int:
        return len(self._copies)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one partition's state writes: taken at once, sent at leisure."""

    offset: int
    """Source offset that the state includes, up to and with."""
    meta: bytes
    """The partition's small state, kept in the commit record."""
    blocks: Mapping[str, bytes]
    """Changed blocks by name."""
    dropped: tuple[str, ...] = ()
    """Blocks that are no longer needed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition's state as of its last commit record."""

    offset: int
    meta: bytes
    blocks: Mapping[str, bytes]


@dataclass(slots=True)
class ShadowPages:
    """One partition's page table: which of its two slots each block was last committed in."""

    partition: int
    slots: dict[str, int] = field(default_factory=dict)

    def block_writes(self, snapshot: Snapshot) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of the changed blocks. Send them, and await them, first."""
        header = _HEADER.pack(snapshot.offset)
        for name, value in snapshot.blocks.items():
            yield self._key(name, 1 - self.slots.get(name, 1)), header + value

    def commit_write(self, snapshot: Snapshot) -> tuple[bytes, bytes]:
        """The commit record: once it is safe, the snapshot stands."""
        value = _HEADER.pack(snapshot.offset) + snapshot.meta
        return f"{self.partition}/{_COMMIT}".encode(), value

    def committed(self, snapshot: Snapshot) -> list[bytes]:
        """Turn the slots; returns the keys to delete, now that nothing refers to them."""
        for name in snapshot.blocks:
            self.slots[name] = 1 - self.slots.get(name, 1)
        gone = [name for name in snapshot.dropped if self.slots.pop(name, None) is not None]
        return [self._key(name, slot) for name in gone for slot in (0, 1)]

    def recover(self, items: Iterable[tuple[bytes, bytes]]) -> Recovered | None:
        """The state as of the commit record, from all the partition's keys; None = no commit."""
        versions: dict[str, list[tuple[int, int, bytes]]] = {}
        commit: tuple[int, bytes] | None = None
        for key, value in items:
            parts = key.decode().split("/")
            offset, body = _HEADER.unpack_from(value)[0], value[_HEADER.size :]
            if parts[1] == _COMMIT:
                commit = offset, body
            else:
                versions.setdefault(parts[1], []).append((offset, int(parts[2]), body))
        self.slots = {}
        if commit is None:
            return None
        blocks = {}
        for name, found in versions.items():
            standing = [version for version in found if version[0] <= commit[0]]
            if standing:
                _, self.slots[name], blocks[name] = max(standing)
        return Recovered(commit[0], commit[1], blocks)

    def _key(self, name: str, slot: int) -> bytes:
        return f"{self.partition}/{name}/{slot}".encode()


def partition_of_key(key: bytes) -> int:
    """The partition that a key of any `ShadowPages` belongs to."""
    return int(key.split(b"/", 1)[0])
