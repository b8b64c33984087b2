"""``vpp explain`` on a real Kafka: a bid is decided again from what had been read, and told of."""

from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from rich.console import Console

from schemas.dispatch import DispatchStatus
from schemas.encoding import encode_json
from schemas.market import Award, Bid, Clearing, Delivery, EnergyOffer, InputOffset, Step
from schemas.windows import Deliverable
from tests.support.kafka_world import read_all
from vpp_streams import clock
from vpp_streams.cli.screens.explain import explanation_text, why
from vpp_streams.domain.market.knowledge import Input, inputs_from_records
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read, receive
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.explanation import (
    BidOutcome,
    Explanation,
    InputFigures,
    decide_again,
    differences,
    explain,
    request_of,
)
from vpp_streams.market.input_topics import READ_BACK_MS
from vpp_streams.settings import Settings

RULES = sim_rules(60_000, 10_000)
HISTORY = 120


def quiet(_words: str) -> None: ...


async def write(settings: Settings, records: list[tuple[Topic, msgspec.Struct | bytes]]) -> None:
    producer = KafkaClients(settings).producer()
    await producer.start()
    try:
        for topic, record in records:
            value = record if isinstance(record, bytes) else encode_json(record)
            await producer.send(topic.full(settings.namespace), value, partition=0)
        await producer.flush()
    finally:
        await producer.stop()


def status(at_ms: int, up_w: float = 50e3) -> DispatchStatus:
    return DispatchStatus(
        region="north",
        at_ms=at_ms,
        mode="idle",
        measured_w=0.0,
        net_load_w=0.0,
        capability=(Deliverable(900, up_w, 40e3), Deliverable(14_400, up_w / 4, 9e3)),
        states={},
        partitions_expected=1,
        partitions_heard=1,
    )


def clearing(start_ms: int, price: float) -> Clearing:
    return Clearing(
        market="sim",
        start_ms=start_ms,
        interval_ms=RULES.interval_ms,
        cleared_at_ms=start_ms - RULES.gate_ms,
        prices={"energy": price},
        currency="USD",
    )


class Decided:
    """A bid that was decided from topics, and what its interval came to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        now_ms = clock.now_ms()
        self.start_ms = now_ms - now_ms % RULES.interval_ms + 2 * RULES.interval_ms
        self.made_at_ms = now_ms
        self.id = bid_id("sim", "north", self.start_ms)

    def empty(self) -> Bid:
        return Bid(
            bid_id=self.id,
            market="sim",
            region="north",
            start_ms=self.start_ms,
            interval_ms=RULES.interval_ms,
            gate_ms=self.start_ms - RULES.gate_ms,
            made_at_ms=self.made_at_ms,
            rung="safe",
            energy=EnergyOffer(0.0),
            currency="USD",
        )

    async def inputs(self) -> list[Input]:
        return [
            Input(topic.name, read.offset, read.record)
            for topic in READ_BACK_MS
            for raw in await read_all(self.settings, topic.full(self.settings.namespace))
            if isinstance(read := receive(topic, raw), Read)
        ]

    async def make(self, **changes: object) -> Bid:
        """Prices, junk and a region's state; the bid on them; then what it could not know."""
        known = SimMarket(RULES).prices(self.made_at_ms)
        tail = list(zip(known.start_ms.tolist(), known.energy.tolist(), strict=True))[-HISTORY:]
        await write(
            self.settings,
            [
                *((topics.MARKET_AWARDS, clearing(start, price)) for start, price in tail),
                (topics.MARKET_AWARDS, b"junk"),
                (topics.DISPATCH_EVENTS, status(self.made_at_ms)),
            ],
        )
        inputs = inputs_from_records(await self.inputs(), request_of(self.empty()))
        bid = msgspec.structs.replace(decide_again(inputs), **changes)
        award = Award(
            bid_id=self.id,
            market="sim",
            region="north",
            start_ms=self.start_ms,
            interval_ms=RULES.interval_ms,
            cleared_at_ms=bid.gate_ms,
            energy_w=20_000.0,
            prices={"energy": 91.5},
            currency="USD",
        )
        delivery = Delivery(
            bid_id=self.id,
            market="sim",
            region="north",
            start_ms=self.start_ms,
            interval_ms=RULES.interval_ms,
            awarded_w=20_000.0,
            measured_w=19_800.0,
            coverage=1.0,
            money=0.0302,
            currency="USD",
        )
        await write(
            self.settings,
            [
                (topics.MARKET_BIDS, b"junk"),
                (topics.MARKET_BIDS, bid),
                (topics.MARKET_BIDS, msgspec.structs.replace(bid, energy=EnergyOffer(7.0))),
                (topics.DISPATCH_EVENTS, status(self.made_at_ms, up_w=5e3)),
                (topics.MARKET_AWARDS, clearing(self.start_ms, 91.5)),
                (topics.MARKET_AWARDS, award),
                (topics.MARKET_DELIVERIES, delivery),
            ],
        )
        return bid


def shown(told: Any) -> str:
    console = Console(width=110)
    with console.capture() as captured:
        console.print(explanation_text(told))
    return captured.get()


@pytest.mark.kafka
async def test_a_bid_is_decided_again_from_what_had_been_read(topics_ready: Settings) -> None:
    decided = Decided(topics_ready)
    bid = await decided.make()
    assert bid.rung in ("warm_lp", "fresh_lp")
    told = await explain(topics_ready, decided.id, quiet)
    assert told.bid == bid
    assert told.differs == told.lost == ()
    assert told.again.energy == bid.energy
    assert (told.inputs.prices, told.inputs.discharge_w) == (HISTORY, 50e3)
    assert told.inputs.records == {"market.awards": HISTORY, "dispatch.events": 1}
    became = told.became
    assert (became.price, became.refusal, became.shortfall) == (91.5, None, None)
    assert became.award is not None
    assert became.delivery is not None
    text = shown(told)
    for said in (decided.id, "is the same", "19.80 kW of 20.00 kW (1.0% off)", "earned 0.0302 USD"):
        assert said in text
    assert msgspec.json.decode(encode_json(told), type=type(told)) == told


@pytest.mark.kafka
async def test_a_bid_that_is_not_what_its_inputs_make_is_told_so(topics_ready: Settings) -> None:
    decided = Decided(topics_ready)
    await decided.make(energy=EnergyOffer(123.0), expected_w=123.0)
    told = await explain(topics_ready, decided.id, quiet)
    assert told.differs[0] == "the energy curve"
    assert told.differs[1].endswith("not 123 W")
    assert "differs in the energy curve" in shown(told)


@pytest.mark.kafka
async def test_inputs_that_are_no_longer_kept_are_named(topics_ready: Settings) -> None:
    decided = Decided(topics_ready)
    await decided.make()
    await cut(topics_ready, topics.DISPATCH_EVENTS, 1)
    await cut(topics_ready, topics.MARKET_AWARDS, 50)
    told = await explain(topics_ready, decided.id, quiet)
    assert [line.split()[0] for line in told.lost] == ["market.awards", "dispatch.events:"]
    assert told.inputs.discharge_w is None
    assert told.again.rung == "safe"
    assert "Inputs are missing" in shown(told)


async def cut(settings: Settings, topic: Topic, before: int) -> None:
    """Delete records as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        at = TopicPartition(topic.full(settings.namespace), 0)
        await admin.delete_records({at: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


@pytest.mark.kafka
@pytest.mark.parametrize("id_", ["sim:north:1763855100000", "nonsense", "x:" + "9" * 30])
async def test_an_unknown_bid_is_one_line_that_names_the_newest(
    topics_ready: Settings, id_: str
) -> None:
    with pytest.raises(InputError, match="none was made yet"):
        await explain(topics_ready, id_, quiet)
    decided = Decided(topics_ready)
    await write(topics_ready, [(topics.MARKET_BIDS, decided.empty())])
    with pytest.raises(InputError, match=f"the newest: {decided.id}"):
        await explain(topics_ready, id_, quiet)


@pytest.mark.kafka
async def test_a_bid_of_another_market_cannot_be_decided_again(topics_ready: Settings) -> None:
    bid = Decided(topics_ready).empty()
    id_ = bid_id("aemo", "north", bid.start_ms)
    other = msgspec.structs.replace(bid, market="aemo", bid_id=id_)
    await write(topics_ready, [(topics.MARKET_BIDS, other)])
    with pytest.raises(InputError, match="market aemo"):
        await explain(topics_ready, id_, quiet)


async def test_an_order_book_is_one_line_that_names_where_it_is(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"is an order book; .* market\.orders"):
        await explain(settings, "sim-day:north:day-1763856000000", quiet)


def test_only_what_is_offered_counts_as_a_difference(settings: Settings) -> None:
    bid = Decided(settings).empty()
    assert differences(bid, msgspec.structs.replace(bid, rung="warm_lp", solve_ms=9.0)) == ()
    assert len(differences(bid, msgspec.structs.replace(bid, expected_w=1.0))) == 1


def test_the_reasons_name_prices_and_powers(settings: Settings) -> None:
    bid = msgspec.structs.replace(
        Decided(settings).empty(),
        energy=EnergyOffer(-40e3, (Step(11.0, 0.0), Step(88.25, 310e3))),
        expected_price=50.0,
        withheld_w=5e3,
        withheld_cost=0.02,
        sources=(InputOffset("region.live", 0, 3),),
        slacks={"reserve": 3.0},
        faults=("the newest price is old",),
    )
    inputs = InputFigures(
        records={},
        stored_wh=1.0,
        energy_wh=2.0,
        charge_w=1.0,
        discharge_w=1.0,
        prices=0,
        newest_price_ms=None,
        newest_price=None,
        open_awards=1,
        delivered=0,
    )
    told = Explanation(bid=bid, inputs=inputs, lost=(), again=bid, differs=(), became=BidOutcome())
    said = "\n".join(why(told))
    for part in (
        "sells 310.00 kW from 88.25 on: below that, a MWh is worth more later",
        "buys up to 40.00 kW while a MWh costs less than 11.00",
        "5.00 kW are withheld",
        "1 interval was sold already",
        "reserve could not be kept, by 3",
        "The newest price is old.",
    ):
        assert part in said
    assert "no award is known yet" in shown(told)
    quiet = msgspec.structs.replace(bid, offered_by="last_day")
    said = "\n".join(why(msgspec.structs.replace(told, bid=quiet)))
    assert "sells 310.00 kW from 88.25 on: that is dear." in said
    assert "buys up to 40.00 kW while a MWh costs less than 11.00: that is cheap." in said
    assert "worth more later" not in said
    assert "cheap and dear are those of the last day's prices" in said
    alike = msgspec.structs.replace(bid, offered_by="time_of_day")
    said = "\n".join(why(msgspec.structs.replace(told, bid=alike)))
    assert "sells 310.00 kW from 88.25 on: that is dear." in said
    assert "cheap and dear are the times of day that were so on them" in said
