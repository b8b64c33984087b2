"""One window of all devices of a partition: open columns, or compressed once it rarely changes.

A window that is closed and published is kept for hours, because a late reading may still correct
it. It is then one compressed block of `BLOCK_ROWS` rows after another, and those are opened that a
late reading changes. Both forms hold the same and give the same snapshots.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Arrays, Rows
from vpp_streams.domain.fleet.columnar import (
    BLOCK_ROWS,
    Columns,
    arrays_of,
    columns_in,
    decode_block,
    encode_block,
)
from vpp_streams.domain.fleet.windows import WINDOW_COLUMNS, Share, accumulate

TOLD = ("covered_ms", "bad")
"""Columns that show whether a row has a reading, good or bad."""


class OpenWindow(Columns):
    """A window as columns, row by row."""

    def __init__(self) -> None:
        super().__init__(WINDOW_COLUMNS)

    def add(self, share: Share, *, each_once: bool) -> None:
        """Add the readings of a share."""
        accumulate(self.arrays, share, each_once=each_once)
        self.touch(share.samples.row)

    def mark(self, row: Rows) -> None:
        """Note that rows have changed, though not by these columns."""
        news = row[self["pending"][row] == 0]
        if len(news):
            self["pending"][news] = 1
            self.touch(news)

    def pending(self) -> Rows:
        """Rows that changed since they were published."""
        return np.flatnonzero(self["pending"][: self.rows])

    def published(self, row: Rows) -> None:
        """Note that rows are published as they are now."""
        self["pending"][row] = 0
        self["published"][row] += 1
        self.touch(row)

    def gather(self, at: Rows, names: Iterable[str] = tuple(WINDOW_COLUMNS)) -> Arrays:
        """A copy of columns of some rows, all of which must be there."""
        return {name: self[name][..., at] for name in names}

    def copies(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The blocks that changed since they were last given, by number."""
        for block in sorted(self.changed):
            yield block, self.copy(block)
        self.changed.clear()


class PackedWindow:
    """A window as compressed blocks, and as columns where it changed lately."""

    def __init__(self) -> None:
        self.rows = 0
        self._packed: dict[int, bytes] = {}
        self._open: dict[int, OpenWindow] = {}
        """Opened blocks; their rows count from 0."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.rows // BLOCK_ROWS)

    def put(self, block: int, encoded: bytes) -> None:
        """Set a block as `encode_block` made it; it is opened if rows of it are pending.

        Raises `ValueError` where it lacks a column.
        """
        pending = decode_block(encoded, ("pending",)).column("pending").to_numpy()
        if not WINDOW_COLUMNS.keys() <= columns_in(encoded):
            raise ValueError(f"block {block} of a window has other columns")
        self.rows = max(self.rows, block * BLOCK_ROWS + len(pending))
        self._packed[block] = encoded
        if pending.any():
            self._opened(block)

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        self.rows = max(self.rows, rows)

    def add(self, share: Share, *, each_once: bool) -> None:
        """As `OpenWindow.add`."""
        for block, mine in _by_block(share.samples.row):
            samples = share.samples.take(mine)
            local = replace(samples, row=samples.row - block * BLOCK_ROWS)
            part = Share(local, share.overlap_ms[mine], share.starts_here[mine])
            self._opened(block).add(part, each_once=each_once)

    def mark(self, row: Rows) -> None:
        """As `OpenWindow.mark`."""
        for block, mine in _by_block(row):
            self._opened(block).mark(row[mine] - block * BLOCK_ROWS)

    def pending(self) -> Rows:
        """As `OpenWindow.pending`: what is compressed has no such rows."""
        found = [part.pending() + n * BLOCK_ROWS for n, part in sorted(self._open.items())]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def published(self, row: Rows) -> None:
        """As `OpenWindow.published`."""
        for block, mine in _by_block(row):
            self._opened(block).published(row[mine] - block * BLOCK_ROWS)

    def gather(self, at: Rows, names: Iterable[str] = tuple(WINDOW_COLUMNS)) -> Arrays:
        """As `OpenWindow.gather`."""
        names = tuple(names)
        found = {name: WINDOW_COLUMNS[name].filled(len(at)) for name in names}
        for block, mine in _by_block(at):
            arrays = self._arrays(block, names)
            local = at[mine] - block * BLOCK_ROWS
            there = local < next(iter(arrays.values())).shape[-1] if arrays else local < 0
            for name, array in arrays.items():
                found[name][..., mine[there]] = array[..., local[there]]
        return found

    def copies(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """As `OpenWindow.copies`."""
        for block, part in sorted(self._open.items()):
            for _, batch in part.copies():
                yield block, batch

    def pack_next(self) -> bool:
        """Compress one block that is open, published and in a snapshot; False = there is none."""
        for block, part in self._open.items():
            if not part.changed and not len(part.pending()):
                self._packed[block] = encode_block(part.copy(0))
                del self._open[block]
                return True
        return False

    def _arrays(self, block: int, names: tuple[str, ...]) -> Mapping[str, NDArray[np.generic]]:
        if (part := self._open.get(block)) is not None:
            return {name: part[name][..., : part.rows] for name in names}
        if (packed := self._packed.get(block)) is not None:
            return arrays_of(decode_block(packed, names), WINDOW_COLUMNS)
        return {}

    def _opened(self, block: int) -> OpenWindow:
        part = self._open.get(block)
        if part is None:
            part = self._open[block] = OpenWindow()
            if (packed := self._packed.pop(block, None)) is not None:
                part.load(0, decode_block(packed))
        part.grow(min(BLOCK_ROWS, self.rows - block * BLOCK_ROWS))
        return part


Window = OpenWindow | PackedWindow


def _by_block(row: Rows) -> Iterator[tuple[int, Rows]]:
    """The blocks of some rows, each with the places of its rows among them."""
    blocks = row // BLOCK_ROWS
    for block in np.flatnonzero(np.bincount(blocks)).tolist():
        yield block, np.flatnonzero(blocks == block)
