"""Published series in the running optimizer: used from when they arrive on, and decided again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.dispatch import DispatchStatus
from schemas.encoding import encode_json
from schemas.market import Bid, Clearing, Gate
from schemas.published import PublishedSeries
from schemas.rejected import RejectedRecord
from schemas.windows import Deliverable
from tests.support.kafka_raw import Raw, take
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed
from vpp_streams.domain.market.knowledge import Input, inputs_from_records, records_below
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed as TopicFeed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.explanation import decide_again, request_of
from vpp_streams.market.optimizer import Optimizer
from vpp_streams.process.connection import onlooker
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

MINUTE = 60_000
NOW = 1_800_000_000_000
RULES = sim_rules(MINUTE, 10_000)
GATE = Gate(market="sim", start_ms=NOW + MINUTE, interval_ms=MINUTE, gate_ms=NOW + MINUTE - 10_000)
DEAR = tuple(400.0 if 40 <= k < 60 else 10.0 for k in range(120))


class Desk:
    """An optimizer, and the records that it was given."""

    def __init__(self) -> None:
        self.health = HealthReporter("optimizer")
        self.bids: list[Bid] = []
        self.given: list[Input] = []
        self._next: dict[str, int] = {}
        self.optimizer = Optimizer(
            onlooker(KafkaClients(Settings())),
            lambda: ["north"],
            self.health,
            self._send,
            lambda: NOW,
            rules_of=sim_rules,
            # A clock that stands still makes no difference between two decisions.
            make_bidder=Still,
        )

    async def _send(self, _topic: Topic, record: msgspec.Struct) -> None:
        if isinstance(record, Bid):
            self.bids.append(record)

    def hear(
        self, topic: Topic, record: msgspec.Struct, written_at_ms: int = NOW
    ) -> list[RejectedRecord]:
        offset = self._next.get(topic.name, 0)
        self._next[topic.name] = offset + 1
        self.given.append(Input(topic.name, offset, record, written_at_ms))  # type: ignore[arg-type]
        feed = TopicFeed(topic, self.optimizer.taking(topic))
        raw = Raw(encode_json(record), offset=offset, timestamp=written_at_ms)
        return take(feed, raw, self.health.counters)

    async def bid(self) -> Bid:
        await self.optimizer.bid_for(GATE, "north")
        return self.bids[-1]


class Still(Autobidder):
    """Decides as always, without counting time."""

    def decide(self, inputs: Any, clock: Callable[[], float], deadline_s: float) -> Any:
        return super().decide(inputs, lambda: 0.0, 1.0)


def desk() -> Desk:
    """A desk that knows prices and what the region can do."""
    at = Desk()
    prices = SimMarket(RULES).prices(NOW)
    for start_ms, price in list(zip(prices.start_ms, prices.energy, strict=True))[-300:]:
        clearing = Clearing(
            market="sim",
            start_ms=int(start_ms),
            interval_ms=MINUTE,
            cleared_at_ms=int(start_ms) - 10_000,
            prices={"energy": float(price)},
            currency="USD",
        )
        at.hear(topics.MARKET_AWARDS, clearing)
    capability = (Deliverable(900, 50e3, 40e3), Deliverable(14_400, 5e3, 5e3))
    status = DispatchStatus(
        region="north",
        at_ms=NOW,
        mode="idle",
        measured_w=0.0,
        net_load_w=0.0,
        capability=capability,
        states={},
        partitions_expected=1,
        partitions_heard=1,
    )
    at.hear(topics.DISPATCH_EVENTS, status)
    return at


def series(**changes: Any) -> PublishedSeries:
    usual = PublishedSeries(
        market="sim",
        kind="price",
        published_ms=NOW - 10 * MINUTE,
        start_ms=NOW,
        interval_ms=MINUTE,
        values=DEAR,
        unit="USD/MWh",
    )
    return msgspec.structs.replace(usual, **changes)


async def test_a_published_series_changes_bids_and_they_are_decided_again_byte_by_byte() -> None:
    without = await desk().bid()
    at = desk()
    assert at.hear(topics.MARKET_PUBLISHED, series(), NOW - 9 * MINUTE) == []
    bid = await at.bid()
    assert at.health.counters["published"] == 1
    assert bid.energy != without.energy
    assert ("market.published", 1) in [(s.topic, s.offset) for s in bid.sources]
    at.hear(topics.MARKET_PUBLISHED, series(values=(-50.0,) * 120), NOW)  # after the decision
    again = inputs_from_records(records_below(at.given, bid), request_of(bid))
    decided = decide_again(again)
    assert encode_json(msgspec.structs.replace(decided, solve_ms=0.0)) == encode_json(bid)


async def test_a_bid_is_the_one_that_a_replay_of_the_same_feed_makes() -> None:
    """The feed of a file, by times of publication alone, where records arrived at once."""
    at = desk()
    at.hear(topics.MARKET_PUBLISHED, series(), NOW - 10 * MINUTE)
    bid = await at.bid()
    inputs = inputs_from_records(at.given, request_of(bid))
    starts = NOW + np.arange(120, dtype=np.int64) * MINUTE
    of_a_file = Feed(starts, np.full(120, NOW - 10 * MINUTE), np.array(DEAR))
    replayed = Still().decide(replace(inputs, published=of_a_file), lambda: 0.0, 1.0)[0]
    assert encode_json(replayed) == encode_json(bid)


@pytest.mark.parametrize("written_at_ms", [NOW - 10 * MINUTE, NOW])
async def test_what_arrives_after_the_first_gate_of_an_outlook_is_not_used(
    written_at_ms: int,
) -> None:
    """Six intervals share an outlook; the gate of the first closed ten seconds before it began."""
    group_ms = GATE.start_ms - GATE.start_ms % (6 * MINUTE)
    assert NOW - 10 * MINUTE < group_ms - RULES.gate_ms - 1 < NOW
    without, at = await desk().bid(), desk()
    at.hear(topics.MARKET_PUBLISHED, series(), written_at_ms)
    assert ((await at.bid()).energy != without.energy) == (written_at_ms < NOW)


async def test_a_series_that_nobody_can_use_is_a_dead_letter_and_no_input() -> None:
    at = desk()
    (letter,) = at.hear(topics.MARKET_PUBLISHED, series(published_ms=NOW + 10 * MINUTE))
    assert (letter.reason, at.health.counters["published"]) == ("refused", 0)
    assert "after it was written" in letter.detail
    at.hear(topics.MARKET_PUBLISHED, series(unit="MW"))
    assert at.health.counters["records_rejected"] == 2
    inputs = inputs_from_records(at.given, request_of(await at.bid()))
    assert inputs.published is NOTHING_PUBLISHED


async def test_a_series_that_stopped_is_left_out_and_the_bid_says_so() -> None:
    at = desk()
    for ago in range(80, 20, -10):
        published_ms = NOW - ago * MINUTE
        at.hear(topics.MARKET_PUBLISHED, series(published_ms=published_ms), published_ms)
    assert (await at.bid()).faults == ()
    late = desk()
    for ago in range(180, 60, -10):
        published_ms = NOW - ago * MINUTE
        late.hear(topics.MARKET_PUBLISHED, series(published_ms=published_ms), published_ms)
    bid = await late.bid()
    (fault,) = bid.faults
    assert "stale (the newest is 70 min old, and one was published each 10 min)" in fault
    assert bid.energy == (await desk().bid()).energy
