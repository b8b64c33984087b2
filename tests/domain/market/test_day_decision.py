"""The decision of a day: as the backtest decides it, from what was known before its gate."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from schemas.encoding import encode_json
from schemas.orders import OrderBook
from tests.support.market_factory import BATTERY, all_answer, no_clock
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.days import walk_days
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.day_ahead.decision import decide_day, expected_prices
from vpp_streams.domain.market.day_ahead.order_books import book_of, check_book
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import Days, profile
from vpp_streams.domain.market.forecast.series import Feed, known_before_gates
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import Prices
from vpp_streams.domain.market.sim_days import INTERVALS, sim_day_rules
from vpp_streams.domain.moments import DAY_MS

HOUR_MS = 3_600_000
RULES = sim_day_rules(HOUR_MS)
DAYS = 70
T0 = 20_000 * DAY_MS
START_MS = T0 + DAYS * DAY_MS
NOW_MS = START_MS - RULES.gate_ms - 60_000


def load_of(days: int) -> Floats:
    """A load that prices follow."""
    rng = np.random.default_rng(4)
    hour = np.arange(days * 24) % 24
    level = rng.uniform(0.7, 1.3, days).repeat(24)
    return level * (50_000 + 9_000 * np.sin((hour - 9) / 24 * 2 * np.pi))


LOAD = load_of(DAYS + 1)


def history(days: int = DAYS) -> Prices:
    rng = np.random.default_rng(5)
    energy = (LOAD[: days * 24] - 40_000) / 300 + rng.normal(0, 2, days * 24)
    starts = T0 + np.arange(days * 24, dtype=np.int64) * HOUR_MS
    return Prices("sim-day", "USD", HOUR_MS, starts, {"energy": energy})


def load_feed() -> Feed:
    """Each day's load, published 14 hours before it; corrected two hours after the gate."""
    starts = T0 + np.arange(len(LOAD), dtype=np.int64) * HOUR_MS
    day_ms = starts - starts % DAY_MS
    return Feed(
        np.concatenate([starts, starts]),
        np.concatenate([day_ms - 14 * HOUR_MS, day_ms - 10 * HOUR_MS]),
        np.concatenate([LOAD, 3 * LOAD]),
    )


def inputs(feed: Feed | None = None) -> CycleInputs:
    return CycleInputs(
        rules=RULES,
        region="north",
        start_ms=START_MS,
        now_ms=NOW_MS,
        history=history(),
        storage=BATTERY,
        stored_wh=0.0,
        series={} if feed is None else {"load": feed.until(NOW_MS)},
    )


def test_a_day_is_bid_for_as_the_backtest_bids_for_it() -> None:
    begins = T0 + np.arange(DAYS + 1, dtype=np.int64) * DAY_MS
    known = known_before_gates(load_feed(), begins, RULES.gate_ms)
    rng = np.random.default_rng(6)
    future = np.append(history().energy, rng.normal(40, 30, 24))
    starts = T0 + np.arange(len(future), dtype=np.int64) * HOUR_MS
    recorded = Prices("sim-day", "USD", HOUR_MS, starts, {"energy": future})

    def forecast(days: Days) -> Floats:  # of the days before only, to save time
        return day_ahead(days) if len(days.values) == DAYS else profile(days)

    _, _, orders = walk_days(
        ReplayMarket(RULES, recorded, "day"),
        BATTERY,
        all_answer(),
        forecast,
        lambda start_ms: (start_ms // DAY_MS + 3) % 7,
        clock=no_clock,
        known_before={"load": known},
        first_ms=START_MS,
    )
    replayed = book_of(orders[-1], inputs())
    book = decide_day(inputs(load_feed()), INTERVALS)
    assert book.faults == ()
    assert len(book.loops) > 0
    kept = msgspec.structs.replace(book, stored_wh=None)
    assert encode_json(kept) == encode_json(replayed)


def test_the_load_of_the_day_tells_its_prices() -> None:
    expected, faults = expected_prices(inputs(load_feed()), INTERVALS)
    without, _ = expected_prices(inputs(), INTERVALS)
    assert expected is not None
    assert without is not None
    assert faults == ()
    actual = (LOAD[-24:] - 40_000) / 300
    assert np.abs(expected - actual).mean() < 0.5 * np.abs(without - actual).mean()


def test_a_changed_future_changes_no_book_before_it() -> None:
    feed = load_feed()
    late = feed.published_ms > START_MS - RULES.gate_ms
    scrambled = Feed(feed.start_ms, feed.published_ms, np.where(late, -feed.values, feed.values))
    all_of_it = replace(inputs(), series={"load": scrambled})
    book = encode_json(decide_day(inputs(feed), INTERVALS))
    assert encode_json(decide_day(all_of_it, INTERVALS)) == book


def test_a_series_that_is_not_known_of_the_day_is_left_out_and_the_book_says_so() -> None:
    feed = load_feed()
    early = feed.start_ms < START_MS
    stopped = Feed(feed.start_ms[early], feed.published_ms[early], feed.values[early])
    book = decide_day(inputs(stopped), INTERVALS)
    assert book.faults == (
        "the forecast of load was not known of the day before its gate: it is left out",
    )
    without = decide_day(inputs(), INTERVALS)
    assert (book.hourly, book.loops) == (without.hourly, without.loops)


def test_a_market_that_is_simulated_faster_expects_the_same_prices() -> None:
    fast = sim_day_rules(60_000)
    usual, slow = history(), inputs(load_feed())
    pace = HOUR_MS // 60_000
    feed = slow.series["load"]
    quick = replace(
        slow,
        rules=fast,
        start_ms=START_MS // pace,
        now_ms=NOW_MS // pace,
        history=Prices("", "USD", 60_000, usual.start_ms // pace, usual.per_product),
        series={"load": Feed(feed.start_ms // pace, feed.published_ms // pace, feed.values)},
    )
    expected = decide_day(slow, INTERVALS).expected_price
    assert decide_day(quick, INTERVALS).expected_price == expected


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"storage": None}, "what the region can do is not known"),
        ({"history": history(0)}, "no day of prices is known"),
        ({"storage": replace(BATTERY, energy_wh=0.0)}, "nothing to offer"),
        ({"stored_wh": float("nan")}, "not known"),
    ],
)
def test_what_is_not_known_is_not_offered_and_the_book_says_why(
    changes: dict[str, object], why: str
) -> None:
    book: OrderBook = decide_day(replace(inputs(), **changes), INTERVALS)  # type: ignore[arg-type]
    assert why in book.faults[-1]
    assert book.loops == ()
    assert {offer.below_w for offer in book.hourly} == {0.0}
    check_book(book, RULES, INTERVALS, NOW_MS)


def test_after_a_gap_of_prices_the_mean_of_the_last_days_stands_in() -> None:
    gap = replace(inputs(), history=history(DAYS - 2))
    book = decide_day(gap, INTERVALS)
    assert "prices of the day before are missing" in book.faults[-1]
    last = history(DAYS - 2).energy[-7 * 24 :].reshape(7, 24).mean(axis=0)
    np.testing.assert_allclose(book.expected_price, last, atol=1e-3)


def test_stored_energy_is_sold_within_the_day() -> None:
    full = replace(inputs(), stored_wh=1.5e6)
    book = decide_day(full, INTERVALS)
    assert book.stored_wh == 1.5e6
    sold_wh = sum(offer.below_w for offer in book.hourly if not offer.steps)
    assert sold_wh == pytest.approx(1.5e6 * BATTERY.discharge_efficiency, rel=1e-3)
