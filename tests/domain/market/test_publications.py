"""Records of published series as feeds: when a value was known, and what nobody can use."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.published import PublishedSeries
from tests.support.market_factory import HOURLY, T0, duck_days, inputs_at, prices_of
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.forecast.publications import Publication, Publications, feed_of, flaw
from vpp_streams.domain.market.forecast.series import Feed
from vpp_streams.domain.market.knowledge import (
    DecisionRequest,
    Input,
    Knowledge,
    inputs_from_records,
)
from vpp_streams.domain.market.reserve import ReservePolicy

HOUR_MS = HOURLY.interval_ms
NOW_MS = T0 + 96 * HOUR_MS


def series(**changes: Any) -> PublishedSeries:
    usual = PublishedSeries(
        market="test",
        kind="price",
        published_ms=NOW_MS - 2 * HOUR_MS,
        start_ms=NOW_MS,
        interval_ms=HOUR_MS,
        values=(70.0, None, 90.0),
        unit="EUR/MWh",
    )
    return msgspec.structs.replace(usual, **changes)


def feed(one: PublishedSeries, written_at_ms: int, interval_ms: int = HOUR_MS) -> Feed:
    return feed_of([Publication(one, written_at_ms)], interval_ms)


def test_a_value_is_known_no_earlier_than_its_record_arrived() -> None:
    late_ms = NOW_MS - 60_000
    assert set(feed(series(), late_ms).published_ms.tolist()) == {late_ms}
    early = feed(series(published_ms=NOW_MS - 1), NOW_MS - 30_000)
    assert set(early.published_ms.tolist()) == {NOW_MS - 1}  # its publisher's clock is ahead


def test_only_of_the_past_of_a_power_the_publishers_time_counts() -> None:
    load = series(kind="load", unit="MW", start_ms=NOW_MS - 2 * HOUR_MS, published_ms=T0)
    assert feed(load, NOW_MS).published_ms.tolist() == [T0, T0, NOW_MS]
    past = series(start_ms=NOW_MS - 2 * HOUR_MS, published_ms=T0)
    assert feed(past, NOW_MS).published_ms.tolist() == [NOW_MS] * 3


def test_a_longer_interval_counts_for_all_within_it_and_a_shorter_one_not() -> None:
    known = feed(series(values=(7.0, None)), NOW_MS, HOUR_MS // 2)
    assert (known.start_ms - NOW_MS).tolist() == [0, HOUR_MS // 2, HOUR_MS, 3 * HOUR_MS // 2]
    np.testing.assert_array_equal(known.values, [7.0, 7.0, np.nan, np.nan])
    assert len(feed(series(), NOW_MS, 2 * HOUR_MS).start_ms) == 0
    assert len(feed(series(), NOW_MS, 40 * 60_000).start_ms) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"published_ms": NOW_MS + 60_001}, "published 60 s after it was written"),
        ({"unit": "MW"}, "price cannot be in MW"),
        ({"kind": "wind"}, "wind cannot be in EUR/MWh"),
        ({"start_ms": NOW_MS + 1}, "grid"),
        ({"start_ms": 253_402_297_200_000}, "9999"),
    ],
)
def test_what_nobody_can_use_has_a_flaw_and_is_left_out(changes: dict[str, Any], why: str) -> None:
    bad = series(**changes)
    assert why in (flaw(bad, NOW_MS) or "")
    known = Publications()
    known.add(bad, NOW_MS)
    known.add(series(), NOW_MS)
    assert [one.series for one in known.since("test", "price", 0)] == [series()]
    assert flaw(series(published_ms=NOW_MS + 60_000), NOW_MS) is None


def request() -> DecisionRequest:
    return DecisionRequest(HOURLY, "north", NOW_MS, NOW_MS - HOURLY.gate_ms, ReservePolicy())


def test_prices_in_another_unit_are_left_out_and_the_bid_says_so() -> None:
    records = [
        Input("market.published", at, series(unit=unit), NOW_MS - HOUR_MS)
        for at, unit in enumerate(("EUR/MWh", "USD/MWh"))
    ]
    inputs = inputs_from_records(records, request())
    assert inputs.published.values[0] == 70.0
    assert len(inputs.published.values) == 3
    usual = inputs_at(NOW_MS, prices_of(duck_days(4)))
    bid, _ = Autobidder().decide(replace(usual, left_out=inputs.left_out), lambda: 0.0, 5.0)
    assert bid.faults == ("published prices in USD/MWh were left out: the market's are in EUR/MWh",)


def test_what_is_too_old_for_a_decision_is_forgotten_without_a_change() -> None:
    known = Knowledge()
    old_ms = NOW_MS - 30 * 24 * HOUR_MS
    known.apply(Input("market.published", 0, series(published_ms=old_ms), old_ms))
    known.apply(Input("market.published", 1, series(), NOW_MS - HOUR_MS))
    before = known.inputs(request()).published
    known.forget(NOW_MS)
    after = known.inputs(request()).published
    assert before.values.tobytes() == after.values.tobytes()
    assert len(after.values) == 3
