"""Walking forward through day-ahead auctions: forecasts, kinds of order, and perfect foresight."""

import gzip
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from schemas.market import Bid
from tests.support.market_factory import (
    BATTERY,
    DATA,
    HOURLY,
    T0,
    all_answer,
    duck_days,
    energy_only,
    no_clock,
    prices_of,
    recorded,
    stripped,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.market.backtest.days import NO_SERIES, walk_days
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.backtest.imbalance import imbalance_per_mwh
from vpp_streams.domain.market.backtest.result import Summary, Trace
from vpp_streams.domain.market.day_ahead.day_bids import Strategy
from vpp_streams.domain.market.day_orders import DayOrders
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import Days, naive, profile
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import Prices

DAY_MS = 86_400_000


RULES = energy_only(HOURLY)


def weekday(start_ms: int) -> int:
    return (start_ms // DAY_MS + 3) % 7


def run_days(
    prices: Prices,
    forecast: object = day_ahead,
    known_before: Mapping[str, Series] = NO_SERIES,
    first_ms: int | None = None,
) -> tuple[Summary, tuple[Bid, ...]]:
    assert callable(forecast)
    rules = replace(RULES, currency=prices.currency, gate_ms=DAY_MS // 2)
    market = ReplayMarket(rules, prices, "day")
    summary, _, orders = walk_days(
        market,
        BATTERY,
        all_answer(),
        forecast,
        weekday,
        clock=no_clock,
        known_before=known_before,
        first_ms=first_ms,
    )
    return summary, tuple(bid for day in orders for bid in day.bids)


@pytest.mark.parametrize("forecast", [day_ahead, profile, naive])
def test_a_changed_future_changes_no_day_before_it(forecast: object) -> None:
    energy = duck_days(40)
    changed = energy.copy()
    changed[30 * 24 :] = changed[30 * 24 :][::-1] * 3
    _, bids = run_days(prices_of(energy, RULES), forecast)
    _, other = run_days(prices_of(changed, RULES), forecast)
    until = 30 * 24  # bids begin with day 1: these are of days 1 to 30, the last not yet known
    assert stripped(bids)[:until] == stripped(other)[:until]
    assert stripped(bids)[until:] != stripped(other)[until:]


def test_a_changed_future_of_a_series_changes_no_day_before_it() -> None:
    prices = prices_of(duck_days(66), RULES)
    load = np.random.default_rng(1).normal(prices.energy, 1)
    changed = load.copy()
    changed[64 * 24 :] = -changed[64 * 24 :][::-1]
    bids, other = (
        run_days(prices, day_ahead, {"load": Series(prices.start_ms, values)}, T0 + 62 * DAY_MS)[1]
        for values in (load, changed)
    )
    until = 2 * 24  # of days 62 and 63
    assert stripped(bids)[:until] == stripped(other)[:until]
    assert stripped(bids)[until : until + 24] != stripped(other)[until : until + 24]


def test_a_series_reaches_the_forecast_of_its_own_day() -> None:
    """In any order, with gaps, and beyond the prices: the walk puts each value in its place."""
    prices = prices_of(duck_days(6), RULES)
    start_ms = T0 + np.arange(-24, 8 * 24, dtype=np.int64) * 3_600_000
    values = np.arange(-24.0, 8 * 24)
    keep = np.random.default_rng(1).permutation(len(values))
    keep = keep[values[keep] != 50]
    series = Series(start_ms[keep], values[keep])
    seen: dict[int, Floats] = {}

    def forecast(days: Days) -> Floats:
        seen[len(days.values)] = days.known_before["load"]
        return profile(days)

    run_days(prices, forecast, {"load": series})
    assert sorted(seen) == [1, 2, 3, 4, 5]
    expected = np.arange(6.0 * 24).reshape(6, 24)
    expected[2, 2] = np.nan
    for day, found in seen.items():
        np.testing.assert_array_equal(found, expected[: day + 1])


def test_days_before_the_first_only_train() -> None:
    prices = prices_of(duck_days(90), RULES)
    _, all_bids = run_days(prices, day_ahead)
    summary, bids = run_days(prices, day_ahead, first_ms=T0 + 80 * DAY_MS)
    assert summary.intervals == 10 * 24
    assert stripped(bids) == stripped(all_bids)[-240:]
    with pytest.raises(ValueError, match="no complete day"):
        run_days(prices, profile, first_ms=T0 + 90 * DAY_MS)


def test_a_day_auction_tells_prices_by_whole_days() -> None:
    market = ReplayMarket(RULES, prices_of(duck_days(3), RULES), "day")
    noon_ms = T0 + DAY_MS + DAY_MS // 2
    assert market.prices(noon_ms).start_ms[-1] == T0 + DAY_MS - 3_600_000


def test_days_without_all_prices_are_left_out() -> None:
    prices = prices_of(duck_days(5), RULES)
    keep = np.ones(120, bool)
    keep[50] = False
    gappy = Prices("test", "EUR", prices.interval_ms, prices.start_ms[keep],
                   {"energy": prices.energy[keep]})  # fmt: skip
    summary, _ = run_days(gappy, profile)
    assert summary.intervals == 3 * 24


def published(zone: str, column: str) -> object:
    """The forecast that was published with the prices, by day."""
    prices = recorded(f"epf_day_ahead_hourly/{zone}.csv", currency="EUR")
    assert len(prices.start_ms) % 24 == 0
    file = DATA / f"epf_day_ahead_hourly/{zone}.csv"
    reading = read_price_file(file.read_bytes(), name=file.name, currency="EUR", extra=(column,))
    by_day = reading.extra[zone][column].reshape(-1, 24)

    def forecast(days: Days) -> Floats:
        row: Floats = by_day[len(days.values)]
        return row

    return forecast


SERIES = {
    "DE": ("Ampirion Load Forecast", "PV+Wind Forecast"),
    "NP": ("Grid load forecast", "Wind power forecast"),
}


PUBLISHED_DAYS = 728


def exogenous(zone: str) -> tuple[Prices, dict[str, Series]]:
    """Prices since years before the published forecasts, and what was known before the gates."""
    file = DATA / f"epf_day_ahead_exogenous/{zone}.csv.gz"
    if not file.exists():
        pytest.skip(f"recorded prices are absent: {file.name}")
    reading = read_price_file(
        gzip.decompress(file.read_bytes()), name=file.name, currency="EUR", extra=SERIES[zone]
    )
    prices = reading.prices[zone]
    return prices, {name: Series(prices.start_ms, reading.extra[zone][name])
                    for name in SERIES[zone]}  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "days", "at_least"),
    [
        ("DE", 200, 0.75),
        pytest.param("DE", None, 0.80, marks=pytest.mark.nightly),
        pytest.param("NP", None, 0.73, marks=pytest.mark.nightly),
    ],
)
def test_own_forecasts_earn_most_of_what_was_possible(
    zone: str, days: int | None, at_least: float
) -> None:
    prices = recorded(f"epf_day_ahead_hourly/{zone}.csv", currency="EUR")
    if days is not None:
        prices = prices.cut(slice(0, 24 * days))
    summary, _ = run_days(prices)
    assert summary.share is not None
    assert summary.share >= at_least
    assert summary.breaches == 0


@pytest.mark.nightly
@pytest.mark.parametrize("zone", ["DE", "NP"])
def test_forecasts_that_know_load_and_wind_earn_as_much_as_published_ones(zone: str) -> None:
    prices, series = exogenous(zone)
    first_ms = int(prices.start_ms[-24 * PUBLISHED_DAYS])
    earlier = len(prices.start_ms) // 24 - PUBLISHED_DAYS
    assert recorded(f"epf_day_ahead_hourly/{zone}.csv", currency="EUR").start_ms[0] == first_ms
    lear = published(zone, "LEAR Ensemble")
    assert callable(lear)

    def as_published(days: Days) -> Floats:
        row: Floats = lear(Days(days.values[earlier:], days.kind[earlier:]))
        return row

    own, _ = run_days(prices, day_ahead, series, first_ms)
    theirs, _ = run_days(prices, as_published, first_ms=first_ms)
    assert own.intervals == theirs.intervals == 24 * PUBLISHED_DAYS
    assert own.perfect == theirs.perfect
    assert own.money > theirs.money
    assert own.breaches == 0


@pytest.mark.parametrize("zone", ["DE", pytest.param("NP", marks=pytest.mark.nightly)])
def test_load_and_wind_make_a_forecast_of_real_prices_better(zone: str) -> None:
    """Four days, half a year apart."""
    prices, series = exogenous(zone)
    values = prices.energy.reshape(-1, 24)
    none = np.full((1, 24), np.nan)
    known = {name: np.vstack([each.values.reshape(-1, 24), none]) for name, each in series.items()}
    kind = np.array([weekday(ms) for ms in prices.start_ms[::24]] + [0])
    each = [len(values) - back for back in (700, 520, 340, 160)]

    def error(days: Days) -> float:
        return float(np.mean([np.abs(day_ahead(days.known(day)) - values[day]).mean()
                              for day in each]))  # fmt: skip

    assert error(Days(values, kind, known)) < 0.85 * error(Days(values, kind))


@pytest.mark.nightly
def test_published_forecasts_earn_what_is_known_of_them() -> None:
    """The yardsticks are measured right: 64, 75, 86 and 88.5 % to within two points."""
    prices = recorded("epf_day_ahead_hourly/DE.csv", currency="EUR")
    shares = [
        run_days(prices, forecast)[0].share
        for forecast in (
            naive,
            profile,
            published("DE", "LEAR Ensemble"),
            published("DE", "DNN Ensemble"),
        )
    ]
    assert shares == pytest.approx([0.64, 0.75, 0.86, 0.885], abs=0.025)


DAY_RULES = replace(
    RULES, gate_ms=DAY_MS // 2, orders=("hourly", "block", "loop", "exclusive"),
    imbalance_share=0.25, imbalance_least=10.0,
)  # fmt: skip


def walk_duck(
    energy: Floats, strategy: Strategy, overnight: bool = False, fleet: Fleet | None = None
) -> tuple[Summary, Trace, tuple[DayOrders, ...]]:
    market = ReplayMarket(DAY_RULES, prices_of(energy, DAY_RULES), "day")
    return walk_days(
        market, BATTERY, fleet or all_answer(), profile, weekday,
        clock=no_clock, strategy=strategy, overnight=overnight,
    )  # fmt: skip


WAYS: list[tuple[Strategy, bool]] = [
    ("hourly", False), ("hourly", True), ("loop", False), ("loop", True), ("exclusive", False),
]  # fmt: skip


@cache
def fortnight(strategy: Strategy, overnight: bool) -> tuple[Summary, Trace, tuple[DayOrders, ...]]:
    """Two weeks with prices below 0, walked once for the tests that look at it."""
    return walk_duck(duck_days(14) - 25.0, strategy, overnight)


@pytest.mark.parametrize(
    ("strategy", "overnight"),
    [
        *WAYS[2:],
        *(pytest.param(*way, marks=pytest.mark.nightly) for way in WAYS[:2]),
    ],
)
def test_whatever_the_orders_a_changed_future_changes_none_before_it(
    strategy: Strategy, overnight: bool
) -> None:
    energy = duck_days(14) - 25.0
    changed = energy.copy()
    changed[10 * 24 :] = changed[10 * 24 :][::-1] * 2 - 20
    _, _, orders = fortnight(strategy, overnight)
    _, _, other = walk_duck(changed, strategy, overnight)
    encoded = [msgspec.json.encode([day.bids, str(day.spanning)]) for day in (*orders, *other)]
    until = 10  # days 1 to 10: the last is bid before its prices are known
    assert encoded[:until] == encoded[13 : 13 + until]
    assert encoded[until:13] != encoded[13 + until :]


@pytest.mark.parametrize(("strategy", "overnight"), WAYS)
def test_no_order_beats_perfect_foresight_or_leaves_the_limits(
    strategy: Strategy, overnight: bool
) -> None:
    summary, trace, _ = fortnight(strategy, overnight)
    assert summary.breaches == 0
    assert summary.imbalance_cost == 0.0
    assert 0 < summary.money <= summary.perfect + 1e-4
    assert summary.perfect <= summary.perfect_overnight + 1e-4
    if overnight:
        assert summary.perfect == pytest.approx(summary.perfect_overnight)
    else:
        ends = trace.stored_wh[23::24]
        np.testing.assert_allclose(ends, 0.0, atol=10.0)


def test_loops_earn_more_than_hourly_orders() -> None:
    money = [walk_duck(duck_days(40), strategy)[0].money for strategy in ("hourly", "loop")]
    assert money[0] < money[1]


def test_energy_that_is_sold_and_not_delivered_costs_the_penalty() -> None:
    poor = Fleet(BATTERY, 10, 0.7, seed=4)
    energy = duck_days(8)
    summary, trace, _ = walk_duck(energy, "hourly", fleet=poor)
    whole, awarded, _ = walk_duck(energy, "hourly")
    missing_mwh = np.abs(awarded.awarded_w - trace.delivered_w) / 1e6
    penalty = np.maximum(0.25 * np.abs(trace.price), 10.0)
    assert summary.imbalance_cost == pytest.approx((missing_mwh * penalty).sum(), rel=1e-6)
    paid = (trace.delivered_w / 1e6 * trace.price).sum()
    assert summary.money == pytest.approx(paid - summary.imbalance_cost)
    assert whole.money > summary.money


@pytest.mark.parametrize(
    "seed",
    [0, pytest.param(1, marks=pytest.mark.nightly), pytest.param(2, marks=pytest.mark.nightly)],
)
def test_a_fleet_that_does_not_answer_gains_nothing_by_it(seed: int) -> None:
    """Energy that it should have given at a price below 0 does not vanish at midnight."""
    energy = duck_days(9, seed)
    # Bought and sold all the same, as on the days before.
    energy[24 * 8 :] = -100.0 + np.arange(24) * 2
    for answers in (0.2, 0.5, 0.8):
        fleet = Fleet(BATTERY, 2, answers, seed)
        summary, trace, _ = walk_duck(energy, "hourly", fleet=fleet)
        by_day = (trace.money - trace.perfect_money).reshape(-1, 24).sum(axis=1)
        assert by_day.max() <= 1e-4
        assert summary.imbalance_cost > 0


@pytest.mark.parametrize(
    ("missing_w", "recorded_price", "cost"),
    [
        (1e6, None, 25.0),
        (-1e6, None, 25.0),
        (1e6, 130.0, 30.0),
        (-1e6, 130.0, 0.0),
        (1e6, 80.0, 0.0),
        (-1e6, 80.0, 20.0),
        (0.0, 130.0, 0.0),
    ],
)
def test_an_imbalance_never_earns_more_than_delivery(
    missing_w: float, recorded_price: float | None, cost: float
) -> None:
    assert imbalance_per_mwh(missing_w, 100.0, DAY_RULES, recorded_price) == cost


def test_a_share_of_nothing_is_undefined_and_every_stretch_is_summed() -> None:
    flat, _, _ = walk_duck(np.full(24 * 4, 50.0), "hourly")
    assert flat.share is None
    assert flat.share_calm is None
    energy = duck_days(7)
    energy[24 * 3 + 5] = np.nan
    summary, trace, _ = walk_duck(energy, "hourly")
    assert [stretch.intervals for stretch in summary.stretches] == [48, 72]
    assert sum(stretch.money for stretch in summary.stretches) == pytest.approx(summary.money)
    assert summary.stretches[1].money == pytest.approx(trace.money[48:].sum())
    assert summary.stretches[1].first_ms == T0 + 4 * DAY_MS


def test_days_with_a_spike_are_left_out_of_the_calm_share() -> None:
    energy = duck_days(6)
    energy[24 * 3 + 19] = 500.0
    summary, trace, _ = walk_duck(energy, "hourly")
    calm = np.delete(np.arange(24 * 5), np.arange(48, 72))
    assert summary.share_calm == pytest.approx(
        trace.money[calm].sum() / trace.perfect_money[calm].sum()
    )
    assert summary.share_calm != summary.share
