"""Published prices: which of them a decision may use, and what they change."""

from dataclasses import replace

import msgspec
import numpy as np

from schemas.market import Bid
from tests.support.market_factory import HOURLY, T0, duck_days, inputs_at, prices_of
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.forecast.process import expected_price, fit_process
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed, staleness

HOUR_MS = 3_600_000
HISTORY = prices_of(duck_days(4))
NOW_MS = T0 + 96 * HOUR_MS
"""Start of the first interval without a known price."""


def published(*rows: tuple[int, float, int]) -> Feed:
    """Rows of hours from `NOW_MS` on, price, and the time of publication in ms before `NOW_MS`."""
    hour, price, before_ms = np.array(rows).T
    starts = NOW_MS + hour.astype(np.int64) * HOUR_MS
    return Feed(starts, NOW_MS - before_ms.astype(np.int64), price)


def bid(prices: Feed) -> bytes:
    inputs = replace(inputs_at(NOW_MS, HISTORY), published=prices)
    decided: Bid = Autobidder().decide(inputs, lambda: 0.0, 5.0)[0]
    return msgspec.json.encode(decided)


def test_the_newest_of_those_published_before_counts() -> None:
    rows = published((0, 50.0, 900), (1, 70.0, 500), (0, 60.0, 400), (0, 90.0, 100))
    known = rows.newest(NOW_MS - 101)
    assert known.start_ms.tolist() == [NOW_MS, NOW_MS + HOUR_MS]
    assert known.values.tolist() == [60.0, 70.0]
    assert rows.newest(NOW_MS - 901).values.tolist() == []


def test_a_published_price_is_expected_where_the_last_one_came_true() -> None:
    newest = float(HISTORY.energy[-1])
    rows = published((-1, newest, 1), (0, 140.0, 1), (1, 20.0, 1))
    process = fit_process(HISTORY, HOURLY, rows.newest(NOW_MS))
    ahead = process.ahead(newest, 0, 4)
    mean = expected_price(ahead, process.prices_from(0, 4))
    usual = fit_process(HISTORY, HOURLY)
    without = expected_price(usual.ahead(newest, 0, 4), usual.prices_from(0, 4))
    assert abs(mean[0] - 140) < 15 < abs(without[0] - 140)
    assert abs(mean[1] - 20) < 15
    np.testing.assert_array_equal(process.usual[2:23], usual.usual[2:23])


def test_what_is_published_after_the_gate_changes_no_bid() -> None:
    early_ms = HOURLY.gate_ms + 1
    dear = [(hour, 900.0) for hour in range(1, 5)]
    late = published(*((hour, price, HOURLY.gate_ms) for hour, price in dear))
    assert bid(late) == bid(NOTHING_PUBLISHED)
    assert bid(published(*((hour, price, early_ms) for hour, price in dear))) != bid(late)


def test_a_withdrawn_price_is_not_expected() -> None:
    rows = published((1, 500.0, 2), (1, np.nan, 1))
    process = fit_process(HISTORY, HOURLY, rows.newest(NOW_MS))
    np.testing.assert_array_equal(process.usual, fit_process(HISTORY, HOURLY).usual)


def test_prices_for_other_days_and_beyond_the_cap_do_no_harm() -> None:
    rows = published((-2, 500.0, 1), (24, 500.0, 1), (3, 1e9, 1))
    usual = fit_process(HISTORY, HOURLY).usual
    changed = fit_process(HISTORY, HOURLY, rows.newest(NOW_MS)).usual
    assert changed[3] == HOURLY.cap
    np.testing.assert_array_equal(np.delete(changed, 3), np.delete(usual, 3))


def test_a_feed_that_stops_arriving_is_stale_and_the_bid_says_so() -> None:
    """One each half hour, for two days ahead; nothing for the last 100 minutes."""
    hours = [
        (hour, 80.0, (minute + 30) * 60_000) for minute in range(70, 400, 30) for hour in (0, 40)
    ]
    old = published(*hours)
    assert staleness(old, NOW_MS, NOW_MS - 11 * 60_000) is None
    reason = staleness(old, NOW_MS, NOW_MS)
    assert reason == "the newest is 100 min old, and one was published each 30 min"
    inputs = replace(inputs_at(NOW_MS, HISTORY), published=old)
    decided: Bid = Autobidder().decide(inputs, lambda: 0.0, 5.0)[0]
    (fault,) = decided.faults
    assert fault.startswith("published prices are stale (the newest is 99 min old")
    assert (
        decided.energy
        == Autobidder().decide(inputs_at(NOW_MS, HISTORY), lambda: 0.0, 5.0)[0].energy
    )


def test_parts_of_one_publication_are_no_publications_of_their_own() -> None:
    parts = [(hour, 80.0, 100 * 60_000 + part) for hour, part in enumerate(range(20, 0, -1))]
    assert staleness(published(*parts), NOW_MS, NOW_MS) is None
    each = [
        (hour, 80.0, minute * 60_000 + part)
        for minute in range(40, 400, 30)
        for hour, part in enumerate((9, 5, 2))
    ]
    assert staleness(published(*each), NOW_MS, NOW_MS) is None
    reason = staleness(published(*each), NOW_MS, NOW_MS + 60 * 60_000)
    assert reason == "the newest is 100 min old, and one was published each 30 min"


def test_a_feed_without_a_value_from_the_interval_on_is_stale() -> None:
    assert staleness(published((-1, 80.0, 1)), NOW_MS, NOW_MS) == (
        "the newest, 0 min old, ends before the interval"
    )
    assert staleness(published((0, 80.0, 1)), NOW_MS, NOW_MS) is None
    assert staleness(NOTHING_PUBLISHED, NOW_MS, NOW_MS) is None
