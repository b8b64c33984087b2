"""The process ``vpp market``: a simulated market that takes bids from Kafka and clears them.

Its state is its own topic: after a restart it first reads the topic to the end, publishes the
prices of the time that it missed, and gives every bid exactly one outcome.
"""

import asyncio
from collections.abc import Callable

import structlog

from schemas.market import Award, Bid, Clearing, Gate, MarketTopicRecord, Refusal
from vpp_streams import clock
from vpp_streams.domain.market.gate_clock import closed_starts, next_change_ms, open_start
from vpp_streams.domain.market.rules import BidRefusedError
from vpp_streams.domain.market.sim_market import HISTORY_MS, SimMarket, sim_rules
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


class MarketDesk:
    """Gates, prices and bids of one simulated market."""

    def __init__(
        self,
        market: SimMarket,
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
        self._waiting: dict[str, tuple[Bid, int]] = {}
        """Bids without an outcome, the first of each id, with the time of arrival in ms."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Open and clear, for ever."""
        async with asyncio.TaskGroup() as group:
            # First, or bids with an outcome would look new.
            await self._follower.follow_in(group, Feed(topics.MARKET_AWARDS, self._on_own))
            await self._follower.follow_in(group, Feed(topics.MARKET_BIDS, self._on_bid))
            while True:
                self._wake.clear()
                now_ms = self._now_ms()
                await self._publish_prices(now_ms)
                await self._open(now_ms)
                await self._answer(now_ms)
                left_ms = next_change_ms(now_ms, self._rules) - self._now_ms()
                try:
                    await asyncio.wait_for(self._wake.wait(), max(left_ms, 1) / 1000)
                except TimeoutError:
                    continue

    def _on_own(self, read: Read[MarketTopicRecord]) -> None:
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
                self._waiting.pop(record.bid_id, None)

    def _on_bid(self, read: Read[Bid]) -> None:
        bid = read.record
        if bid.market == self._rules.name and bid.bid_id not in self._outcomes:
            # It arrived at Kafka's timestamp, which our restarts do not change.
            self._waiting.setdefault(bid.bid_id, (bid, read.written_at_ms))
            self._wake.set()

    async def _publish_prices(self, now_ms: int) -> None:
        """Publish missing clearings: of the gate that closed, or of days at a first start."""
        prices = self._market.prices(now_ms)
        kept = prices.per_product.items()
        for row, start_ms in enumerate(prices.start_ms.tolist()):
            if start_ms not in self._cleared:
                self._cleared.add(start_ms)
                self._counters["clearings"] += 1
                clearing = Clearing(
                    market=self._rules.name,
                    start_ms=start_ms,
                    interval_ms=self._rules.interval_ms,
                    cleared_at_ms=start_ms - self._rules.gate_ms,
                    prices={product: float(price[row]) for product, price in kept},
                    currency=self._rules.currency,
                )
                await self._outlet.send(topics.MARKET_AWARDS, clearing)
        await self._outlet.flush()
        self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        """Drop intervals whose prices are not published any more; outcomes are kept like bids."""
        published = closed_starts(now_ms - HISTORY_MS, now_ms, self._rules)
        self._cleared.intersection_update(published)
        self._gates = {start for start in self._gates if start > now_ms - HISTORY_MS}

    async def _open(self, now_ms: int) -> None:
        start_ms = open_start(now_ms, self._rules)
        if start_ms in self._gates:
            return
        self._gates.add(start_ms)
        self._counters["gates"] += 1
        gate = Gate(
            market=self._rules.name,
            start_ms=start_ms,
            interval_ms=self._rules.interval_ms,
            gate_ms=start_ms - self._rules.gate_ms,
        )
        await self._outlet.send(topics.MARKET_AWARDS, gate)

    async def _answer(self, now_ms: int) -> None:
        """An outcome for each bid whose gate is closed, or that can never be taken."""
        for bid, arrived_ms in list(self._waiting.values()):
            outcome = self._outcome(bid, arrived_ms, now_ms)
            if outcome is None:
                continue
            self._waiting.pop(bid.bid_id, None)
            if bid.bid_id not in self._outcomes:
                self._outcomes.add(bid.bid_id)
                taken = isinstance(outcome, Award)
                self._counters["awards" if taken else "refusals"] += 1
                await self._outlet.send(topics.MARKET_AWARDS, outcome)
        await self._outlet.flush()

    def _outcome(self, bid: Bid, arrived_ms: int, now_ms: int) -> Award | Refusal | None:
        """The outcome of a bid; None while it waits for its gate."""
        try:
            award = self._market.clear(bid, arrived_ms)
            if bid.start_ms > open_start(now_ms, self._rules):
                raise BidRefusedError("no bids are taken for its interval yet")
            if now_ms < bid.gate_ms:
                return None
            if now_ms >= bid.start_ms:  # it can no longer be delivered
                raise BidRefusedError("its interval had begun when the market came to clear it")
        except BidRefusedError as error:
            return Refusal(
                bid_id=bid.bid_id,
                market=bid.market,
                region=bid.region,
                at_ms=now_ms,
                reason=str(error),
            )
        return award


async def run_market(settings: Settings, seed: int) -> None:
    """Run the market until the process receives a stop signal."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("market")
    rules = sim_rules(
        settings.market_interval_ms, settings.market_gate_ms, settings.market_metered_at
    )
    async with connected(clients, health) as kafka:
        desk = MarketDesk(
            SimMarket(rules, seed),
            kafka.follower,
            kafka.outlet,
            health,
            clock.now_ms,
        )
        log.info("market", name=rules.name, interval_ms=rules.interval_ms, gate_ms=rules.gate_ms)
        await run_until_stopped(desk.run())
