"""The decision of a day: from what is known before its gate to an order book.

It forecasts by the functions of the backtest (`by_days`, `day_ahead`) and bids by those
(`DayBidder`), so the same inputs give the same orders. Each day ends with an empty storage.
"""

from dataclasses import replace
from datetime import UTC

import msgspec
import numpy as np

from schemas.encoding import decode_json, encode_json
from schemas.market import EnergyOffer
from schemas.orders import OrderBook
from schemas.wire import UNREADABLE
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.auction_days import day_starts_ms
from vpp_streams.domain.market.cycle_inputs import CycleInputs, usable
from vpp_streams.domain.market.day_ahead.day_bids import DayAhead, DayBidder, best_strategy
from vpp_streams.domain.market.day_ahead.day_prices import by_days
from vpp_streams.domain.market.day_ahead.order_books import book_of, check_book
from vpp_streams.domain.market.day_orders import DayOrders
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.decision.position import position_of
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import profile
from vpp_streams.domain.market.forecast.series import Feed, Series, known_before_gates
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import BidRefusedError, Prices
from vpp_streams.domain.moments import DAY_MS

_THURSDAY = 3
"""Weekday of 1970-01-01, Monday = 0."""


def decide_day(inputs: CycleInputs, intervals: int) -> OrderBook:
    """The order book of the day that begins at ``inputs.start_ms``; one that the market accepts.

    It offers nothing, and says why, where what the region can do or every price is unknown.
    """
    sound = usable(inputs)
    if isinstance(sound, str):
        return empty_book(inputs, intervals, (sound,))
    position = position_of(sound)
    expected, faults = expected_prices(position.inputs, intervals)
    faults = (*sound.faults, *faults)
    if expected is None:
        return empty_book(inputs, intervals, (*faults, "no day of prices is known"))
    if not position.can_trade:
        return empty_book(inputs, intervals, (*faults, "the region has nothing to offer"))
    rules = inputs.rules
    day = DayAhead(
        start_ms=inputs.start_ms + np.arange(intervals, dtype=np.int64) * rules.interval_ms,
        expected=expected,
        errors=np.empty((0, intervals)),
        stored_wh=position.stored_wh,
        tomorrow=np.empty(0),
    )
    bidder = DayBidder(rules, position.storage, best_strategy(rules), inputs.region)
    book = msgspec.structs.replace(
        book_of(bidder.orders(day), inputs),
        stored_wh=round(position.stored_wh, 3),
        faults=faults,
    )
    return _sound(book, inputs, intervals)


def empty_book(inputs: CycleInputs, intervals: int, faults: tuple[str, ...]) -> OrderBook:
    """A valid book that offers nothing, with the reasons."""
    bid = msgspec.structs.replace(safe_bid(inputs, ()), energy=EnergyOffer(0.0))
    book = book_of(DayOrders(bids=(bid,) * intervals), inputs)
    return msgspec.structs.replace(book, expected_price=(), faults=faults)


def expected_prices(inputs: CycleInputs, intervals: int) -> tuple[Floats | None, tuple[str, ...]]:
    """Expected price of each interval of the day, and what was missing for it; None = none known.

    A market that is simulated faster has days of ``intervals`` too: its time is stretched until a
    day is one of the calendar, in which forecasts think.
    """
    pace = DAY_MS // (intervals * inputs.rules.interval_ms)
    history, day_ms = _stretched(inputs.history, pace), inputs.start_ms * pace
    if not len(history.start_ms):
        return None, ()
    rules = replace(
        inputs.rules, interval_ms=history.interval_ms, gate_ms=inputs.rules.gate_ms * pace
    )
    begins_ms = day_starts_ms(int(history.start_ms[0]), day_ms, UTC)
    known_before = {
        kind: known_before_gates(_stretched_feed(feed, pace), begins_ms, rules.gate_ms)
        for kind, feed in inputs.series.items()
    }
    faults = tuple(
        f"the forecast of {kind} was not known of the day before its gate: it is left out"
        for kind, series in known_before.items()
        if not _covers(series, day_ms, rules.interval_ms, intervals)
    )
    recorded = by_days(ReplayMarket(rules, history, "day"), _weekday, known_before)
    last = len(recorded.complete)
    if int(recorded.begins_ms[last]) == day_ms:
        expected = day_ahead(recorded.days.known(last))
    else:
        expected = profile(recorded.days)
        faults = (*faults, "prices of the day before are missing: the mean of the last stands in")
    return (expected if np.isfinite(expected).all() else None), faults


def _sound(book: OrderBook, inputs: CycleInputs, intervals: int) -> OrderBook:
    """The book; an empty one where the market would refuse it."""
    try:
        # Read as the market does: a number that JSON does not have would make it no record.
        again = decode_json(encode_json(book), OrderBook)
        check_book(again, inputs.rules, intervals, inputs.now_ms)
    except (BidRefusedError, *UNREADABLE) as error:
        return empty_book(inputs, intervals, (f"the decision was no order book: {error}",))
    return book


def _stretched(prices: Prices, pace: int) -> Prices:
    return Prices(
        prices.zone,
        prices.currency,
        prices.interval_ms * pace,
        prices.start_ms * pace,
        {"energy": prices.energy},
    )


def _stretched_feed(feed: Feed, pace: int) -> Feed:
    return Feed(feed.start_ms * pace, feed.published_ms * pace, feed.values)


def _covers(series: Series, day_ms: int, interval_ms: int, intervals: int) -> bool:
    """Whether a value of each interval of the day is known."""
    of_day = (series.start_ms >= day_ms) & (series.start_ms < day_ms + intervals * interval_ms)
    return int(np.isfinite(series.values[of_day]).sum()) == intervals


def _weekday(start_ms: int) -> int:
    return (start_ms // DAY_MS + _THURSDAY) % 7
