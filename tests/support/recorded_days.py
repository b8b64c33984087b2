"""Recorded prices played through the real market, optimizer, dispatch, fleet and settlement.

Time is simulated (`jumping_loop`), Kafka is memory (`memory_kafka`), homes report once a minute
(`simulated_homes`). The processes of market, optimizer and settlement are the real ones; region and
fleet are their domain, without Faust. What comes out are the topics, as a broker would have them.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np

import vpp_streams.market.awards
import vpp_streams.settlement.settling
from schemas.dispatch import DispatchEvent, Request
from schemas.market import Award, Bid
from schemas.programs import Enrolment, Program
from schemas.windows import RegionPartial, RegionWindowPartial
from tests.support.jumping_loop import in_jumping_time
from tests.support.memory_kafka import MemoryKafka
from tests.support.simulated_homes import LEASES, MINUTE_MS, SILENT_MS, Homes
from vpp_streams.domain.control.region_dispatch import RegionDispatch
from vpp_streams.domain.control.requests import Book
from vpp_streams.domain.fleet.frames import Outputs
from vpp_streams.domain.fleet.region_pace import LiveRegion
from vpp_streams.domain.fleet.regions import expected_sites, region_window
from vpp_streams.domain.market.backtest.setting import rules_of
from vpp_streams.domain.market.clearing import award_of
from vpp_streams.domain.market.gate_clock import closed_start
from vpp_streams.domain.market.rules import MarketRules, Prices, check_bid
from vpp_streams.kafka import topics
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.market.optimizer import Optimizer
from vpp_streams.market.simulated import MarketDesk, Trading
from vpp_streams.process.health import HealthReporter
from vpp_streams.settlement.past_days import PastDays
from vpp_streams.settlement.settling import Settling

MARKET_TIME = ZoneInfo("Australia/Brisbane")
"""The market's clock, UTC+10 all year."""
REGION = "north"
PROGRAM = Program(
    program_id="share-60",
    version=1,
    name="Revenue share",
    currency="AUD",
    effective_from_ms=0,
    owner_share=0.6,
)
KILLS_A_DAY = 6
"""How often settlement is killed and started again."""
AFTER_MS = 40 * MINUTE_MS
"""Time after the last interval, in which late readings arrive."""
LOOK_MS = 15_000
"""Windows close this long after their minute, and the region reports before a gate closes: a bid
needs a report that is fresh."""


@dataclass
class Region:
    """The region's role without Faust: shares merged, requests ruled, orders made."""

    homes: Homes
    outlet: Outlet
    live: LiveRegion = field(default_factory=lambda: LiveRegion(REGION))
    book: Book = field(default_factory=Book)
    dispatch: RegionDispatch = field(
        default_factory=lambda: RegionDispatch(REGION, LEASES.lease_ms)
    )
    shares: dict[tuple[int, int], dict[int, RegionWindowPartial]] = field(default_factory=dict)
    inbox: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expected = expected_sites(self.homes.registry)[REGION]

    def requests(self) -> Feed[Request]:
        """What the region is asked for."""
        return Feed(topics.DISPATCH_TARGETS, lambda read: self.inbox.append(read.record))

    async def measured(self, outputs: Iterable[Outputs], now_ms: int) -> None:
        """Publish the windows of sites, and merge shares of the region."""
        published = list(outputs)
        for window in (window for out in published for window in out.windows):
            await self.outlet.send(topics.SITE_WINDOWS, window)
        for share in (share for out in published for share in out.partials):
            if isinstance(share, RegionPartial):
                self.live.apply(share, now_ms)
                continue
            key = (share.size_s, share.start_ms)
            known = self.shares.setdefault(key, {})
            known[share.partition] = share
            if known.keys() >= self.expected.keys():
                merged = region_window(REGION, known, self.expected)
                await self.outlet.send(topics.REGION_WINDOWS, merged)
        before_ms = now_ms - 7 * 3_600_000
        self.shares = {key: known for key, known in self.shares.items() if key[1] > before_ms}

    async def cycle(self, now_ms: int) -> None:
        """One cycle: supplies, ruling, orders, commands."""
        capability = self.dispatch.capability(now_ms)
        held = {} if capability is None else {REGION: capability}
        events = [
            event
            for request in self.inbox
            for event in self.book.apply(request, now_ms, {REGION: {""}}, held)
        ]
        self.inbox.clear()
        events += self.book.advance(now_ms)
        self.book.forget(now_ms - 3_600_000)
        partition = self.homes.partition
        for supply in partition.supply(now_ms):
            self.dispatch.apply_supply(supply)
        ruling = self.book.ruling(REGION, now_ms)
        cycle = self.dispatch.cycle(ruling, self.expected.keys(), now_ms)
        for order in cycle.orders:
            self.homes.perform(partition.carry_out(order, now_ms), now_ms)
        told: tuple[DispatchEvent | None, ...] = (*events, cycle.notice, cycle.status)
        for event in told:
            if event is not None:
                await self.outlet.send(topics.DISPATCH_EVENTS, event)
        record = self.live.merge(self.expected, now_ms, SILENT_MS)
        await self.outlet.send(topics.REGION_LIVE, record)


@dataclass(frozen=True)
class Stretch:
    """Consecutive days of recorded prices, and the rules that they were made under."""

    prices: Prices
    rules: MarketRules
    first_ms: int
    """The first interval that is traded; earlier prices are history."""

    @property
    def end_ms(self) -> int:
        """End of the last interval."""
        return int(self.prices.start_ms[-1]) + self.rules.interval_ms

    def trading(self) -> Trading[Bid]:
        """The simulated market, at these prices."""
        return Trading(
            rules=self.rules,
            prices=self._known,
            clear=lambda bid, at_ms: (self._clear(bid, at_ms),),
            offers=topics.MARKET_BIDS,
            id_of=lambda bid: bid.bid_id,
            award_ids=lambda bid: (bid.bid_id,),
            gates=self.rules,
            noun="bids",
            span="interval",
        )

    def _known(self, now_ms: int) -> Prices:
        until = closed_start(now_ms, self.rules)
        return self.prices.cut(slice(0, int(np.searchsorted(self.prices.start_ms, until, "right"))))

    def _clear(self, bid: Bid, at_ms: int) -> Award:
        check_bid(bid, self.rules, at_ms)
        at = int(np.searchsorted(self.prices.start_ms, bid.start_ms))
        prices = {name: float(price[at]) for name, price in self.prices.per_product.items()}
        return award_of(bid, prices, self.rules, cleared_at_ms=bid.gate_ms)


def stretches(prices: Prices, history_days: int = 1) -> list[Stretch]:
    """Each stretch of recorded days without a gap; its first days are history."""
    rules, _ = rules_of(prices, "AEMO")
    traded = Prices(prices.zone, prices.currency, prices.interval_ms, prices.start_ms,
                    {name: prices.per_product[name] for name in rules.products})  # fmt: skip
    slots = history_days * 86_400_000 // rules.interval_ms
    runs = [traded.cut(rows) for rows in traded.runs()]
    return [Stretch(run, rules, int(run.start_ms[slots])) for run in runs
            if len(run.start_ms) > slots]  # fmt: skip


def played(stretch: Stretch, *, homes: int, seed: int) -> MemoryKafka:
    """The topics after a stretch was traded, delivered and settled."""
    quick = (
        patch.object(vpp_streams.market.awards, "CYCLE_S", 10.0),
        patch.object(vpp_streams.settlement.settling, "CYCLE_S", 30.0),
    )
    with quick[0], quick[1]:
        starts_ms = stretch.first_ms - 5 * MINUTE_MS
        return in_jumping_time(
            starts_ms, partial(_play, stretch=stretch, homes=Homes(homes, seed), seed=seed)
        )


async def _play(
    now_ms: Callable[[], int], *, stretch: Stretch, homes: Homes, seed: int
) -> MemoryKafka:
    kafka = MemoryKafka(now_ms)
    outlet = Outlet(kafka, "")
    await _agree(outlet, homes)
    region = Region(homes, outlet)
    until_ms = stretch.end_ms + AFTER_MS
    async with asyncio.TaskGroup() as group:
        health = HealthReporter("test")
        ways = kafka.connection(health)
        desk = MarketDesk(stretch.trading(), ways.follower, ways.outlet, health, now_ms)
        optimizer = Optimizer(
            ways.follower,
            lambda: [REGION],
            health,
            ways.outlet.write,
            now_ms,
            rules_of=lambda _interval_ms, _gate_ms: stretch.rules,
        )
        running = [
            group.create_task(work)
            for work in (
                _trade(desk, stretch, now_ms),
                optimizer.run(),
                ways.follower.follow(region.requests()),
                _settled(kafka, now_ms, Random(seed)),
            )
        ]
        homes.connect(now_ms())
        while now_ms() < until_ms:
            await _minute(region, now_ms)
        for task in running:
            task.cancel()
    assert homes.breaches == 0
    assert not health.counters["decisions_failed"], health.counters
    return kafka


async def _minute(region: Region, now_ms: Callable[[], int]) -> None:
    """A minute that has passed is measured; the region is dispatched where an interval begins."""
    at_ms = now_ms()
    await region.measured(region.homes.live(at_ms), at_ms)
    minute = at_ms // MINUTE_MS % 5
    if minute == 0:
        await region.cycle(at_ms)
    await asyncio.sleep((at_ms + LOOK_MS - now_ms()) / 1000)
    await region.measured(region.homes.heartbeat(now_ms()), now_ms())
    if minute == 4:  # the market's gate closes in this minute
        await region.cycle(now_ms())
    await asyncio.sleep((at_ms + MINUTE_MS - now_ms()) / 1000)


async def _agree(outlet: Outlet, homes: Homes) -> None:
    """Sites, terms, and who takes part: all but one."""
    for site in homes.sites:
        await outlet.send(topics.ASSETS, site)
    await outlet.send(topics.PROGRAMS, PROGRAM)
    for site in homes.sites[1:]:
        enrolment = Enrolment(
            site_id=site.site_id, program_id=PROGRAM.program_id, effective_from_ms=0
        )
        await outlet.send(topics.ENROLMENTS, enrolment)


async def _trade(desk: MarketDesk[Bid], stretch: Stretch, now_ms: Callable[[], int]) -> None:
    """The market, until its prices end."""
    left_s = (stretch.end_ms - stretch.rules.interval_ms - now_ms()) / 1000
    with suppress(TimeoutError):
        await asyncio.wait_for(desk.run(), left_s)


NO_HISTORY = PastDays(Path("no-history"), 0)
"""The programs of these days need no earlier days."""


async def _settled(kafka: MemoryKafka, now_ms: Callable[[], int], chance: Random) -> None:
    """Settlement, killed at any moment and started again."""
    while True:
        health = HealthReporter("settlement")
        settling = Settling(kafka.connection(health), health, MARKET_TIME, NO_HISTORY, now_ms)
        task = asyncio.create_task(settling.run())
        try:
            await asyncio.sleep(chance.uniform(0.2, 1.8) * 86_400 / KILLS_A_DAY)
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not health.counters["intervals_refused"], health.counters


def entries_by_partition(kafka: MemoryKafka) -> dict[int, list[bytes]]:
    """Records of entries, as they are in the topic."""
    found: dict[int, list[bytes]] = {}
    for stored in kafka.records:
        if stored.topic == topics.SETTLEMENT_ENTRIES.name:
            assert stored.value is not None
            found.setdefault(stored.partition, []).append(stored.value)
    return found


def hours_of(stretch: Stretch, since_h: float, hours: float) -> Stretch:
    """A part of a stretch; what was before it is history."""
    first_ms = stretch.first_ms + round(since_h * 3_600_000)
    end_ms = first_ms + round(hours * 3_600_000)
    rows = slice(0, int(np.searchsorted(stretch.prices.start_ms, end_ms)))
    return Stretch(stretch.prices.cut(rows), stretch.rules, first_ms)
