"""A home's prices ahead: by the time of day in its zone, and by the market's series."""

from datetime import datetime

import msgspec
import numpy as np
import pytest

from edge.planning.tariff import MARKET, PER_DAY, STEP_MS, MarketPrices, Rate, Terms, prices_ahead
from schemas.protocol import Prices

DAY_AND_NIGHT = (
    Rate(from_="22:00", per_kwh=0.2),
    Rate(from_="06:00", per_kwh=0.4),
    Rate(from_="00:00", per_kwh=0.1, days="weekend"),
)


def step_of(date: str) -> int:
    return round(datetime.fromisoformat(date + "T00:00Z").timestamp() * 1000) // STEP_MS


def series(first: int, interval_ms: int, *per_mwh: float) -> Prices:
    return Prices(from_=first * STEP_MS, interval_ms=interval_ms, per_mwh=per_mwh)


def test_rates_hold_by_the_clock_of_the_zone_and_over_midnight() -> None:
    terms = Terms(time_zone="Europe/Berlin", buy=DAY_AND_NIGHT, sell=0.05)
    friday = step_of("2026-07-03")  # 02:00 in Berlin
    tariff = prices_ahead(terms, MarketPrices(), friday, 96)
    night, day = [0.2] * 16, [0.4] * 64
    weekend = [0.1] * 8  # Saturday begins at 22:00 UTC
    assert tariff.buy.tolist() == [*night, *day, *([0.2] * 8), *weekend]
    assert set(tariff.sell.tolist()) == {0.05}


def test_rates_follow_the_clocks_change() -> None:
    terms = Terms(time_zone="Europe/Berlin", buy=DAY_AND_NIGHT[:2])
    dear_from = {}
    for day in (23, 30):  # the Mondays around 2026-03-29
        buy = prices_ahead(terms, MarketPrices(), step_of(f"2026-03-{day}"), 96).buy
        dear_from[day] = int(np.argmax(buy == 0.4)) / 4
    assert dear_from == {23: 5.0, 30: 4.0}


def test_a_kind_of_day_without_a_rate_is_refused() -> None:
    with pytest.raises(ValueError, match='no rate for days of kind "working"'):
        Terms(time_zone="UTC", buy=(Rate(from_="00:00", per_kwh=1.0, days="weekend"),))


def test_market_prices_are_means_over_steps_whatever_their_interval() -> None:
    market, first = MarketPrices(), step_of("2026-07-03")
    market.take(series(first, 300_000, 10, 20, 60, 100, 100, 100, 50))
    assert market.per_kwh(first, 4)[:3].tolist() == pytest.approx([0.03, 0.1, 0.05])
    market.take(series(first + 4, 3_600_000, 80))
    assert market.per_kwh(first + 4, 5).tolist() == pytest.approx(
        [0.08] * 4 + [np.nan], nan_ok=True
    )
    market.take(series(first + 4, STEP_MS, 0))
    assert market.per_kwh(first + 4, 2).tolist() == pytest.approx([0.0, 0.08]), "the newest counts"


def test_prices_that_are_not_known_are_those_of_the_days_before() -> None:
    market, first = MarketPrices(), step_of("2026-07-03")
    market.take(series(first - 2 * PER_DAY, STEP_MS, 100, 10))
    market.take(series(first - PER_DAY, STEP_MS, 200))
    market.take(series(first, STEP_MS, 500))
    ahead = market.per_kwh(first, PER_DAY + 2)
    assert ahead[:2].tolist() == pytest.approx([0.5, 0.01])
    assert np.isnan(ahead[2])
    assert ahead[PER_DAY] == pytest.approx((0.1 + 0.2 + 0.5) / 3)


def test_prices_far_from_now_are_forgotten() -> None:
    market, now = MarketPrices(), step_of("2026-07-03")
    for days in (-400, -6, 1, 400):
        market.take(series(now + days * PER_DAY, 86_400_000, *[50.0] * 2))
    market.forget(now)
    assert np.isnan(market.per_kwh(now + 400 * PER_DAY, 1)[0])
    assert market.per_kwh(now + PER_DAY, 1)[0] == pytest.approx(0.05)
    assert len(market) <= 10 * PER_DAY


def test_fees_and_tax_are_on_what_is_bought_from_the_market() -> None:
    market, first = MarketPrices(), step_of("2026-07-03")
    market.take(series(first, STEP_MS, 100, -100))
    terms = msgspec.structs.replace(MARKET, market_fees_per_kwh=0.1, market_tax=0.5)
    tariff = prices_ahead(terms, market, first, 3)
    assert tariff.buy.tolist() == pytest.approx([0.3, 0.0, np.nan], nan_ok=True)
    assert tariff.sell.tolist() == pytest.approx([0.1, -0.1, np.nan], nan_ok=True)
    assert tariff.known_steps == 2
