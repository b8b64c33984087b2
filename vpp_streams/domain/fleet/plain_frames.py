"""Frames of a live fleet in the usual case, applied by compiled loops in one go.

In the usual case every device is known and occurs once, continues its count, is believed, and is
measured in one window of the shortest size that is not compressed. Everything else goes the general
way (`FleetPartition._apply_readings`), which has the same outcome for these frames too and is what
tests compare with.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

import numpy as np

from schemas.telemetry import Quality
from vpp_streams.domain import kernels
from vpp_streams.domain.arrays import Array, Ints
from vpp_streams.domain.fleet.columnar import BLOCK_ROWS
from vpp_streams.domain.fleet.kept_windows import OpenWindow
from vpp_streams.domain.fleet.rollup import Ratings
from vpp_streams.domain.fleet.site_windows import SiteWindows
from vpp_streams.domain.fleet.twins import NEWEST_VALUES, SET_BACK_MS, Batch, Twins
from vpp_streams.domain.fleet.windows import COMPILED_COLUMNS

BAD = int(Quality.BAD)
FRESH_BUCKET_MS = 50
"""Ages of readings are counted in steps of this."""
_FRAME = (
    *NEWEST_VALUES, "islanded", "quality", "measured_at_ms", "received_at_ms", "interval_ms",
    "boot", "seq",
)  # fmt: skip
_TWINS = (
    *NEWEST_VALUES, "islanded", "quality", "measured_at_ms", "received_at_ms", "readings",
    "run_start", "run_end", "newest_ms", "boot",
)  # fmt: skip
_SIZES = 2
"""With at most this many sizes of windows."""

Fresh = dict[str, dict[int, int]]
"""Region -> live readings by measured time, in steps of `FRESH_BUCKET_MS`."""


class Looked(NamedTuple):
    """What the first look at a plain frame found; times in ms."""

    window_ms: int
    """Start of the window that all readings lie in."""
    received_ms: int
    """The newest time of reception."""
    event_ms: int
    """The newest time that was measured and is not after its reception."""
    first_ms: int
    """The first and the last measured time."""
    last_ms: int


class PlainFrames:
    """Applies plain frames of one partition. What it keeps itself is working memory."""

    def __init__(self, twins: Twins, windows: SiteWindows) -> None:
        self._twins = twins
        self._windows = windows
        self._place = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)

    def apply(self, ratings: Ratings, batch: Batch, horizon_ms: int) -> Fresh | None:
        """Apply a live frame and return its fresh readings.

        What was measured up to ``horizon_ms`` is too late. None where the frame is not plain, or
        nothing is compiled: then nothing has changed.
        """
        kernel = kernels.COMPILED
        if kernel is None or len(self._windows.sizes_ms) > _SIZES or self._twins.ledger.has_reused:
            return None
        rows = self._twins.find(batch)
        found = self._look(kernel, rows, batch, horizon_ms)
        if found is None:
            return None
        opened = self._windows.opened(found.window_ms, len(self._twins.device_ids))
        if opened is None:
            return None
        self._apply(kernel, ratings, rows, batch, opened, first_ms=found.first_ms)
        return self._fresh(ratings, found)

    def _look(self, kernel: ModuleType, rows: Ints, batch: Batch, horizon_ms: int) -> Looked | None:
        known, columns = len(self._twins.device_ids), self._twins.columns
        if len(self._place) < known:
            self._place = np.zeros(2 * known, np.int64)
        found = kernel.look_at(
            rows, self._place, batch["quality"], batch["measured_at_ms"], batch["received_at_ms"],
            batch["interval_ms"], batch["boot"], batch["seq"], columns["boot"], columns["run_end"],
            BAD, horizon_ms, self._windows.sizes_ms[0], known,
        )  # fmt: skip
        return None if found is None else Looked(*found)

    def _apply(
        self,
        kernel: ModuleType,
        ratings: Ratings,
        rows: Ints,
        batch: Batch,
        opened: list[OpenWindow],
        *,
        first_ms: int,
    ) -> None:
        known, columns = len(self._twins.device_ids), self._twins.columns
        window, *longer = opened
        regions = len(ratings.regions)
        room = (self._windows.sizes_ms[0] // FRESH_BUCKET_MS + 2) * max(regions, 1)
        if len(self._counts) < room:
            self._counts = np.zeros(room, np.int64)
        blocks, longer_blocks = np.zeros((2, -(-known // BLOCK_ROWS)), np.uint8)
        kernel.apply_plain(
            rows, *_of(batch.columns, _FRAME), *_of(columns.arrays, _TWINS),
            *_of(window.arrays, COMPILED_COLUMNS), longer[0]["pending"] if longer else None,
            ratings.site, ratings.region, self._counts, blocks, longer_blocks, known, SET_BACK_MS,
            BLOCK_ROWS, _bucket_of(first_ms), FRESH_BUCKET_MS, regions,
        )  # fmt: skip
        columns.touch_blocks(blocks)
        window.touch_blocks(blocks)
        for one in longer:
            one.touch_blocks(longer_blocks)

    def _fresh(self, ratings: Ratings, found: Looked) -> Fresh:
        regions, begin_ms = len(ratings.regions), _bucket_of(found.first_ms)
        used = self._counts[: ((found.last_ms - begin_ms) // FRESH_BUCKET_MS + 1) * regions]
        fresh: Fresh = {}
        for at in np.flatnonzero(used).tolist():
            step, region = divmod(at, regions)
            of_region = fresh.setdefault(ratings.regions[region], {})
            of_region[begin_ms + step * FRESH_BUCKET_MS] = int(used[at])
        used[:] = 0
        return fresh


def _bucket_of(time_ms: int) -> int:
    return time_ms // FRESH_BUCKET_MS * FRESH_BUCKET_MS


def _of(columns: Mapping[str, Array], names: tuple[str, ...]) -> list[Array]:
    return [columns[name] for name in names]
