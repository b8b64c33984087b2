"""A region's measurements and first forecasts: the inputs of its next forecast."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from schemas.forecast import QuantityForecast, RegionForecast
from schemas.windows import RegionWindow
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.region import (
    HISTORY_DAYS,
    LOAD,
    SLOT_MS,
    SLOT_S,
    SOLAR,
    Quantity,
    Seen,
)
from vpp_streams.domain.moments import DAY_MS

LEAST_COVERAGE = 0.5
"""Least measured share of a region for a slot to count. Measurements are never scaled up."""
_Row = tuple[float, float, float]
_NO_ROW: _Row = (np.nan, np.nan, np.nan)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """The inputs of a forecast that is due."""

    start_ms: int
    load: Seen
    solar: Seen


class RegionTrack:
    """One region's slots: measured power and the first forecast of each."""

    def __init__(self) -> None:
        self._revision: dict[int, int] = {}
        """Revision of the newest window by the slot's start, which is the key below, too."""
        self._measured: dict[str, dict[int, float]] = {LOAD.name: {}, SOLAR.name: {}}
        self._first: dict[str, dict[int, _Row]] = {LOAD.name: {}, SOLAR.name: {}}
        """Mean, low and high of the first forecast."""
        self._next_ms = 0
        """Start of the slot after the newest measured one; 0 = none is measured."""
        self._published_ms = 0
        """Start of the newest forecast that was published or is in progress."""

    def measured(self, window: RegionWindow) -> None:
        """Apply a window, also a newer revision of one; windows of another size are ignored."""
        start_ms = window.start_ms
        if window.size_s != SLOT_S or start_ms % SLOT_MS:
            return
        if window.revision < self._revision.get(start_ms, 0):
            return
        self._revision[start_ms] = window.revision
        self._next_ms = max(self._next_ms, start_ms + SLOT_MS)
        known = window.coverage >= LEAST_COVERAGE
        for name, mean_w in ((LOAD.name, window.mean_load_w), (SOLAR.name, window.mean_solar_w)):
            self._measured[name][start_ms] = np.nan if mean_w is None or not known else mean_w

    def published(self, forecast: RegionForecast) -> None:
        """Apply a published forecast; the first one of each slot counts."""
        if forecast.slot_s != SLOT_S:
            return
        self._published_ms = max(self._published_ms, forecast.start_ms)
        for quantity in (LOAD, SOLAR):
            column: QuantityForecast = getattr(forecast, quantity.name)
            rows = zip(column.mean_w, column.low_w, column.high_w, strict=False)
            for number, row in enumerate(rows):
                start_ms = forecast.start_ms + number * SLOT_MS
                self._first[quantity.name].setdefault(start_ms, row)

    def due(self) -> Due | None:
        """The inputs of the next forecast, once for each; None where none is due.

        They are a copy: windows may arrive while the forecast is computed.
        """
        start_ms = self._next_ms
        if start_ms <= self._published_ms:
            return None
        self._published_ms = start_ms
        self._forget(start_ms)
        return Due(start_ms, self._seen(LOAD, start_ms), self._seen(SOLAR, start_ms))

    def _forget(self, start_ms: int) -> None:
        """Drop what no forecast uses any more."""
        since_ms = start_ms - HISTORY_DAYS * DAY_MS
        self._revision = _since(self._revision, since_ms)
        for name in self._measured:
            self._measured[name] = _since(self._measured[name], since_ms)
            self._first[name] = _since(self._first[name], start_ms - DAY_MS)

    def _seen(self, quantity: Quantity, start_ms: int) -> Seen:
        measured, first = self._measured[quantity.name], self._first[quantity.name]
        slots = range(start_ms - HISTORY_DAYS * DAY_MS, start_ms, SLOT_MS)
        last_day = range(start_ms - DAY_MS, start_ms, SLOT_MS)
        rows = [first.get(slot, _NO_ROW) for slot in last_day]
        return Seen(_column(measured, slots), np.array(rows, np.float64).T)


def _column(by_start: Mapping[int, float], starts: Iterable[int]) -> Floats:
    return np.array([by_start.get(start, np.nan) for start in starts], np.float64)


def _since(by_start: dict[int, _Value], since_ms: int) -> dict[int, _Value]:
    return {start: value for start, value in by_start.items() if start >= since_ms}
