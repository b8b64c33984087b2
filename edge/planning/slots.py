"""Quarters of an hour by the home's own clock, and what it measured in each of them."""

import math
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from edge.planning.tariff import STEP_MS

_MONDAY_MS = 4 * 86_400_000
"""Midnight of the first Monday of 1970: slots are counted from it, so that weekends are known."""
_KNOWN = 0.5
"""Share of a slot that has to be measured, or its mean is not known."""


def slot_of(now_ms: int, zone: ZoneInfo) -> int:
    """The slot of a time, ms UTC, by the time of day in a zone.

    When clocks go back an hour, its slots are counted again; when they go forward, four are left
    out.
    """
    offset = datetime.fromtimestamp(now_ms / 1000, zone).utcoffset()
    local_ms = now_ms + round(0 if offset is None else offset.total_seconds() * 1000)
    return (local_ms - _MONDAY_MS) // STEP_MS


@dataclass(frozen=True, slots=True)
class Slot:
    """The mean powers of one slot, W; NaN = not measured."""

    number: int
    load_w: float
    solar_w: float


class SlotMeans:
    """The slot that is under way."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._ws = {"load": 0.0, "solar": 0.0}
        self._s = {"load": 0.0, "solar": 0.0}

    def add(self, number: int, load_w: float, solar_w: float, dt_s: float) -> Slot | None:
        """Add ``dt_s`` of what is measured in a slot; returns the one before if it is complete."""
        complete = None
        if number != self._number:
            if self._number is not None:
                complete = Slot(self._number, self._mean("load"), self._mean("solar"))
            self._number = number
            self._ws = dict.fromkeys(self._ws, 0.0)
            self._s = dict.fromkeys(self._s, 0.0)
        for name, power_w in (("load", load_w), ("solar", solar_w)):
            if math.isfinite(power_w):
                self._ws[name] += power_w * dt_s
                self._s[name] += dt_s
        return complete

    def _mean(self, name: str) -> float:
        measured_s = self._s[name]
        return self._ws[name] / measured_s if measured_s >= _KNOWN * STEP_MS / 1000 else math.nan
