"""Walking forward: no look into the future, the money adds up, and known answers on real prices."""

import gzip
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC

import msgspec
import numpy as np
import pytest

from benchmarks.quantile_rule import quantile_rule_money
from schemas.market import Bid
from tests.support.market_factory import (
    BATTERY,
    DATA,
    HOURLY,
    NEM_FILE,
    T0,
    duck_days,
    energy_only,
    inputs_at,
    prices_of,
    recorded,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.market.backtest.day_bids import Strategy
from vpp_streams.domain.market.backtest.days import NO_SERIES, walk_days
from vpp_streams.domain.market.backtest.delivery import Fleet, Given
from vpp_streams.domain.market.backtest.foresight import perfect_money, planner_money
from vpp_streams.domain.market.backtest.imbalance import imbalance_per_mwh
from vpp_streams.domain.market.backtest.result import Summary, Trace, Yardsticks, summarise
from vpp_streams.domain.market.backtest.run import WalkRecord, walk
from vpp_streams.domain.market.backtest.setting import rules_of
from vpp_streams.domain.market.day_orders import DayOrders
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import Days, naive, profile
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import BidRefusedError, Prices, Storage

DAY_MS = 86_400_000
RULES = energy_only(HOURLY)


def no_clock() -> float:
    return 0.0


def all_answer() -> Fleet:
    return Fleet(BATTERY, 1, 1.0, seed=1)


def weekday(start_ms: int) -> int:
    return (start_ms // DAY_MS + 3) % 7


def run_intervals(energy: Floats, fleet: Fleet | None = None) -> tuple[Summary, tuple[Bid, ...]]:
    market = ReplayMarket(HOURLY, prices_of(energy))
    summary, _, bids = walk(market, BATTERY, fleet or all_answer(), ReservePolicy(), clock=no_clock)
    return summary, bids


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


def stripped(bids: tuple[Bid, ...]) -> list[tuple[object, ...]]:
    return [(b.start_ms, b.energy, b.capacity, b.expected_price, b.stored_wh) for b in bids]


def test_a_changed_future_changes_no_bid_before_it() -> None:
    energy = duck_days(6)
    changed = energy.copy()
    changed[100:] = changed[100:][::-1] * 3 - 40
    _, bids = run_intervals(energy)
    _, other = run_intervals(changed)
    # Interval 100 is bid for before its price is known, so its bid is the same too.
    assert stripped(bids)[:101] == stripped(other)[:101]
    assert stripped(bids)[101:] != stripped(other)[101:]


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


def test_the_parts_of_the_regret_add_up() -> None:
    summary, _ = run_intervals(duck_days(5), Fleet(BATTERY, 20, 0.9, seed=3))
    lost = summary.regret.forecast + summary.regret.solver + summary.regret.delivery
    assert summary.money + lost == pytest.approx(summary.perfect)
    assert summary.regret.delivery > 0
    assert summary.breaches == 0
    assert summary.share == pytest.approx(summary.money / summary.perfect)


def test_quantiles_are_scored_by_their_pinball_loss() -> None:
    """One price too high by 10, one between, one too low by 20, of quantiles 40 and 60."""
    given = Given(asked_w=0.0, given_w=0.0, stored_wh=0.0, money=0.0)
    bid = safe_bid(inputs_at(T0, prices_of(np.array([]))), ())
    rows = WalkRecord([bid] * 3, [70.0, 50.0, 20.0], [given] * 3, [40.0] * 3, [60.0] * 3)
    summary = summarise(
        rows.trace([0.0] * 3, UTC),
        RULES,
        BATTERY,
        others=Yardsticks(0.0, 0.0, overnight=0.0),
        solve_ms=[0.0],
        rungs=Counter(),
    )
    low, high = (0.1 * 30 + 0.1 * 10 + 0.9 * 20) / 3, (0.9 * 10 + 0.1 * 10 + 0.1 * 40) / 3
    assert summary.pinball == pytest.approx((low + high) / 2)
    assert summary.inside == pytest.approx(1 / 3)


def test_a_fleet_that_answers_earns_what_it_was_awarded() -> None:
    summary, _ = run_intervals(duck_days(4))
    assert summary.regret.delivery == 0.0


def test_after_poor_delivery_less_is_offered() -> None:
    _, bids = run_intervals(duck_days(6), Fleet(BATTERY, 10, 0.6, seed=3))
    assert bids[0].withheld_w == 0.0
    assert all(bid.withheld_w > 8e4 for bid in bids[-24:])


def test_perfect_foresight_is_the_sum_of_the_best_trades() -> None:
    storage = replace(BATTERY, energy_wh=1e6, charge_efficiency=1.0, discharge_efficiency=1.0)
    run = prices_of(np.array([10.0, 50.0, 20.0, 90.0]), RULES)
    money = perfect_money(run, RULES, storage, 0.0)
    np.testing.assert_allclose(money, [-10, 50, -20, 90], atol=1e-6)
    assert planner_money(run, RULES, storage, 0.0, 24) == pytest.approx(110)


def test_foresight_in_pieces_is_foresight_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    run = prices_of(duck_days(8), RULES)
    whole = perfect_money(run, RULES, BATTERY, 0.0).sum()
    monkeypatch.setattr("vpp_streams.domain.market.backtest.foresight.CHUNK", 48)
    monkeypatch.setattr("vpp_streams.domain.market.backtest.foresight.BEYOND", 48)
    assert perfect_money(run, RULES, BATTERY, 0.0).sum() == pytest.approx(whole, rel=1e-6)


def test_the_rule_of_two_quantiles_trades_by_the_last_days_prices() -> None:
    """A lossless hour's energy: bought at the lowest of the day before, sold at the dearest."""
    storage = Storage(1e6, 1e6, 1e6, 1.0, 1.0)
    day = np.arange(24) * 10.0
    money = quantile_rule_money(prices_of(np.tile(day, 2), RULES), RULES, storage)
    assert money[24] == 0.0  # it is full: the first day's later prices looked cheap or dear too
    assert money[24:43].sum() == 0.0
    assert money[43] == 190.0
    assert (money[44:] == 0).all()


def test_a_bid_that_is_late_or_for_an_unknown_interval_is_refused() -> None:
    market = ReplayMarket(HOURLY, prices_of(np.array([50.0])))
    bid = safe_bid(inputs_at(T0, prices_of(np.array([]))), ())
    assert market.clear(bid, bid.gate_ms).energy_w == 0.0
    with pytest.raises(BidRefusedError, match="1 ms after the gate"):
        market.clear(bid, bid.gate_ms + 1)
    later = safe_bid(inputs_at(T0 + 3_600_000, prices_of(np.array([]))), ())
    with pytest.raises(BidRefusedError, match="no price"):
        market.clear(later, later.gate_ms)


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
        ("DE", 120, 0.75),
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
@pytest.mark.parametrize(("zone", "at_least"), [("DE", 0.885), ("NP", 0.785)])
def test_forecasts_that_know_load_and_wind_earn_as_much_as_published_ones(
    zone: str, at_least: float
) -> None:
    prices, series = exogenous(zone)
    first_ms = int(prices.start_ms[-24 * PUBLISHED_DAYS])
    summary, _ = run_days(prices, day_ahead, series, first_ms)
    assert summary.intervals == 24 * PUBLISHED_DAYS
    assert summary.share >= at_least
    assert summary.breaches == 0


@pytest.mark.parametrize("zone", ["DE", "NP"])
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


@pytest.mark.parametrize(
    ("first", "stop", "at_least"),
    [
        (863, 863 + 289, 0.5),  # nothing is known of the market before the day of the spike
        pytest.param(0, 863 + 577, 0.65, marks=pytest.mark.nightly),
    ],
)
def test_bids_by_value_earn_most_of_a_spike_and_regulation_adds_to_it(
    first: int, stop: int, at_least: float
) -> None:
    """A day of a spike in NSW1, January 2020; nightly two of them, after three quiet ones."""
    prices = recorded(NEM_FILE, zone="NSW1").cut(slice(first, stop))
    rules, auction = rules_of(prices, "AEMO")
    assert (auction, rules.co_optimised) == ("interval", True)
    both = ReplayMarket(rules, prices)
    alone = ReplayMarket(energy_only(rules), prices)
    with_regulation, _, _ = walk(both, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)
    energy, _, _ = walk(alone, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)
    assert energy.share is not None
    assert energy.share >= at_least
    uplift = with_regulation.perfect - energy.perfect
    assert with_regulation.money - energy.money >= 0.6 * uplift
    assert with_regulation.breaches == energy.breaches == 0


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


@pytest.mark.parametrize(("strategy", "overnight"), WAYS)
def test_whatever_the_orders_a_changed_future_changes_none_before_it(
    strategy: Strategy, overnight: bool
) -> None:
    energy = duck_days(14) - 25.0
    changed = energy.copy()
    changed[10 * 24 :] = changed[10 * 24 :][::-1] * 2 - 20
    _, _, orders = walk_duck(energy, strategy, overnight)
    _, _, other = walk_duck(changed, strategy, overnight)
    encoded = [msgspec.json.encode([day.bids, str(day.spanning)]) for day in (*orders, *other)]
    until = 10  # days 1 to 10: the last is bid before its prices are known
    assert encoded[:until] == encoded[13 : 13 + until]
    assert encoded[until:13] != encoded[13 + until :]


@pytest.mark.parametrize(("strategy", "overnight"), WAYS)
def test_no_order_beats_perfect_foresight_or_leaves_the_limits(
    strategy: Strategy, overnight: bool
) -> None:
    summary, trace, _ = walk_duck(duck_days(14) - 25.0, strategy, overnight)
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


@pytest.mark.nightly
@pytest.mark.parametrize("zone", ["SA1", "NSW1"])
def test_bids_earn_on_days_without_spikes(zone: str) -> None:
    """No stretch loses money; a chain that waits for spikes earned less than a tenth."""
    prices = recorded("nem_5min_calm/DISPATCHPRICE.csv", zone=zone)
    rules = energy_only(rules_of(prices, "AEMO")[0])
    market = ReplayMarket(rules, prices)
    summary, trace, _ = walk(market, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)
    assert summary.share is not None
    assert summary.share >= 0.35
    for rows in prices.runs():
        assert trace.money[np.isin(trace.start_ms, prices.start_ms[rows])].sum() > 0
