"""Site windows of one partition: open, closed and corrected, by event time.

A window is closed by the partition's watermark. A late reading re-opens it as a *correction*:
the same record again with the next revision. Both are one operation here: publish what is
pending of the windows that are closed.

A reading is added once, to the windows of the smallest size that is not shorter than the time it
stands for (it cannot be split among shorter ones). A longer window is the sum of what was added to
it and to the shorter ones in it, computed when it is read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Arrays
from vpp_streams.domain.fleet.columnar import decode_block, encode_block
from vpp_streams.domain.fleet.kept_windows import TOLD, OpenWindow, PackedWindow, Window
from vpp_streams.domain.fleet.site_sums import Key, SiteRows, SiteSums, sites_of
from vpp_streams.domain.fleet.windows import Gain, Samples, Share, add, split

Closed = Mapping[int, int]
"""Window size, ms -> start of the oldest window of that size that is still open."""

SITES_AT_ONCE = 8192
"""Most sites of a window that are added up together, and of a longer one so many fewer as it has
shorter ones in it: some milliseconds of work."""
FEWEST_SITES = 1024


class SiteWindows:
    """All windows of a partition that can still change."""

    def __init__(self, sizes_ms: tuple[int, ...]) -> None:
        """``sizes_ms`` in rising order, each a multiple of the one before."""
        self.sizes_ms = sizes_ms
        self.windows: dict[Key, Window] = {}
        self.dirty: set[Key] = set()
        """Windows with changes that were not published yet."""
        self._to_pack: list[Key] = []
        """Windows of which blocks may be compressed."""
        self._packing: tuple[Key, PackedWindow] | None = None
        """A window that is open, and its first blocks as they are compressed."""

    def add(self, samples: Samples, rows: int, *, each_once: bool) -> None:
        """Add readings; ``rows`` = device rows of the partition.

        ``each_once`` states that no row has two of them.
        """
        left = samples
        for size_ms in self.sizes_ms[:-1]:
            fits = left.interval_ms <= size_ms
            if fits.all():
                self._add(left, size_ms, rows, each_once)
                return
            self._add(left.take(fits), size_ms, rows, each_once)
            left = left.take(~fits)
        self._add(left, self.sizes_ms[-1], rows, each_once)

    def opened(self, start_ms: int, rows: int) -> list[OpenWindow] | None:
        """The window of the shortest size that starts then, and the longer ones it is a part of.

        They are about to change. None where one of them is compressed; then nothing has changed.
        """
        keys = [(size_ms, start_ms // size_ms * size_ms) for size_ms in self.sizes_ms]
        if any(isinstance(self.windows.get(key), PackedWindow) for key in keys):
            return None
        found = (self._window(key, rows) for key in keys)
        return [window for window in found if isinstance(window, OpenWindow)]

    def _add(self, samples: Samples, size_ms: int, rows: int, each_once: bool) -> None:
        for start, share in split(samples, size_ms).items():
            self._window((size_ms, start), rows).add(share, each_once=each_once)
            for longer_ms in self.sizes_ms:
                if longer_ms > size_ms:
                    self._mark((longer_ms, start // longer_ms * longer_ms), share, rows)

    def _mark(self, key: Key, share: Share, rows: int) -> None:
        """Note that the content of a window has changed, though not its own columns."""
        self._window(key, rows).mark(share.samples.row)

    def _window(self, key: Key, rows: int) -> Window:
        """A window that is about to change."""
        if self._packing is not None and self._packing[0] == key:
            self._packing = None  # what was compressed is no longer what it is
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = OpenWindow()
        window.grow(rows)
        self.dirty.add(key)
        return window

    def _parts(self, key: Key) -> list[Window]:
        """The shorter windows in a window, whose content is part of it."""
        size_ms, start_ms = key
        return [
            self.windows[part]
            for part in sorted(self.windows)
            if part[0] < size_ms and start_ms <= part[1] < start_ms + size_ms
        ]

    def _told(self, key: Key, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows ``at`` with a reading in a window or in the shorter ones in it."""
        found = np.zeros(len(at), np.bool_)
        for part in (self.windows[key], *self._parts(key)):
            there = np.flatnonzero(at < part.rows)
            told = part.gather(at[there], TOLD)
            found[there] |= (told["covered_ms"] > 0) | (told["bad"] > 0)
        return at[found]

    def _complete(self, key: Key, at: NDArray[np.int64]) -> Arrays:
        """A window's columns of some rows, with those of the shorter ones in it."""
        complete = self.windows[key].gather(at)
        for part in self._parts(key):
            there = np.flatnonzero(at < part.rows)
            columns = part.gather(at[there])
            told = np.flatnonzero((columns["covered_ms"] > 0) | (columns["bad"] > 0))
            add(complete, replace(Gain.of(columns, told), row=there[told]))
        return complete

    def pending(self, key: Key, rows: SiteRows) -> NDArray[np.int64]:
        """Sites of a window with changes that were not published yet, in row order."""
        if key not in self.dirty:
            return np.zeros(0, np.int64)
        return sites_of(rows, self.windows[key].pending())[0]

    def sites(self, key: Key, rows: SiteRows) -> NDArray[np.int64]:
        """Sites with a reading in a window, in row order."""
        if key not in self.windows:
            return np.zeros(0, np.int64)
        return sites_of(rows, self._told(key, np.arange(self.windows[key].rows)))[0]

    def pieces(self, key: Key, sites: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Sites in pieces of some milliseconds of work each."""
        most = max(SITES_AT_ONCE // (1 + len(self._parts(key))), FEWEST_SITES)
        for first in range(0, len(sites), most):
            yield sites[first : first + most]

    def publish(self, key: Key, sites: NDArray[np.int64], rows: SiteRows) -> SiteSums:
        """The sums of these sites now; they count as published (one revision more)."""
        self.dirty.discard(key)
        self.windows[key].published(self._rows_of(key, sites, rows))
        return self.sums(key, sites, rows)

    def sums(self, key: Key, sites: NDArray[np.int64] | None, rows: SiteRows) -> SiteSums:
        """Add up the devices of these sites (None = of all that have a reading)."""
        at = self._rows_of(key, sites, rows)
        mine = self._told(key, at)
        return SiteSums(key, self._complete(key, mine), mine, rows)

    def _rows_of(
        self, key: Key, sites: NDArray[np.int64] | None, rows: SiteRows
    ) -> NDArray[np.int64]:
        """The rows of these sites (None = of all) in a window."""
        n = self.windows[key].rows
        if sites is None:
            return np.arange(n)
        chosen = np.zeros(len(rows.site_ids), np.bool_)
        chosen[sites] = True
        return np.flatnonzero(chosen[rows.site[:n]])

    def load(self, key: Key, block: int, encoded: bytes, closed: Closed) -> None:
        """Restore a block of a window; one that will rarely change stays compressed.

        Raises an error of whatever class where the block cannot be used.
        """
        if key not in self.windows:
            self.windows[key] = PackedWindow() if self._rests(key, closed) else OpenWindow()
        window = self.windows[key]
        if isinstance(window, PackedWindow):
            window.put(block, encoded)
        else:
            window.load(block, decode_block(encoded))
        if len(window.pending()):
            self.dirty.add(key)

    def choose_to_pack(self, closed: Closed) -> None:
        """Look which windows will rarely change, for `pack_next`."""
        self._to_pack = [key for key in self.windows if self._rests(key, closed)]

    def pack_next(self) -> None:
        """Compress one block of a window that was chosen, if there is one.

        What was not published, or is in no snapshot yet, stays as it is.
        """
        while self._to_pack:
            key = self._to_pack[-1]
            window = self.windows.get(key)
            if isinstance(window, PackedWindow) and window.pack_next():
                return
            if isinstance(window, OpenWindow) and self._pack_part(key, window):
                return
            self._to_pack.pop()

    def _rests(self, key: Key, closed: Closed) -> bool:
        """Whether a window and the longest one that it is part of are closed."""
        longest_ms = self.sizes_ms[-1]
        longest_start = key[1] // longest_ms * longest_ms
        return key[1] < closed.get(key[0], 0) and longest_start < closed.get(longest_ms, 0)

    def _pack_part(self, key: Key, window: OpenWindow) -> bool:
        """Compress the next block of an open window, which is replaced after its last one."""
        if key in self.dirty or window.changed:
            return False
        if self._packing is None or self._packing[0] != key:
            self._packing = key, PackedWindow()
        packed, block = self._packing[1], self._packing[1].blocks
        packed.put(block, encode_block(window.copy(block)))
        if packed.rows == window.rows:
            self.windows[key], self._packing = packed, None
        return True

    def expire(self, before_ms: int) -> list[Key]:
        """Forget windows that ended before and are part of no longer one; return their keys."""
        longest_ms = self.sizes_ms[-1]
        gone = [
            key
            for key in self.windows
            if key[1] // longest_ms * longest_ms + longest_ms <= before_ms
        ]
        for key in gone:
            del self.windows[key]
            self.dirty.discard(key)
        return gone
