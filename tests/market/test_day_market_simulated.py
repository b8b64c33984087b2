"""The day-ahead auction on a simulated Kafka, killed again and again: each book has one outcome."""

from collections import defaultdict
from collections.abc import Collection
from functools import partial

import msgspec
import pytest

from schemas.market import Award, EnergyOffer, Gate, MarketTopicRecord, Refusal
from schemas.orders import Block, Loop, OrderBook
from tests.simulation.invariants import committed
from tests.simulation.patches import simulated
from tests.simulation.world import World
from vpp_streams import clock
from vpp_streams.domain.market.day_ahead.order_books import book_id, starts_of
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.sim_days import INTERVALS, SimDays, sim_day_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.market.simulated import MarketDesk
from vpp_streams.market.simulated_days import day_trading
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter

RULES = sim_day_rules(5_000)
DAY_S = INTERVALS * 5
DAYS = 2
KILLS = 3


async def market(world: World) -> None:
    """As ``vpp market --day-ahead``."""
    health = HealthReporter("market")
    async with connected(KafkaClients(world.settings), health) as kafka:
        desk = MarketDesk(
            day_trading(SimDays(RULES)), kafka.follower, kafka.outlet, health, clock.now_ms
        )
        await desk.run()


async def bidder(world: World) -> None:
    """Sends a book for each gate, some of them twice."""
    async with connected(KafkaClients(world.settings), HealthReporter("bidder")) as kafka:

        async def answer(read: Read[MarketTopicRecord]) -> None:
            if isinstance(read.record, Gate):
                for _ in range(world.rng.choice((1, 2))):
                    await kafka.outlet.write(topics.MARKET_ORDERS, book_for(read.record))

        await kafka.follower.follow(Feed(topics.MARKET_AWARDS, answer))


def book_for(gate: Gate) -> OrderBook:
    """A loop from noon to the evening."""
    buy = tuple(-1e5 if hour == 13 else 0.0 for hour in range(INTERVALS))
    sell = tuple(8e4 if hour == 19 else 0.0 for hour in range(INTERVALS))
    return OrderBook(
        book_id=book_id(gate.market, "north", gate.start_ms),
        market=gate.market,
        region="north",
        start_ms=gate.start_ms,
        interval_ms=gate.interval_ms,
        gate_ms=gate.gate_ms,
        made_at_ms=gate.gate_ms - 1,
        hourly=(EnergyOffer(0.0),) * INTERVALS,
        loops=(Loop(Block(buy, 0.0), Block(sell, 0.0)),),
        currency="USD",
    )


async def played(world: World) -> None:
    """Some days, in which the market is killed near gates and at any time."""
    desk = world.serve("market", partial(market, world))
    world.serve("bidder", partial(bidder, world))
    kills = sorted(world.rng.uniform(0, DAYS * DAY_S) for _ in range(KILLS))
    gates = (day * DAY_S + DAY_S / 2 + world.rng.uniform(-1, 3) for day in range(DAYS))
    began_s = world.loop.now_s
    for at_s in sorted((*kills, *gates)):
        await world.sleep(max(began_s + at_s - world.loop.now_s, 0.0))
        world.kill(desk)
    await world.sleep(DAY_S / 2)


def outcomes_of(world: World) -> dict[str, list[Award | Refusal]]:
    """All records of each outcome's id."""
    found = defaultdict(list)
    for raw in committed(world, topics.MARKET_AWARDS, 0):
        record = msgspec.json.decode(raw.value or b"", type=MarketTopicRecord)
        if isinstance(record, Award | Refusal):
            found[record.bid_id].append(record)
    return found


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 20))]
)
def test_a_market_that_is_killed_gives_every_book_one_outcome(seed: int) -> None:
    with simulated() as use:
        world = World(seed)
        use(world)
        try:
            world.loop.run_until_complete(played(world))
            books = books_of(world)
            found = outcomes_of(world)
            now_ms = world.utc_ms()
        finally:
            world.loop.dispose()
    closed = [book for book in books.values() if book.gate_ms < now_ms - 20_000]
    assert len(closed) >= DAYS - 1
    for book in closed:
        ids = [bid_id(book.market, book.region, start_ms) for start_ms in starts_of(book)]
        if book.book_id in found:
            assert not set(ids) & found.keys()
            continue
        awards = [found[id_][0] for id_ in ids]
        assert awards == SimDays(RULES).clear(book, book.gate_ms)
        assert all(same(found[id_]) for id_ in ids)


def books_of(world: World) -> dict[str, OrderBook]:
    records = (
        msgspec.json.decode(raw.value or b"", type=OrderBook)
        for raw in committed(world, topics.MARKET_ORDERS, 0)
    )
    return {book.book_id: book for book in records}


def same(records: Collection[Award | Refusal]) -> bool:
    """Whether all records of an id say the same."""
    first, *rest = records
    return all(record == first for record in rest)
