"""Role ``optimizer``: a bid for each region and market interval, before its gate.

It also forecasts the load and solar power of regions (`forecasts`).

It is no Faust worker: it shares no partitions, and in a group its successor would wait, past a
gate, for the session of a killed one to end. A second instance stands by (`process.duty`); should
two bid all the same, the market and every reader take the first record of a bid id.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import structlog

from schemas.grid import PriceSeries
from schemas.market import Bid, Gate, PlanView, Refusal
from schemas.orders import OrderBook
from schemas.published import PublishedSeries
from vpp_streams import clock
from vpp_streams.domain.market.connection import NO_LIMITS, ConnectionLimits, limits_of
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.decision.sound_bid import sound_bid
from vpp_streams.domain.market.forecast.publications import flaw
from vpp_streams.domain.market.gate_clock import cut_off_ms
from vpp_streams.domain.market.knowledge import DecisionRequest, Input, Knowledge
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import MarketRules
from vpp_streams.domain.market.sim_market import sim_rules
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower, assets_into
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.awards import OpenAwards, Send
from vpp_streams.market.day_books import DayBooks
from vpp_streams.market.forecasts import RegionForecaster, forecast_for_ever
from vpp_streams.market.input_topics import READ_BACK_MS
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import connected_role
from vpp_streams.process.duty import Begin, Duty, at_once
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()

BEGIN_SHARE, WAIT_SHARE = 0.5, 0.75
"""Shares of the time to the gate: until then solvers may start; until then a decision may take."""
PRICES_EVERY_MS = 900_000
"""Interval between prices sent to devices, which need them only while they are offline."""
MAX_PRICES = 576
KEEP_GATES_MS = 60_000
FORGET_EVERY_S = 60.0
RulesOf = Callable[[int, int], MarketRules]
"""A market's rules by the length of an interval and the time from its gate to its start, ms."""


class Optimizer:
    """Follows markets and regions, and bids for each region at each gate."""

    def __init__(
        self,
        follower: Follower,
        regions: Callable[[], list[str]],
        health: HealthReporter,
        send: Send,
        now_ms: Callable[[], int],
        *,
        rules_of: RulesOf,
        limits: Callable[[str], ConnectionLimits] = lambda _region: NO_LIMITS,
        make_bidder: Callable[[], Autobidder] = Autobidder,
        begin: Begin = at_once,
    ) -> None:
        self._follower = follower
        self._regions = regions
        self._counters = health.counters
        self._send = send
        self._now_ms = now_ms
        self._rules_of = rules_of
        self._limits = limits
        self._make_bidder = make_bidder
        self._begin = begin
        self._known = Knowledge()
        self._awards = OpenAwards(health, send, now_ms)
        self._books = DayBooks(self._known, health, send, now_ms)
        self._bidders: dict[str, Autobidder] = {}
        self._gates: dict[tuple[str, int], Gate] = {}
        self._made: set[str] = set()
        """Ids of our bids, whether or not they are in the topic yet."""
        self._prices_sent_ms: dict[str, int] = {}
        self._started_ms = now_ms()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow, bid and deliver, for ever. An error ends the process; its successor continues."""
        feeds = [
            Feed(topic, self.taking(topic), since_ms=self._started_ms - back_ms)
            for topic, back_ms in READ_BACK_MS.items()
        ]
        async with asyncio.TaskGroup() as group:
            measured = self._awards.windows(), self._awards.rulings()
            follow = self._follower.follow(*measured, caught_up=self._awards.read_back)
            group.create_task(follow)
            # Earlier bids and targets must be known, or intervals would get second ones.
            await self._follower.follow_in(group, *feeds, self._awards.targets())
            await self._stand_by()
            group.create_task(self._awards.keep_for_ever())
            await self._bid_for_ever()

    async def _stand_by(self) -> None:
        """Wait for the duty; what is over by then is forgotten meanwhile."""
        async with asyncio.TaskGroup() as group:
            beginning = group.create_task(self._begin())
            while not (await asyncio.wait({beginning}, timeout=FORGET_EVERY_S))[0]:
                now_ms = self._now_ms()
                self._known.forget(now_ms)
                self._awards.forget(now_ms)
                over_ms = now_ms - KEEP_GATES_MS
                self._gates = {k: gate for k, gate in self._gates.items() if gate.gate_ms > over_ms}

    def taking(self, topic: Topic[Any]) -> Callable[[Read[Any]], None]:
        """The function that applies records of an input topic.

        It raises `RefusedError` for a published series that nobody can use.
        """

        def take(read: Read[Any]) -> None:
            record = read.record
            self._known.apply(Input(topic.name, read.offset, record, read.written_at_ms))
            if isinstance(record, OrderBook):
                return
            if isinstance(record, PublishedSeries):
                if (reason := flaw(record, read.written_at_ms)) is not None:
                    raise RefusedError(reason)
                self._counters["published"] += 1
                return
            self._awards.apply(record)
            match record:
                case Gate() if record.gate_ms > self._now_ms() - KEEP_GATES_MS:
                    self._gates[record.market, record.start_ms] = record
                    self._wake.set()
                case Refusal() if record.at_ms >= self._started_ms:
                    self._counters["refused"] += 1
                    log.warning("refused", bid=record.bid_id, reason=record.reason)

        return take

    async def _bid_for_ever(self) -> None:
        while True:
            self._wake.clear()
            now_ms = self._now_ms()
            due = [gate for gate in self._gates.values() if _cut_off_ms(gate) <= now_ms]
            for gate in due:
                del self._gates[gate.market, gate.start_ms]
                await asyncio.gather(*(self.bid_for(gate, r) for r in self._regions()))
                self._known.forget(now_ms)
            next_ms = min((_cut_off_ms(gate) for gate in self._gates.values()), default=None)
            left_s = None if next_ms is None else max(next_ms - self._now_ms(), 0) / 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._wake.wait()

    async def bid_for(self, gate: Gate, region: str) -> None:
        """One region's bid for one interval, or its order book for a day, unless it has one."""
        if gate.intervals > 1:
            await self._books.book_for(gate, region)
            return
        id_ = bid_id(gate.market, region, gate.start_ms)
        if id_ in self._known.ledger or id_ in self._made:
            return
        now_ms = self._now_ms()
        if now_ms >= gate.gate_ms:
            self._counters["gates_missed"] += 1
            log.warning("no bid was made in time", bid=id_, late_ms=now_ms - gate.gate_ms)
            return
        inputs = self._known.inputs(
            DecisionRequest(
                rules=self._rules_of(gate.interval_ms, gate.start_ms - gate.gate_ms),
                region=region,
                start_ms=gate.start_ms,
                now_ms=now_ms,
                reserve=ReservePolicy(),
                limits=self._limits(region),
            )
        )
        bid, plan = await self._decide(inputs, gate.gate_ms)
        self._made.add(id_)
        await self._send(topics.MARKET_BIDS, bid)
        self._counters["bids"] += 1
        self._counters[f"rung_{bid.rung}"] += 1
        self._counters["late"] += self._now_ms() > gate.gate_ms
        await self._publish_plan(plan)

    async def _decide(self, inputs: CycleInputs, gate_ms: int) -> tuple[Bid, PlanView | None]:
        """The Autobidder's decision; a safe bid where it fails or takes too long."""
        left_s = (gate_ms - self._now_ms()) / 1000
        bidder = self._bidders.setdefault(inputs.region, self._make_bidder())
        deadline_s = time.monotonic() + BEGIN_SHARE * left_s
        try:
            async with asyncio.timeout(WAIT_SHARE * left_s):
                decided, plan = await asyncio.to_thread(
                    bidder.decide, inputs, time.monotonic, deadline_s
                )
            return sound_bid(inputs, decided), plan
        except TimeoutError:
            fault = "the decision took too long"
        except Exception as error:  # of any kind: the gate must be met
            fault = f"the decision failed: {error!r}"[:200]
            log.exception("the decision failed", region=inputs.region, start_ms=inputs.start_ms)
        self._counters["decisions_failed"] += 1
        # Its thread may still be running.
        del self._bidders[inputs.region]
        return safe_bid(inputs, (fault,)), None

    async def _publish_plan(self, plan: PlanView | None) -> None:
        if plan is None:
            return
        await self._send(topics.MARKET_PLANS, plan)
        now_ms = self._now_ms()
        if not plan.price or now_ms - self._prices_sent_ms.get(plan.region, 0) < PRICES_EVERY_MS:
            return
        self._prices_sent_ms[plan.region] = now_ms
        series = PriceSeries(
            region=plan.region,
            from_ms=plan.start_ms,
            interval_ms=plan.interval_ms,
            per_mwh=plan.price[:MAX_PRICES],
            currency=plan.currency,
        )
        await self._send(topics.MARKET_PRICES, series)


def _cut_off_ms(gate: Gate) -> int:
    return cut_off_ms(gate.gate_ms, gate.interval_ms)


def battery_regions(registry: Registry) -> list[str]:
    """Regions that have a battery, sorted."""
    columns = registry.columns
    energy_wh = columns.devices.known("rated_energy_wh")
    sites = columns.devices.known("site")[np.nan_to_num(energy_wh) > 0]
    codes = columns.sites.known("region")[sites[sites >= 0]]
    return sorted(columns.regions.names[code] for code in np.unique(codes[codes >= 0]))


async def run_optimizer(
    settings: Settings, make_bidder: Callable[[], Autobidder] = Autobidder
) -> None:
    """Run the optimizer until the process receives a stop signal."""
    health = HealthReporter("optimizer")
    registry = Registry()

    async with connected_role(KafkaClients(settings), health, linger_ms=0) as kafka:
        follower = kafka.follower
        duty = Duty("optimizer", kafka.clients, follower, health)
        write = duty.outlet.write
        optimizer = Optimizer(
            follower,
            lambda: battery_regions(registry),
            health,
            write,
            clock.now_ms,
            rules_of=partial(sim_rules, metered_at=settings.market_metered_at),
            limits=partial(limits_of, registry),
            make_bidder=make_bidder,
            begin=duty.begin,
        )

        def new_forecaster() -> RegionForecaster:
            return RegionForecaster(follower, health, write, clock.now_ms, begin=duty.begin)

        async def run(registry_follower: asyncio.Task[None]) -> None:
            forecasts = forecast_for_ever(new_forecaster, health.counters)
            await asyncio.gather(registry_follower, optimizer.run(), forecasts)

        async with follower.following(assets_into(registry)) as registry_follower:
            await run_until_stopped(duty.run(), run(registry_follower))
