"""A simulated day-ahead auction and the optimizer: one book a day, awards to targets, kills."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.dispatch import DispatchStatus, Target
from schemas.encoding import encode_json
from schemas.market import Award, Clearing, Gate, Refusal
from schemas.orders import OrderBook
from schemas.published import PublishedSeries
from schemas.windows import Deliverable
from tests.support.kafka_raw import Raw, take
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.day_ahead.decision import decide_day
from vpp_streams.domain.market.knowledge import Input, inputs_from_records, records_below
from vpp_streams.domain.market.sim_days import INTERVALS, SimDays, sim_day_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.awards import AHEAD_MS, OVERLAP_MS, OpenAwards
from vpp_streams.market.day_books import DayBooks, day_request
from vpp_streams.market.optimizer import Optimizer
from vpp_streams.market.simulated import MarketDesk
from vpp_streams.market.simulated_days import day_trading
from vpp_streams.process.connection import onlooker
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

MINUTE = 60_000
DAY_MS = INTERVALS * MINUTE
RULES = sim_day_rules(MINUTE)
START_MS = 1_763_856_000_000 // DAY_MS * DAY_MS
GATE_MS = START_MS - DAY_MS // 2
DECIDES_MS = GATE_MS - 6_000


class Log:
    """The topics as lists; the processes that a test makes read them."""

    def __init__(self) -> None:
        self.now_ms = DECIDES_MS
        self.records: list[tuple[Topic, msgspec.Struct, int]] = []

    async def send(self, topic: Topic, record: msgspec.Struct) -> None:
        self.records.append((topic, record, self.now_ms))

    async def flush(self) -> None: ...

    def of(self, kind: type) -> list[Any]:
        return [record for _, record, _ in self.records if isinstance(record, kind)]

    def inputs(self) -> list[Input]:
        found, offsets = [], dict[str, int]()
        for topic, record, written_at_ms in self.records:
            offset = offsets[topic.name] = offsets.get(topic.name, -1) + 1
            found.append(Input(topic.name, offset, record, written_at_ms))  # type: ignore[arg-type]
        return found

    def feed(self, takers: dict[str, Callable[[Any], None]]) -> None:
        """All records of the topics that a process reads."""
        for one, (topic, record, written_at_ms) in zip(self.inputs(), self.records, strict=True):
            if topic.name in takers:
                raw = Raw(encode_json(record), offset=one.offset, timestamp=written_at_ms)
                health = HealthReporter("test")
                assert take(Feed(topic, takers[topic.name]), raw, health.counters) == []


def market(log: Log) -> MarketDesk[OrderBook]:
    """A market that has read its topics."""
    outlet: Any = log
    follower, health = onlooker(KafkaClients(Settings())), HealthReporter("market")
    desk = MarketDesk(day_trading(SimDays(RULES)), follower, outlet, health, lambda: log.now_ms)
    log.feed({"market.awards": desk.on_own, "market.orders": desk.on_offer})
    return desk


def optimizer(log: Log) -> Optimizer:
    """An optimizer that has read its topics."""
    made = Optimizer(
        onlooker(KafkaClients(Settings())),
        lambda: ["north"],
        HealthReporter("optimizer"),
        log.send,
        lambda: log.now_ms,
        rules_of=lambda _interval_ms, _gate_ms: RULES,
    )
    read = (
        topics.MARKET_AWARDS,
        topics.MARKET_ORDERS,
        topics.MARKET_PUBLISHED,
        topics.DISPATCH_EVENTS,
    )
    log.feed({topic.name: made.taking(topic) for topic in read})
    return made


async def opened() -> tuple[Log, Gate]:
    """A log with prices, the open gate, the region's state and a published load."""
    log = Log()
    await market(log).turn(log.now_ms)
    capability = (Deliverable(900, 5e5, 5e5), Deliverable(3600, 1e3, 3e5))
    status = DispatchStatus(
        region="north",
        at_ms=log.now_ms,
        mode="idle",
        measured_w=0.0,
        net_load_w=0.0,
        capability=capability,
        states={},
        partitions_expected=1,
        partitions_heard=1,
    )
    await log.send(topics.DISPATCH_EVENTS, status)
    series = PublishedSeries(
        market="sim-day",
        kind="load",
        published_ms=log.now_ms - MINUTE,
        start_ms=START_MS,
        interval_ms=MINUTE,
        values=(50_000.0,) * INTERVALS,
        unit="MW",
    )
    await log.send(topics.MARKET_PUBLISHED, series)
    (gate,) = log.of(Gate)
    return log, gate


async def with_book() -> tuple[Log, OrderBook]:
    log, gate = await opened()
    await optimizer(log).bid_for(gate, "north")
    (book,) = log.of(OrderBook)
    return log, book


async def test_a_gate_is_for_all_intervals_of_a_day_and_prices_for_closed_days() -> None:
    log, gate = await opened()
    assert (gate.start_ms, gate.gate_ms, gate.intervals) == (START_MS, GATE_MS, INTERVALS)
    starts = [clearing.start_ms for clearing in log.of(Clearing)]
    assert starts[-1] == START_MS - MINUTE
    assert len(starts) == len(set(starts)) == 60 * INTERVALS
    before = len(log.records)
    await market(log).turn(log.now_ms)  # started again
    assert len(log.records) == before


async def test_a_day_has_one_book_that_is_decided_again_byte_by_byte() -> None:
    log, book = await with_book()
    assert book.book_id == f"sim-day:north:day-{START_MS}"
    assert len(book.hourly) == INTERVALS
    assert 0 < len(book.loops) <= 3
    assert {source.topic for source in book.sources} == {
        "market.awards", "market.published", "dispatch.events",
    }  # fmt: skip
    late = PublishedSeries(
        market="sim-day", kind="load", published_ms=log.now_ms, start_ms=START_MS,
        interval_ms=MINUTE, values=(-1e5,) * INTERVALS, unit="MW",
    )  # fmt: skip
    await log.send(topics.MARKET_PUBLISHED, late)
    (gate,) = log.of(Gate)
    request = day_request(gate, "north", book.made_at_ms)
    inputs = inputs_from_records(records_below(log.inputs(), book), request)
    assert set(inputs.series) == {"load"}
    again = msgspec.structs.replace(decide_day(inputs, INTERVALS), solve_ms=book.solve_ms)
    assert encode_json(again) == encode_json(book)
    await optimizer(log).bid_for(gate, "north")  # a successor
    assert log.of(OrderBook) == [book]


async def test_awards_follow_the_gate_and_become_targets() -> None:
    log, book = await with_book()
    await market(log).turn(GATE_MS - 1)
    assert log.of(Award) == []
    log.now_ms = GATE_MS
    await market(log).turn(log.now_ms)
    awards = log.of(Award)
    assert [award.start_ms for award in awards] == list(range(START_MS, START_MS + DAY_MS, MINUTE))
    assert awards == SimDays(RULES).clear(book, DECIDES_MS)
    sold, bought = (sum(max(sign * a.energy_w, 0) for a in awards) for sign in (1, -1))
    assert sold > 0 < bought
    targets: list[Target] = []
    written = asyncio.Event()

    async def send(_topic: Topic, record: Any) -> None:
        targets.append(record)
        if len(targets) == INTERVALS:
            written.set()

    open_awards = OpenAwards(HealthReporter("optimizer"), send, lambda: log.now_ms)
    for award in awards:
        open_awards.apply(award)
    keeping = asyncio.create_task(open_awards.keep_for_ever())
    await written.wait()
    keeping.cancel()
    first = min(targets, key=lambda target: target.starts_at_ms)
    assert (first.request_id, first.export_w) == (awards[0].bid_id, awards[0].energy_w)
    assert first.starts_at_ms == START_MS - AHEAD_MS
    assert first.ends_at_ms == START_MS + MINUTE - AHEAD_MS + OVERLAP_MS
    assert first.issued_at_ms == GATE_MS


@pytest.mark.parametrize("written", [0, 1, 10, INTERVALS])
async def test_a_market_that_is_killed_while_it_answers_gives_each_interval_one_award(
    written: int,
) -> None:
    log, _ = await with_book()
    log.now_ms = GATE_MS
    await market(log).turn(log.now_ms)
    every = log.of(Award)
    killed = Log()
    rest = [entry for entry in log.records if not isinstance(entry[1], Award)]
    killed.records = rest + [(topics.MARKET_AWARDS, award, GATE_MS) for award in every[:written]]
    killed.now_ms = GATE_MS + 1
    await market(killed).turn(killed.now_ms)
    assert killed.of(Award) == every
    assert killed.of(Refusal) == []


@pytest.mark.parametrize(
    ("arrived_ms", "now_ms", "why"),
    [
        (GATE_MS + 1, GATE_MS + 2, "after the gate"),
        (DECIDES_MS, START_MS, "its day had begun"),
    ],
)
async def test_a_book_that_is_late_has_one_refusal(arrived_ms: int, now_ms: int, why: str) -> None:
    log, book = await with_book()
    log.records[-1] = (topics.MARKET_ORDERS, book, arrived_ms)
    log.now_ms = now_ms
    for _ in range(2):
        await market(log).turn(log.now_ms)
    (refusal,) = log.of(Refusal)
    assert (refusal.bid_id, log.of(Award)) == (book.book_id, [])
    assert why in refusal.reason


async def test_a_book_for_a_day_that_is_not_open_yet_is_refused() -> None:
    log, book = await with_book()
    later_ms = START_MS + 2 * DAY_MS
    ahead = msgspec.structs.replace(
        book, book_id=f"sim-day:north:day-{later_ms}", start_ms=later_ms,
        gate_ms=later_ms - DAY_MS // 2,
    )  # fmt: skip
    await log.send(topics.MARKET_ORDERS, ahead)
    await market(log).turn(log.now_ms)
    (refusal,) = log.of(Refusal)
    assert (refusal.bid_id, refusal.reason) == (
        ahead.book_id,
        "no books are taken for its day yet",
    )


async def test_a_decision_that_fails_is_replaced_by_a_book_that_offers_nothing() -> None:
    log, gate = await opened()

    def fails(_inputs: CycleInputs, _intervals: int) -> OrderBook:
        raise ZeroDivisionError("a bug")

    health = HealthReporter("optimizer")
    known = optimizer(log)._known  # noqa: SLF001  # what it has read
    books = DayBooks(known, health, log.send, lambda: log.now_ms, decide=fails)
    await books.book_for(gate, "north")
    (book,) = log.of(OrderBook)
    assert "a bug" in book.faults[0]
    assert health.counters["decisions_failed"] == 1
    log.now_ms = GATE_MS
    await market(log).turn(log.now_ms)
    assert {award.energy_w for award in log.of(Award)} == {0.0}


async def test_after_the_gate_there_is_no_book() -> None:
    log, gate = await opened()
    log.now_ms = GATE_MS
    await optimizer(log).bid_for(gate, "north")
    assert log.of(OrderBook) == []
