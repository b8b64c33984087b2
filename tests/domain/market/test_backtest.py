"""Walking forward interval by interval: no look into the future, and the money adds up."""

from collections import Counter
from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest

from benchmarks.quantile_rule import quantile_rule_money
from schemas.encoding import encode_json
from schemas.market import Bid
from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    NEM_FILE,
    T0,
    all_answer,
    duck_days,
    energy_only,
    inputs_at,
    no_clock,
    prices_of,
    recorded,
    stripped,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.delivery import Fleet, Given
from vpp_streams.domain.market.backtest.foresight import perfect_money, planner_money
from vpp_streams.domain.market.backtest.result import Summary, Yardsticks, summarise
from vpp_streams.domain.market.backtest.run import WalkRecord, walk
from vpp_streams.domain.market.backtest.setting import rules_of
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import BidRefusedError, Storage

DAY_MS = 86_400_000


RULES = energy_only(HOURLY)


def run_intervals(energy: Floats, fleet: Fleet | None = None) -> tuple[Summary, tuple[Bid, ...]]:
    market = ReplayMarket(HOURLY, prices_of(energy))
    summary, _, bids = walk(market, BATTERY, fleet or all_answer(), ReservePolicy(), clock=no_clock)
    return summary, bids


def test_a_changed_future_changes_no_bid_before_it() -> None:
    energy = duck_days(6)
    changed = energy.copy()
    changed[100:] = changed[100:][::-1] * 3 - 40
    _, bids = run_intervals(energy)
    _, other = run_intervals(changed)
    # Interval 100 is bid for before its price is known, so its bid is the same too.
    assert stripped(bids)[:101] == stripped(other)[:101]
    assert stripped(bids)[101:] != stripped(other)[101:]


def published_each_hour(energy: Floats) -> Feed:
    """Each hour the prices of the next 30 hours, wrong by a wave that differs each time."""
    made, ahead = np.divmod(np.arange(len(energy) * 30), 30)
    hour = made + ahead
    values = np.append(energy, np.full(30, 50.0))[hour] + 20 * np.sin(hour * 1.7 + made)
    starts = T0 + hour.astype(np.int64) * HOURLY.interval_ms
    return Feed(starts, T0 + (made - 1).astype(np.int64) * HOURLY.interval_ms, values)


def test_a_changed_future_of_published_prices_changes_no_bid_before_it() -> None:
    energy, at = duck_days(3), 50
    feed = published_each_hour(energy)
    gate_ms = T0 + at * HOURLY.interval_ms - HOURLY.gate_ms
    later = feed.published_ms > gate_ms
    changed = Feed(
        feed.start_ms, feed.published_ms, np.where(later, 900.0 - feed.values, feed.values)
    )
    fewer = feed.until(gate_ms)

    def bids(published: Feed) -> list[bytes]:
        market = ReplayMarket(HOURLY, prices_of(energy), published=published)
        made = walk(market, BATTERY, all_answer(), ReservePolicy(), clock=no_clock)[2]
        return [encode_json(bid) for bid in made]

    usual, other = bids(feed), bids(changed)
    assert usual[: at + 1] == other[: at + 1] == bids(fewer)[: at + 1]
    assert usual[at + 1 :] != other[at + 1 :]
    assert usual[:30] != bids(NOTHING_PUBLISHED)[:30]


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


@pytest.mark.parametrize(
    "seed",
    [1, pytest.param(2, marks=pytest.mark.nightly), pytest.param(3, marks=pytest.mark.nightly)],
)
def test_after_poor_delivery_less_is_offered(seed: int) -> None:
    """Of the fleet's power 30 % answers: as much is withheld as may be, which is half."""
    _, bids = run_intervals(duck_days(6), Fleet(BATTERY, 10, 0.3, seed))
    assert bids[0].withheld_w == 0.0
    assert bids[-1].withheld_w == pytest.approx(5e5)


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


@pytest.mark.parametrize(
    ("first", "stop", "at_least"),
    [
        (863, 863 + 289, 0.6),  # nothing is known of the market before the day of the spike
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
