"""Days of an auction by the local clock, with 23 and 25 hours, against the calendar of 2024."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.support.market_factory import HOURLY, energy_only
from vpp_streams.domain.market.auction_days import day_starts_ms, local_days, local_slots
from vpp_streams.domain.market.day_ahead.day_prices import DayPrices, by_days
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import Prices

BERLIN, HOUR_MS = ZoneInfo("Europe/Berlin"), 3_600_000
RULES = replace(energy_only(HOURLY), gate_ms=12 * HOUR_MS)


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=BERLIN).timestamp() * 1000)  # type: ignore[arg-type,misc]  # whole numbers of a date


def market_of(first_ms: int, last_ms: int) -> ReplayMarket:
    starts = np.arange(first_ms, last_ms, HOUR_MS, dtype=np.int64)
    prices = Prices("DE", "EUR", HOUR_MS, starts, {"energy": np.arange(float(len(starts)))})
    return ReplayMarket(RULES, prices, "day", zone=BERLIN)


def days_of(market: ReplayMarket) -> DayPrices:
    return by_days(market, lambda _: 0, {})


def test_days_begin_at_local_midnight_in_winter_and_in_summer() -> None:
    starts = day_starts_ms(at(2024, 3, 30, 5), at(2024, 4, 1, 5), BERLIN)
    assert starts.tolist() == [at(2024, 3, day) for day in (30, 31)] + [
        at(2024, 4, 1),
        at(2024, 4, 2),
    ]
    assert (np.diff(starts) // HOUR_MS).tolist() == [24, 23, 24]
    summer = datetime.fromtimestamp(starts[-1] / 1000, UTC)
    assert summer.hour == 22


def test_a_day_of_23_hours_is_complete_and_the_skipped_hour_lies_between_its_neighbours() -> None:
    days = days_of(market_of(at(2024, 3, 30), at(2024, 4, 2)))
    assert days.complete.tolist() == [True, True, True]
    assert np.diff(days.rows).tolist() == [24, 23, 24]
    # Prices count up from 24 at midnight; 02:00 does not exist on 31 March.
    np.testing.assert_allclose(days.days.values[1, :5], [24.0, 25.0, 25.5, 26.0, 27.0])
    assert days.slots[24 : 24 + 4].tolist() == [0, 1, 3, 4]


def test_a_day_of_25_hours_is_complete_and_the_repeated_hour_has_the_mean_of_both() -> None:
    days = days_of(market_of(at(2024, 10, 26), at(2024, 10, 29)))
    assert days.complete.all()
    assert np.diff(days.rows).tolist() == [24, 25, 24]
    np.testing.assert_allclose(days.days.values[1, :5], [24.0, 25.0, 26.5, 28.0, 29.0])


def test_a_day_without_one_of_its_prices_is_not_complete() -> None:
    market = market_of(at(2024, 10, 26), at(2024, 10, 29))
    keep = np.delete(np.arange(73), 27)
    prices = Prices("DE", "EUR", HOUR_MS, market.recorded.start_ms[keep],
                    {"energy": market.recorded.energy[keep]})  # fmt: skip
    assert days_of(replace(market, recorded=prices)).complete.tolist() == [True, False, True]


@pytest.mark.parametrize("month", [1, 7])
def test_at_the_gate_all_prices_until_local_midnight_are_public(month: int) -> None:
    market = market_of(at(2024, month, 10), at(2024, month, 14))
    known = market.prices(at(2024, month, 11, 12)).start_ms
    assert known[-1] == at(2024, month, 11, 23)


def test_local_days_and_slots_agree_with_the_calendar() -> None:
    moments = np.array([at(2024, 7, 1, 0), at(2024, 7, 1, 23), at(2024, 12, 1, 6)], np.int64)
    assert local_slots(moments, BERLIN, HOUR_MS).tolist() == [0, 23, 6]
    assert np.diff(local_days(moments, BERLIN)).tolist() == [0, 153]
