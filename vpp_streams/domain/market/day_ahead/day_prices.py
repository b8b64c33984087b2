"""Recorded prices as days of an auction, for forecasts that know days of equal length."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.auction_days import day_starts_ms, local_slots
from vpp_streams.domain.market.forecast.days import Days
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.moments import DAY_MS


@dataclass(frozen=True, slots=True, eq=False)
class DayPrices:
    """Recorded prices as days by slots of the local clock.

    On a day of 23 hours the skipped slots lie between their neighbours, on one of 25 the repeated
    ones have the mean of both.
    """

    days: Days
    begins_ms: NDArray[np.int64]
    """Start of each day, and of the one after the last."""
    rows: NDArray[np.int64]
    """First of the recorded prices of each day, and of the one after the last."""
    slots: NDArray[np.int64]
    """Slot of each recorded price."""
    complete: NDArray[np.bool_]
    """Whether all prices of a day are known."""


def by_days(
    market: ReplayMarket, kind_of: Callable[[int], int], known_before: Mapping[str, Series]
) -> DayPrices:
    """Prices and series as local days, from the first day with a price to the last.

    ``kind_of`` a day's start is its weekday.
    """
    recorded = market.recorded
    start_ms = recorded.start_ms
    begins_ms = day_starts_ms(int(start_ms[0]), int(start_ms[-1]), market.zone)
    calendar = _Calendar(market, begins_ms)
    slots = calendar.slots(start_ms)
    values, complete = calendar.rows(start_ms, recorded.energy)
    # Of the day after the last no price is known, but what was known of it before its gate may be.
    to_come = _Calendar(market, day_starts_ms(int(start_ms[0]), int(begins_ms[-1]), market.zone))
    series = {
        name: to_come.rows(each.start_ms, each.values)[0] for name, each in known_before.items()
    }
    kinds = np.array([kind_of(int(start)) for start in begins_ms], np.int64)
    rows = np.searchsorted(start_ms, begins_ms)
    return DayPrices(Days(values, kinds, series), begins_ms, rows, slots, complete)


@dataclass(frozen=True, slots=True, eq=False)
class _Calendar:
    """The local days of a market."""

    market: ReplayMarket
    begins_ms: NDArray[np.int64]

    def slots(self, start_ms: Ints) -> NDArray[np.int64]:
        return local_slots(start_ms, self.market.zone, self.market.recorded.interval_ms)

    def rows(self, start_ms: Ints, values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Values by day and slot, and whether all of a day are known."""
        interval_ms = self.market.recorded.interval_ms
        order = np.argsort(start_ms, kind="stable")
        start_ms, values = start_ms[order], values[order]
        due, slots = np.diff(self.begins_ms) // interval_ms, self.slots(start_ms)
        found = np.full((len(due), DAY_MS // interval_ms), np.nan)
        complete = np.zeros(len(due), bool)
        rows = np.searchsorted(start_ms, self.begins_ms).tolist()
        for day, (first, stop) in enumerate(pairwise(rows)):
            known = np.isfinite(values[first:stop])
            complete[day] = known.sum() == due[day]
            found[day] = _by_slot(values[first:stop][known], slots[first:stop][known], found[day])
            if complete[day]:
                skipped = np.isnan(found[day])
                at = np.arange(len(skipped))
                found[day, skipped] = np.interp(at[skipped], at[~skipped], found[day, ~skipped])
        return found, complete


def _by_slot(energy: Floats, slots: NDArray[np.int64], unknown: Floats) -> Floats:
    """Mean price of each slot; ``unknown`` where it has none."""
    count = np.bincount(slots, minlength=len(unknown))
    total = np.bincount(slots, energy, minlength=len(unknown))
    return np.where(count > 0, total / np.maximum(count, 1), unknown)
