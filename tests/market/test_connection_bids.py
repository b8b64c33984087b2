"""A market at the connection as the optimizer's records tell it, without Kafka."""

import asyncio
from functools import partial
from typing import Any

import msgspec

from schemas.dispatch import DispatchStatus, Target
from schemas.encoding import encode_json
from schemas.forecast import RegionForecast
from schemas.market import Bid, Clearing, Gate
from schemas.windows import Deliverable
from tests.support.connection_factory import forecast, quantity
from tests.support.kafka_raw import Raw, take
from tests.support.web_records import region_live
from vpp_streams.cli.screens.explain import why
from vpp_streams.domain.market.clearing import award_of
from vpp_streams.domain.market.connection import ConnectionLimits
from vpp_streams.domain.market.knowledge import Input, inputs_from_records, records_below
from vpp_streams.domain.market.sim_market import IMPORT_FEE, SimMarket, sim_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read, receive
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.awards import OpenAwards
from vpp_streams.market.explanation import (
    BidOutcome,
    Explanation,
    InputFigures,
    decide_again,
    differences,
    request_of,
)
from vpp_streams.market.optimizer import Optimizer
from vpp_streams.process.connection import onlooker
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

MINUTE = 60_000
NOW = 1_800_000_000_000
RULES = sim_rules(5 * MINUTE, MINUTE, "connection")
START = NOW + 2 * MINUTE - (NOW + 2 * MINUTE) % RULES.interval_ms + RULES.interval_ms
GATE = Gate(market="sim", start_ms=START, interval_ms=5 * MINUTE, gate_ms=START - MINUTE)
LIMITS = ConnectionLimits(import_w=90e3, export_w=25e3)


class Desk:
    """An optimizer of a market at the connection, and the records that it has read."""

    def __init__(self) -> None:
        self.sent: list[msgspec.Struct] = []
        self.read: list[Input] = []
        self.health = HealthReporter("optimizer")
        self.optimizer = Optimizer(
            onlooker(KafkaClients(Settings())),
            lambda: ["north"],
            self.health,
            self._send,
            lambda: NOW,
            rules_of=partial(sim_rules, metered_at="connection"),
            limits=lambda _region: LIMITS,
        )

    async def _send(self, _topic: Topic[Any], record: msgspec.Struct) -> None:
        self.sent.append(record)

    def hear(self, topic: Topic[Any], record: msgspec.Struct) -> None:
        raw = Raw(encode_json(record), offset=len(self.read))
        assert not take(Feed(topic, self.optimizer.taking(topic)), raw, self.health.counters)
        read = receive(topic, raw)
        assert isinstance(read, Read)
        self.read.append(Input(topic.name, read.offset, read.record))

    def hear_region(self, *forecasts: RegionForecast) -> None:
        """Prices, what the region can do, and the forecasts."""
        known = SimMarket(RULES).prices(NOW)
        rows = zip(known.start_ms.tolist()[-300:], known.energy.tolist()[-300:], strict=True)
        for start_ms, price in rows:
            clearing = Clearing(
                market="sim", start_ms=start_ms, interval_ms=RULES.interval_ms,
                cleared_at_ms=start_ms - MINUTE, prices={"energy": price}, currency="USD",
            )  # fmt: skip
            self.hear(topics.MARKET_AWARDS, clearing)
        self.hear(topics.REGION_LIVE, region_live("north", at_ms=NOW, load_w=7e3, solar_w=0.0))
        self.hear(topics.DISPATCH_EVENTS, status())
        for one in forecasts:
            self.hear(topics.REGION_FORECASTS, one)

    async def bid(self) -> Bid:
        await self.optimizer.bid_for(GATE, "north")
        return next(record for record in self.sent if isinstance(record, Bid))

    def again(self, bid: Bid) -> Bid:
        """The decision as `vpp explain` makes it from the records of the bid's offsets."""
        return decide_again(inputs_from_records(records_below(self.read, bid), request_of(bid)))


def status() -> DispatchStatus:
    return DispatchStatus(
        region="north", at_ms=NOW, mode="idle", measured_w=0.0, net_load_w=0.0, states={},
        capability=(Deliverable(900, 50e3, 40e3), Deliverable(14_400, 20e3, 20e3)),
        partitions_expected=1, partitions_heard=1,
    )  # fmt: skip


async def test_the_forecast_is_among_the_inputs_and_explain_decides_the_same() -> None:
    desk = Desk()
    first = forecast(NOW - 900_000, quantity(9e3))
    newest = forecast(NOW, quantity(12e3, 3e3, 5e3), quantity(2e3, 0.0, 0.0))
    desk.hear_region(first, newest, forecast(NOW, quantity(80e3)))
    bid = await desk.bid()
    assert (bid.net_load_w, bid.net_load_low_w, bid.net_load_high_w) == (10e3, 7e3, 15e3)
    assert (bid.import_limit_w, bid.export_limit_w) == (90e3, 25e3)
    assert max(step.power_w for step in bid.energy.steps) <= 25e3
    assert topics.REGION_FORECASTS.name in {source.topic for source in bid.sources}
    desk.hear(topics.REGION_FORECASTS, forecast(NOW + 900_000, quantity(70e3)))
    again = desk.again(bid)
    assert differences(bid, again) == ()
    assert (again.net_load_w, again.faults) == (bid.net_load_w, bid.faults)


async def test_a_bid_without_a_forecast_is_repeated_from_the_load_last_seen() -> None:
    desk = Desk()
    desk.hear_region()
    bid = await desk.bid()
    assert (bid.net_load_w, bid.net_load_high_w) == (7e3, 14e3)
    assert differences(bid, desk.again(bid)) == ()
    assert any("no forecast of load" in fault for fault in bid.faults)


async def test_the_reasons_name_the_load_and_the_limits() -> None:
    desk = Desk()
    desk.hear_region(forecast(NOW, quantity(12e3, 3e3, 5e3)))
    bid = await desk.bid()
    figures = InputFigures(
        records={}, stored_wh=1.0, energy_wh=2.0, charge_w=1.0, discharge_w=1.0, prices=0,
        newest_price_ms=None, newest_price=None, open_awards=0, delivered=0,
    )  # fmt: skip
    told = Explanation(bid=bid, inputs=figures, lost=(), again=bid, differs=(), became=BidOutcome())
    said = "\n".join(why(told))
    for part in (
        "It is the net position at the grid connections",
        "Homes are expected to draw 12.00 kW net of solar power, and between 9.00 kW and 17.00 kW",
        "the batteries keep 5.00 kW of discharge and 3.00 kW of charge free",
        "The connections take no more than 90.00 kW together.",
        "The connections give no more than 25.00 kW together.",
    ):
        assert part in said


def test_the_simulated_market_can_be_at_the_connection() -> None:
    assert sim_rules(60_000, 10_000) == sim_rules(60_000, 10_000, "battery")
    assert sim_rules(60_000, 10_000).import_fee == 0.0
    assert (RULES.metered_at, RULES.import_fee) == ("connection", IMPORT_FEE)
    assert Settings().market_metered_at == "battery"


async def test_an_award_is_delivered_where_it_is_metered() -> None:
    desk = Desk()
    desk.hear_region(forecast(NOW, quantity(12e3)))
    award = award_of(await desk.bid(), {"energy": 400.0}, RULES, cleared_at_ms=GATE.gate_ms)
    sent: asyncio.Queue[msgspec.Struct] = asyncio.Queue()

    async def send(_topic: Topic[Any], record: msgspec.Struct) -> None:
        sent.put_nowait(record)

    awards = OpenAwards(desk.health, send, lambda: NOW)
    awards.apply(award)
    keeping = asyncio.create_task(awards.keep_for_ever())
    target = await sent.get()
    keeping.cancel()
    assert isinstance(target, Target)
    assert (target.metered_at, target.export_w) == ("connection", award.energy_w)
