"""Energy of sites in an interval, from their closed windows. What was not measured is NaN.

Sums are of measured energy only. A window that is missing adds no energy and no coverage: nothing
is scaled up, neither from other windows nor from other sites.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.window_frames import POWERS, windows_of
from schemas.windows import PowerStats, SiteWindow
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.registry.belief import MARGIN, SLACK_W
from vpp_streams.domain.settle.fleet import Fleet

MINUTE_S, QUARTER_S = 60, 900
"""Sizes of the windows of sites."""
BATTERY, GRID, SOLAR, LOAD = range(4)
Span = tuple[int, int]
"""From a moment to another, ms; the second one is not included."""


@dataclass(frozen=True, slots=True)
class Energies:
    """Measured energy of sites in one interval; each column has the shape (sites,)."""

    battery_wh: Floats
    """+ = discharge; NaN = not measured, as in all others."""
    grid_wh: Floats
    """+ = import."""
    solar_wh: Floats
    load_wh: Floats
    coverage: Floats
    """Measured share of the interval, 0..1."""
    revision: Ints
    """Sum of the revisions of the windows; -1 = there is none."""

    def bounded(self, fleet: Fleet, interval_ms: int) -> "Energies":
        """The same, but no more than the registry makes possible in the interval.

        Each battery counts up to its rating; the connection as far as its readings are believed.
        """
        hours = interval_ms / HOUR_MS
        import_wh = (fleet.import_w * MARGIN + SLACK_W) * hours
        export_wh = (fleet.export_w * MARGIN + SLACK_W) * hours
        return Energies(
            np.clip(self.battery_wh, -fleet.charge_w * hours, fleet.discharge_w * hours),
            np.clip(self.grid_wh, -export_wh, import_wh),
            self.solar_wh,
            self.load_wh,
            self.coverage,
            self.revision,
        )


@dataclass(slots=True)
class _Block:
    """The windows of one size and start, by site."""

    energy_wh: Floats
    coverage: Floats
    revision: Ints

    @staticmethod
    def empty(sites: int) -> "_Block":
        return _Block(np.full((4, sites), np.nan), np.zeros(sites), np.full(sites, -1, np.int64))

    def of(self, rows: Ints) -> "_Block":
        """The windows of some sites, in their order."""
        known = len(self.coverage)
        if len(rows) == known and (rows == np.arange(known)).all():
            return self
        there = rows < known  # the others were never measured
        at = np.where(there, rows, 0)
        return _Block(
            np.where(there, self.energy_wh[:, at], np.nan),
            np.where(there, self.coverage[at], 0.0),
            np.where(there, self.revision[at], -1),
        )

    def grown(self, sites: int) -> "_Block":
        larger = _Block.empty(sites)
        before = len(self.coverage)
        larger.energy_wh[:, :before] = self.energy_wh
        larger.coverage[:before] = self.coverage
        larger.revision[:before] = self.revision
        return larger


class SiteWindows:
    """Closed windows of sites: of each the highest revision, in whichever order they arrive."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._found: tuple[pa.StringArray, Ints] = (
            pa.array([], pa.string()),
            np.zeros(0, np.int64),
        )

    def apply(self, window: SiteWindow) -> bool:
        """Apply a window; returns whether it changed anything."""
        row = self._rows.setdefault(window.site_id, len(self._rows))
        block = self._block(window.size_s, window.start_ms, row + 1)
        if window.revision <= block.revision[row]:
            return False
        powers = (window.battery, window.grid, window.solar, window.load)
        block.energy_wh[:, row] = [_energy_wh(power) for power in powers]
        block.coverage[row] = min(window.coverage, 1.0)
        block.revision[row] = window.revision
        return True

    def apply_frame(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Apply the rows of a frame, as `apply` would; returns which of them changed anything."""
        size_s, start_ms = batch.column("size_s")[0].as_py(), batch.column("start_ms")[0].as_py()
        find = self._rows.setdefault
        rows = np.array(
            [find(site_id, len(self._rows)) for site_id in batch.column("site_id").to_pylist()],
            np.int64,
        )
        block = self._block(size_s, start_ms, len(self._rows))
        revision = batch.column("revision").to_numpy()
        _, first = np.unique(rows, return_index=True)
        if len(first) < len(rows):  # a site that is there twice: the highest revision counts
            return np.array([self.apply(window) for window in windows_of(batch)], np.bool_)
        newer: NDArray[np.bool_] = revision > block.revision[rows]
        at = rows[newer]
        for power, name in enumerate(POWERS):
            block.energy_wh[power, at] = batch.column(f"{name}_energy_wh").to_numpy()[newer]
        block.coverage[at] = np.minimum(batch.column("coverage").to_numpy()[newer], 1.0)
        block.revision[at] = revision[newer]
        return newer

    def put(self, size_s: int, start_ms: int, site_ids: Sequence[str], energies: Energies) -> None:
        """Set the windows of many sites at once; they replace what was known of them."""
        rows = [self._rows.setdefault(site_id, len(self._rows)) for site_id in site_ids]
        block = self._block(size_s, start_ms, len(self._rows))
        block.energy_wh[:, rows] = [
            energies.battery_wh,
            energies.grid_wh,
            energies.solar_wh,
            energies.load_wh,
        ]
        block.coverage[rows] = energies.coverage
        block.revision[rows] = energies.revision

    def forget(self, before_ms: int) -> None:
        """Drop windows that began before a moment."""
        self._blocks = {key: block for key, block in self._blocks.items() if key[1] >= before_ms}

    def rows(self, site_ids: pa.StringArray) -> Ints:
        """The rows of sites, for `energies`. They do not change; the last answer is kept."""
        if self._found[0] is not site_ids:
            find = self._rows.setdefault
            rows = [find(site_id, len(self._rows)) for site_id in site_ids.to_pylist()]
            self._found = site_ids, np.array(rows, np.int64)
        return self._found[1]

    def coverage(self, rows: Ints, size_s: int, start_ms: int) -> Floats:
        """Measured share of sites in the windows of one size and start, 0..1; no window = 0."""
        block = self._blocks.get((size_s, start_ms))
        return np.zeros(len(rows)) if block is None else block.of(rows).coverage

    def energies(self, rows: Ints, span: Span, without: Iterable[Span] = ()) -> Energies:
        """Energy of sites in an interval, without the windows that touch other stretches of time.

        The coverage is that of the complete interval. Windows of a minute are used, or of a quarter
        of an hour where the interval consists of quarters, none has to be left out and no minute is
        known. Raises `ValueError` for an interval that does not consist of complete minutes.
        """
        size_s, starts = self._windows(span, list(without))
        total = np.zeros((4, len(rows)))
        measured = np.zeros((4, len(rows)), bool)
        coverage, revision = np.zeros(len(rows)), np.full(len(rows), -1, np.int64)
        for start_ms in starts:
            block = self._blocks.get((size_s, start_ms))
            if block is None:
                continue
            found = block.of(rows)
            known = ~np.isnan(found.energy_wh)
            np.add(total, found.energy_wh, out=total, where=known)
            measured |= known
            coverage += found.coverage
            there = found.revision >= 0
            np.maximum(revision, 0, out=revision, where=there)
            np.add(revision, found.revision, out=revision, where=there)
        windows = (span[1] - span[0]) // (size_s * 1000)
        energy_wh = np.where(measured, total, np.nan)
        return Energies(
            battery_wh=energy_wh[BATTERY],
            grid_wh=energy_wh[GRID],
            solar_wh=energy_wh[SOLAR],
            load_wh=energy_wh[LOAD],
            coverage=np.minimum(coverage / windows, 1.0),
            revision=revision,
        )

    def _windows(self, span: Span, without: Sequence[Span]) -> tuple[int, list[int]]:
        start_ms, end_ms = span
        if start_ms % (MINUTE_S * 1000) or (end_ms - start_ms) % (MINUTE_S * 1000):
            raise ValueError("sites are measured by the minute: an interval needs complete ones")
        quarters = range(start_ms, end_ms, QUARTER_S * 1000)
        minutes = range(start_ms, end_ms, MINUTE_S * 1000)
        by_quarter = not (start_ms % (QUARTER_S * 1000) or (end_ms - start_ms) % (QUARTER_S * 1000))
        if by_quarter and not without and not any((MINUTE_S, m) in self._blocks for m in minutes):
            return QUARTER_S, list(quarters)
        size_ms = MINUTE_S * 1000
        free = [
            start
            for start in minutes
            if not any(since < start + size_ms and until > start for since, until in without)
        ]
        return MINUTE_S, free

    def _block(self, size_s: int, start_ms: int, sites: int) -> _Block:
        block = self._blocks.get((size_s, start_ms))
        if block is None:
            block = _Block.empty(max(sites, len(self._rows)))
        elif len(block.coverage) < sites:
            block = block.grown(max(sites, 2 * len(block.coverage)))
        self._blocks[size_s, start_ms] = block
        return block


def _energy_wh(power: PowerStats | None) -> float:
    return np.nan if power is None else power.energy_wh
