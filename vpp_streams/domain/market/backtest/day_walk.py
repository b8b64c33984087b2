"""The days of a walk, one auction after another: what is bid, cleared and delivered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from schemas.market import Award
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.delivery import ROUNDING, Fleet, Given
from vpp_streams.domain.market.backtest.run import WalkRecord
from vpp_streams.domain.market.day_ahead.day_bids import DayAhead, DayBidder
from vpp_streams.domain.market.day_ahead.day_prices import DayPrices
from vpp_streams.domain.market.day_orders import DayOrders
from vpp_streams.domain.market.forecast.days import error_quantiles
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.value import W_PER_MW, feasible_power, stored_after

ERROR_DAYS = 56
"""Days whose forecast errors the quantiles are estimated from."""


@dataclass(frozen=True, slots=True, eq=False)
class DayForecasts:
    """The forecast of each day as it was made before its gate; arrays have a row per day."""

    values: Floats
    """By slot; NaN = none."""
    actual: Floats
    spent_s: Floats
    """Seconds that each forecast took."""

    @classmethod
    def none(cls, actual: Floats) -> "DayForecasts":
        """No forecast yet."""
        return cls(np.full_like(actual, np.nan), actual, np.zeros(len(actual)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a day has a forecast."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def errors(self, day: int) -> Floats:
        """Errors of the complete days before a day, actual less expected."""
        lately = slice(max(day - ERROR_DAYS, 0), day)
        errors = self.actual[lately] - self.values[lately]
        return errors[np.isfinite(errors).all(axis=1)]

    def tomorrow(self, day: int) -> Floats:
        """Prices to plan the day after a day with: the day's again, less what they are usually off.

        So energy is kept overnight only for a gain beyond the usual error of the mean.
        """
        lately = slice(max(day - ERROR_DAYS, 0), max(day - 1, 0))
        after = self.actual[lately.start + 1 : lately.stop + 1]
        off = np.abs((after - self.values[lately]).mean(axis=1))
        off = off[np.isfinite(off)]
        usual = float(off.mean()) if len(off) else 0.0
        lowered: Floats = self.values[day] - usual
        return lowered


@dataclass(frozen=True, slots=True)
class _Day:
    """What came of a day's orders."""

    awards: list[Award] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DayWalker:
    """Walks through stretches of days with one bidder."""

    market: ReplayMarket
    recorded: DayPrices
    ahead: DayForecasts
    bidder: DayBidder
    clock: Callable[[], float]
    overnight: bool
    solve_ms: list[float] = field(default_factory=list)
    """Time of each forecast with its orders."""

    def walk(
        self, stretches: Sequence[NDArray[np.int64]], fleet: Fleet
    ) -> tuple[WalkRecord, list[DayOrders]]:
        """Bid for, clear and deliver each day of each stretch."""
        rows, made = WalkRecord(), list[DayOrders]()
        for stretch in stretches:
            before = _Day()
            for day in stretch.tolist():
                began_s = self.clock()
                known = self._day_ahead(day, before, is_last=day == stretch[-1])
                orders = self.bidder.orders(known)
                self.solve_ms.append((self.clock() - began_s + self.ahead.spent_s[day]) * 1e3)
                before = self._deliver(orders, fleet, before)
                self._note(day, orders, before, rows)
                made.append(orders)
        return rows, made

    def _day_ahead(self, day: int, before: _Day, is_last: bool) -> DayAhead:
        first, stop = self.recorded.rows[day], self.recorded.rows[day + 1]
        slots, keeps = self.recorded.slots[first:stop], self.overnight and not is_last
        gate_ms = int(self.recorded.begins_ms[day]) - self.market.rules.gate_ms
        return DayAhead(
            start_ms=self.market.recorded.start_ms[first:stop],
            expected=self.ahead.values[day][slots],
            errors=self.ahead.errors(day)[:, slots],
            stored_wh=self._stored_at_start(before, gate_ms) if self.overnight else 0.0,
            tomorrow=self.ahead.tomorrow(day) if keeps else np.array([]),
        )

    def _stored_at_start(self, before: _Day, gate_ms: int) -> float:
        """Energy expected after the day before: as measured at the gate, then as awarded."""
        rules, storage = self.market.rules, self.bidder.storage
        stored_wh = 0.0
        for award, given in zip(before.awards, before.given, strict=True):
            if award.start_ms + award.interval_ms <= gate_ms:
                stored_wh = given.stored_wh
                continue
            power = np.array([award.energy_w])
            power = feasible_power(power, stored_wh, storage, rules.interval_h)
            stored_wh = float(stored_after(power, stored_wh, storage, rules.interval_h)[0])
        return min(max(stored_wh, 0.0), storage.energy_wh)

    def _deliver(self, orders: DayOrders, fleet: Fleet, before: _Day) -> _Day:
        found = _Day(self.market.clear_day(orders))
        stored_wh = before.given[-1].stored_wh if self.overnight and before.given else 0.0
        for award in found.awards:
            settled = self.market.imbalance_at(award.start_ms)
            given = fleet.deliver(award, stored_wh, self.market.rules, settled)
            stored_wh = given.stored_wh
            found.given.append(given)
        if not self.overnight:
            found.given[-1] = self._emptied(found)
        return found

    def _emptied(self, found: _Day) -> Given:
        """The day's last interval, with the cost to get rid of what is left in store at its end.

        A day begins empty, so energy that was not given for want of devices would vanish: it is
        given away at the day's lowest price, which costs where that is below 0.
        """
        last, storage = found.given[-1], self.bidder.storage
        lowest = min(award.prices["energy"] for award in found.awards)
        if last.stored_wh <= ROUNDING * storage.energy_wh:
            return last
        left_mwh = last.stored_wh * storage.discharge_efficiency / W_PER_MW
        cost = left_mwh * max(-lowest, 0.0)
        return replace(last, money=last.money - cost, imbalance_cost=last.imbalance_cost + cost)

    def _note(self, day: int, orders: DayOrders, found: _Day, rows: WalkRecord) -> None:
        lately = slice(max(day - ERROR_DAYS, 0), day)
        expected, before = self.ahead.values[day], self.ahead.values[lately]
        bands = error_quantiles(expected, before, self.ahead.actual[lately], (0.1, 0.9))
        slots = self.recorded.slots[self.recorded.rows[day] : self.recorded.rows[day + 1]]
        rows.bids += orders.bids
        rows.price += [award.prices["energy"] for award in found.awards]
        rows.given += found.given
        rows.low += bands[0.1][slots].tolist()
        rows.high += bands[0.9][slots].tolist()
