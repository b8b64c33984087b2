"""The process ``vpp market --day-ahead``: a simulated day-ahead auction that takes order books.

Its state is its own topic, as that of `simulated`: a book has all its awards, or one refusal,
whenever the process is killed.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from schemas.market import Award, Clearing, Gate, MarketTopicRecord, Refusal
from schemas.orders import OrderBook
from vpp_streams import clock
from vpp_streams.domain.market.day_ahead.order_books import starts_of
from vpp_streams.domain.market.gate_clock import next_change_ms
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.rules import BidRefusedError
from vpp_streams.domain.market.sim_days import INTERVALS, SimDays, sim_day_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()


class DayDesk:
    """Gates, prices and order books of one simulated auction."""

    def __init__(
        self,
        market: SimDays,
        follower: Follower,
        outlet: Outlet,
        health: HealthReporter,
        now_ms: Callable[[], int],
    ) -> None:
        self._market = market
        self._rules = market.rules
        self._follower = follower
        self._outlet = outlet
        self._counters = health.counters
        self._now_ms = now_ms
        self._gates: set[int] = set()
        self._cleared: set[int] = set()
        self._outcomes: set[str] = set()
        """Ids of awards, and of refused books."""
        self._waiting: dict[str, tuple[OrderBook, int]] = {}
        """Books without an outcome, the first of each id, with the time of arrival in ms."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Open and clear, for ever."""
        async with asyncio.TaskGroup() as group:
            # First, or books with an outcome would look new.
            await self._follower.follow_in(group, Feed(topics.MARKET_AWARDS, self.on_own))
            await self._follower.follow_in(group, Feed(topics.MARKET_ORDERS, self.on_book))
            while True:
                self._wake.clear()
                await self.turn(self._now_ms())
                left_ms = next_change_ms(self._now_ms(), self._market.gates) - self._now_ms()
                try:
                    await asyncio.wait_for(self._wake.wait(), max(left_ms, 1) / 1000)
                except TimeoutError:
                    continue

    async def turn(self, now_ms: int) -> None:
        """Publish what is due: missing prices, the open gate, and outcomes of closed ones."""
        await self._publish_prices(now_ms)
        await self._open(now_ms)
        for book, arrived_ms in list(self._waiting.values()):
            await self._answer(book, arrived_ms, now_ms)
        await self._outlet.flush()

    def on_own(self, read: Read[MarketTopicRecord]) -> None:
        """Apply a record of the market's own topic."""
        record = read.record
        if record.market != self._rules.name:
            return
        match record:
            case Gate() if record.interval_ms == self._rules.interval_ms:
                self._gates.add(record.start_ms)
            case Clearing() if record.interval_ms == self._rules.interval_ms:
                self._cleared.add(record.start_ms)
            case Award() | Refusal():
                self._outcomes.add(record.bid_id)

    def on_book(self, read: Read[OrderBook]) -> None:
        """Apply an order book."""
        book = read.record
        if book.market == self._rules.name and not self._is_answered(book):
            # It arrived at Kafka's timestamp, which our restarts do not change.
            self._waiting.setdefault(book.book_id, (book, read.written_at_ms))
            self._wake.set()

    def _is_answered(self, book: OrderBook) -> bool:
        return book.book_id in self._outcomes or (
            len(book.hourly) > 0 and self._outcomes.issuperset(_award_ids(book))
        )

    async def _publish_prices(self, now_ms: int) -> None:
        prices = self._market.prices(now_ms)
        published = set(prices.start_ms.tolist())
        for start_ms, price in zip(prices.start_ms.tolist(), prices.energy.tolist(), strict=True):
            if start_ms in self._cleared:
                continue
            self._counters["clearings"] += 1
            day_ms = start_ms - start_ms % self._market.gates.interval_ms
            clearing = Clearing(
                market=self._rules.name,
                start_ms=start_ms,
                interval_ms=self._rules.interval_ms,
                cleared_at_ms=day_ms - self._rules.gate_ms,
                prices={"energy": price},
                currency=self._rules.currency,
            )
            await self._outlet.send(topics.MARKET_AWARDS, clearing)
        self._cleared = published

    async def _open(self, now_ms: int) -> None:
        start_ms = self._market.open_day(now_ms)
        if start_ms in self._gates:
            return
        self._gates = {start for start in self._gates if start > now_ms} | {start_ms}
        self._counters["gates"] += 1
        gate = Gate(
            market=self._rules.name,
            start_ms=start_ms,
            interval_ms=self._rules.interval_ms,
            gate_ms=start_ms - self._rules.gate_ms,
            intervals=INTERVALS,
        )
        await self._outlet.send(topics.MARKET_AWARDS, gate)

    async def _answer(self, book: OrderBook, arrived_ms: int, now_ms: int) -> None:
        """The outcome of a book whose gate is closed, or that can never be taken."""
        outcome = self._outcome(book, arrived_ms, now_ms)
        if not outcome:
            return
        self._waiting.pop(book.book_id, None)
        for record in outcome:
            if record.bid_id not in self._outcomes:
                self._outcomes.add(record.bid_id)
                self._counters["awards" if isinstance(record, Award) else "refusals"] += 1
                await self._outlet.send(topics.MARKET_AWARDS, record)

    def _outcome(
        self, book: OrderBook, arrived_ms: int, now_ms: int
    ) -> Sequence[Award] | Sequence[Refusal]:
        """The outcome of a book; empty while it waits for its gate."""
        try:
            awards = self._market.clear(book, arrived_ms)
            if book.start_ms > self._market.open_day(now_ms):
                raise BidRefusedError("no books are taken for its day yet")
            if now_ms < book.gate_ms:
                return ()
            begun = now_ms >= book.start_ms and self._outcomes.isdisjoint(_award_ids(book))
            if begun:  # what of it could still be delivered is not what was offered
                raise BidRefusedError("its day had begun when the market came to clear it")
        except BidRefusedError as error:
            return (self._refusal(book, str(error), now_ms),)
        return awards

    def _refusal(self, book: OrderBook, reason: str, now_ms: int) -> Refusal:
        return Refusal(
            bid_id=book.book_id,
            market=book.market,
            region=book.region,
            at_ms=now_ms,
            reason=reason,
        )


def _award_ids(book: OrderBook) -> set[str]:
    return {bid_id(book.market, book.region, start_ms) for start_ms in starts_of(book)}


async def run_day_market(settings: Settings, seed: int) -> None:
    """Run the auction until the process receives a stop signal."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("market")
    rules = sim_day_rules(settings.market_interval_ms)
    async with connected(clients, health) as kafka:
        desk = DayDesk(SimDays(rules, seed), kafka.follower, kafka.outlet, health, clock.now_ms)
        log.info("market", name=rules.name, interval_ms=rules.interval_ms, gate_ms=rules.gate_ms)
        await run_until_stopped(desk.run())
