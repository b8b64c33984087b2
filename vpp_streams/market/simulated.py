"""The process ``vpp market``: a simulated market that takes offers from Kafka and clears them.

Its state is its own topic: after a restart it first reads the topic to the end, publishes the
prices of the time that it missed, and gives every offer its outcome once: an award for each of its
intervals, or one refusal.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import structlog

from schemas.market import Award, Bid, Clearing, Gate, MarketTopicRecord, Refusal
from schemas.orders import OrderBook
from vpp_streams import clock
from vpp_streams.domain.market.gate_clock import next_change_ms, open_start
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import connected_role
from vpp_streams.process.duty import Begin, Duty, at_once
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()

Offer = TypeVar("Offer", Bid, OrderBook)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trading(Generic[Offer]):
    """What a market trades, and how: all that differs between bids and order books."""

    rules: MarketRules
    prices: Callable[[int], Prices]
    """The prices that are known at a time in ms."""
    clear: Callable[[Offer, int], Sequence[Award]]
    """The awards of an offer that arrived at a time in ms. Raises `BidRefusedError`."""
    offers: Topic[Offer]
    id_of: Callable[[Offer], str]
    award_ids: Callable[[Offer], Collection[str]]
    """Ids of the awards that an offer gets, unless it is refused by its own id."""
    gates: MarketRules
    """Rules whose intervals have one gate each: the market's own, or days of them."""
    noun: Literal["bids", "books"]
    """What offers are called, in sentences."""
    span: Literal["interval", "day"]
    """What they are for, in sentences."""


class MarketDesk(Generic[Offer]):
    """Gates, prices and offers of one simulated market."""

    def __init__(
        self,
        trading: Trading[Offer],
        follower: Follower,
        outlet: Outlet,
        health: HealthReporter,
        now_ms: Callable[[], int],
        *,
        begin: Begin = at_once,
    ) -> None:
        self._trading: Trading[Offer] = trading
        self._rules = trading.rules
        self._follower = follower
        self._outlet = outlet
        self._counters = health.counters
        self._now_ms = now_ms
        self._begin = begin
        self._gates: set[int] = set()
        self._cleared: set[int] = set()
        self._outcomes: set[str] = set()
        """Ids of awards, and of refused offers."""
        self._waiting: dict[str, tuple[Offer, int]] = {}
        """Offers without an outcome, the first of each id, with the time of arrival in ms."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Open and clear, for ever."""
        async with asyncio.TaskGroup() as group:
            # First, or offers with an outcome would look new.
            await self._follower.follow_in(group, Feed(topics.MARKET_AWARDS, self.on_own))
            await self._follower.follow_in(group, Feed(self._trading.offers, self.on_offer))
            await self._begin()
            while True:
                self._wake.clear()
                began_ms = self._now_ms()
                await self.turn(began_ms)
                # A gate that closed during the turn is the next change: its bids are waiting.
                change_ms = next_change_ms(began_ms, self._trading.gates)
                left_ms = change_ms - self._now_ms()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(left_ms, 1) / 1000):
                        await self._wake.wait()

    async def turn(self, now_ms: int) -> None:
        """Publish what is due: missing prices, the open gate, and outcomes of closed ones."""
        await self._publish_prices(now_ms)
        await self._open(now_ms)
        for offer, arrived_ms in list(self._waiting.values()):
            await self._answer(offer, arrived_ms, now_ms)
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
                self._drop_answered()

    def on_offer(self, read: Read[Offer]) -> None:
        """Apply an offer."""
        offer = read.record
        if offer.market == self._rules.name and not self._is_answered(offer):
            # It arrived at Kafka's timestamp, which our restarts do not change.
            self._waiting.setdefault(self._trading.id_of(offer), (offer, read.written_at_ms))
            self._wake.set()

    def _is_answered(self, offer: Offer) -> bool:
        awards = self._trading.award_ids(offer)
        return self._trading.id_of(offer) in self._outcomes or (
            len(awards) > 0 and self._outcomes.issuperset(awards)
        )

    def _drop_answered(self) -> None:
        """Forget offers that another instance has answered: a standby answers none."""
        for offer, _ in list(self._waiting.values()):
            if self._is_answered(offer):
                del self._waiting[self._trading.id_of(offer)]

    async def _publish_prices(self, now_ms: int) -> None:
        """Publish missing clearings: of the gate that closed, or of days at a first start."""
        prices, gates = self._trading.prices(now_ms), self._trading.gates
        for row, start_ms in enumerate(prices.start_ms.tolist()):
            if start_ms in self._cleared:
                continue
            self._counters["clearings"] += 1
            clearing = Clearing(
                market=self._rules.name,
                start_ms=start_ms,
                interval_ms=self._rules.interval_ms,
                cleared_at_ms=start_ms - start_ms % gates.interval_ms - gates.gate_ms,
                prices={name: float(price[row]) for name, price in prices.per_product.items()},
                currency=self._rules.currency,
            )
            await self._outlet.send(topics.MARKET_AWARDS, clearing)
        # Outcomes are kept, as offers are.
        self._cleared = set(prices.start_ms.tolist())

    async def _open(self, now_ms: int) -> None:
        rules, gates = self._rules, self._trading.gates
        start_ms = open_start(now_ms, gates)
        if start_ms in self._gates:
            return
        self._gates = {start for start in self._gates if start > now_ms} | {start_ms}
        self._counters["gates"] += 1
        gate = Gate(
            market=rules.name,
            start_ms=start_ms,
            interval_ms=rules.interval_ms,
            gate_ms=start_ms - gates.gate_ms,
            intervals=gates.interval_ms // rules.interval_ms,
        )
        await self._outlet.send(topics.MARKET_AWARDS, gate)

    async def _answer(self, offer: Offer, arrived_ms: int, now_ms: int) -> None:
        """Publish the outcome of an offer whose gate is closed, or that can never be taken."""
        outcome = () if self._is_answered(offer) else self._outcome(offer, arrived_ms, now_ms)
        if outcome is None:
            return
        self._waiting.pop(self._trading.id_of(offer), None)
        for record in outcome:
            if record.bid_id not in self._outcomes:
                self._outcomes.add(record.bid_id)
                self._counters["awards" if isinstance(record, Award) else "refusals"] += 1
                await self._outlet.send(topics.MARKET_AWARDS, record)

    def _outcome(
        self, offer: Offer, arrived_ms: int, now_ms: int
    ) -> Sequence[Award] | Sequence[Refusal] | None:
        """The outcome of an offer; None while it waits for its gate."""
        trading = self._trading
        try:
            awards: Sequence[Award] = trading.clear(offer, arrived_ms)
            if offer.start_ms > open_start(now_ms, trading.gates):
                raise BidRefusedError(f"no {trading.noun} are taken for its {trading.span} yet")
            if now_ms < offer.gate_ms:
                return None
            if now_ms >= offer.start_ms and self._outcomes.isdisjoint(trading.award_ids(offer)):
                # What of it could still be delivered, if anything, is not what was offered.
                raise BidRefusedError(
                    f"its {trading.span} had begun when the market came to clear it"
                )
        except BidRefusedError as error:
            return (
                Refusal(
                    bid_id=trading.id_of(offer),
                    market=offer.market,
                    region=offer.region,
                    at_ms=now_ms,
                    reason=str(error),
                ),
            )
        return awards


def interval_trading(market: SimMarket) -> Trading[Bid]:
    """A market with a gate, and bids, for each interval."""
    return Trading(
        rules=market.rules,
        prices=market.prices,
        clear=lambda bid, at_ms: (market.clear(bid, at_ms),),
        offers=topics.MARKET_BIDS,
        id_of=lambda bid: bid.bid_id,
        award_ids=lambda bid: (bid.bid_id,),
        gates=market.rules,
        noun="bids",
        span="interval",
    )


async def run_market(settings: Settings, seed: int) -> None:
    """Run the market of intervals until the process receives a stop signal."""
    rules = sim_rules(
        settings.market_interval_ms, settings.market_gate_ms, settings.market_metered_at
    )
    await run_trading(settings, interval_trading(SimMarket(rules, seed)))


async def run_trading(settings: Settings, trading: Trading[Offer]) -> None:
    """Run a market until the process receives a stop signal."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("market")
    rules = trading.rules
    async with connected_role(clients, health) as kafka:
        duty = Duty("market", clients, kafka.follower, health)
        desk = MarketDesk(
            trading, kafka.follower, duty.outlet, health, clock.now_ms, begin=duty.begin
        )
        log.info("market", name=rules.name, interval_ms=rules.interval_ms, gate_ms=rules.gate_ms)
        await run_until_stopped(duty.run(), desk.run())
