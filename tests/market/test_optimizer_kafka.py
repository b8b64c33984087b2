"""Market and optimizer as processes on a real Kafka: bids in time, one of each, whatever is killed.

The regions are the test's own: it writes what their dispatch would tell.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from schemas.assets import Device, Site
from schemas.dispatch import DispatchStatus, Target
from schemas.encoding import encode_json
from schemas.health import Health
from schemas.market import (
    Award,
    Bid,
    Clearing,
    Delivery,
    EnergyOffer,
    Gate,
    MarketTopicRecord,
    Refusal,
    Shortfall,
)
from schemas.windows import Deliverable, EnergySums, RegionWindow, RegionWindowSums
from tests.support.kafka_world import read_all, write
from tests.support.market_world import Processes, SellsWhenDear
from tests.support.waiting import PATIENCE_S
from vpp_streams import clock
from vpp_streams.domain.market.decision.sound_bid import sound_bid
from vpp_streams.domain.market.knowledge import (
    DecisionRequest,
    Input,
    inputs_from_records,
    records_below,
)
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.sim_market import HISTORY_MS, sim_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read, receive
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.local import demo
from vpp_streams.market.awards import AHEAD_MS, OVERLAP_MS
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

Record = TypeVar("Record")

INTERVAL_S, GATE_S = 6, 2.0
LONG_INTERVAL_S = 12
"""Between two gates a killed optimizer has time to start again, also on a slow machine."""
CATCH_UP_MS = 7000
"""A process that reports has this long to read its inputs, and to see that the one before it is
silent, before a gate is held against it."""
REGIONS = ("north", "south")
INPUTS = (
    topics.MARKET_AWARDS,
    topics.MARKET_BIDS,
    topics.MARKET_DELIVERIES,
    topics.MARKET_PLANS,
    topics.DISPATCH_EVENTS,
    topics.REGION_LIVE,
)


async def nothing() -> None:
    """Do nothing between two steps."""


class World:
    """Two regions whose dispatch a test plays, a market, an optimizer, and all that they tell."""

    def __init__(self, settings: Settings, processes: Processes) -> None:
        self.settings = settings
        self.processes = processes
        self.missing_w = 0.0
        """Of the awards, as the regions tell it."""
        self.records: list[MarketTopicRecord] = []
        self.bids: list[Bid] = []
        self.targets: list[Target] = []
        self.healths: list[Health] = []
        self._away: list[tuple[int, int]] = []
        """From when, until when no optimizer ran, UTC ms."""
        self._news = asyncio.Event()

    def of(self, kind: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind)]

    async def follow(self, topic: Topic, into: list[Any]) -> None:
        def receive_one(read: Read[Any]) -> None:
            into.append(read.record)
            self._news.set()

        await onlooker(KafkaClients(self.settings)).follow(Feed(topic, receive_one))

    async def inputs(self) -> list[Input]:
        return [
            Input(topic.name, read.offset, read.record)
            for topic in cast(tuple[Topic[Any], ...], INPUTS)
            for raw in await read_all(self.settings, topic.full(self.settings.namespace))
            if isinstance(read := receive(topic, raw), Read)
        ]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until what was told makes a condition true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE_S} s for: {what}") from None

    async def until_gate(self) -> Gate:
        """Wait for the next gate to open."""
        known = len(self.of(Gate))
        await self.until(lambda: len(self.of(Gate)) > known, "a gate to open")
        return self.of(Gate)[known]

    async def restart_optimizer(self, when_killed: Callable[[], Awaitable[None]] = nothing) -> None:
        """Kill it, and start another; returns once that one reports."""
        killed_ms = clock.now_ms()
        self.processes.kill("optimizer")
        await when_killed()
        await self.start_optimizer(killed_ms)

    async def start_optimizer(self, away_since_ms: int) -> None:
        """Start it where none has run for a while; returns once it reports."""
        started_ms = clock.now_ms()
        self.processes.start("optimizer")
        await self.until(lambda: self._reports_since(started_ms), "the new optimizer to report")
        self._away.append((away_since_ms, clock.now_ms()))

    def _reports_since(self, started_ms: int) -> bool:
        return any(h.role == "optimizer" and h.started_at_ms >= started_ms for h in self.healths)

    async def until_bids(self, gate: Gate) -> None:
        """Wait until each region has a bid for a gate's interval, or a later one."""
        await self.until(
            lambda: {b.region for b in self.bids if b.start_ms >= gate.start_ms} == set(REGIONS),
            f"bids from {gate.start_ms} on",
        )

    def stands(self, name: str, gauge: str) -> bool:
        """Whether an optimizer reports that it is ``on_duty``, or ``warm``."""
        pid = self.processes.running[name].pid
        mine = [h for h in self.healths if h.process_id.endswith(f"-{pid}")]
        return bool(mine and mine[-1].gauges[gauge])

    def is_away(self, since_ms: int) -> None:
        """None worked since then, and one has begun now."""
        self._away.append((since_ms, clock.now_ms()))

    def unmeetable(self) -> set[int]:
        """Starts of intervals whose gates closed while no optimizer ran, or just began to."""
        return {
            gate.start_ms
            for gate in self.of(Gate)
            for killed_ms, reports_ms in self._away
            if killed_ms < gate.gate_ms < reports_ms + CATCH_UP_MS
        }

    def refused(self) -> list[Refusal]:
        """Bids that the market refused, but for those that came too late from a new process."""
        unmeetable = self.unmeetable()
        return [told for told in self.of(Refusal) if _start_of(told) not in unmeetable]

    async def until_awards(self, count: int) -> None:
        await self.until(lambda: len(self.of(Award)) >= count, f"{count} awards")

    async def until_cleared(self, gate: Gate) -> None:
        await self.until(
            lambda: any(award.start_ms >= gate.start_ms for award in self.of(Award)),
            f"awards for {gate.start_ms}",
        )

    async def play_regions(self) -> None:
        """What the region role would tell, for ever: all that is asked is given."""
        producer = KafkaClients(self.settings).producer(linger_ms=0)
        await producer.start()
        try:
            while True:
                now_ms = clock.now_ms()
                targets = {t.region: t for t in self.targets if _runs(t, now_ms)}
                for region in REGIONS:
                    target = targets.get(region)
                    await self._write(
                        producer, topics.DISPATCH_EVENTS, self._status(region, target, now_ms)
                    )
                    await self._write(producer, topics.REGION_WINDOWS, _window(region, target))
                await asyncio.sleep(0.3)
        finally:
            await producer.stop()

    async def _write(
        self, producer: AIOKafkaProducer, topic: Topic, record: msgspec.Struct | None
    ) -> None:
        if record is not None:
            name = topic.full(self.settings.namespace)
            await producer.send_and_wait(name, encode_json(record), partition=0)

    def _status(self, region: str, target: Target | None, now_ms: int) -> DispatchStatus:
        return DispatchStatus(
            region=region,
            at_ms=now_ms,
            mode="target" if target else "idle",
            request_id=target.request_id if target else "",
            asked_w=target.export_w if target else None,
            measured_w=(target.export_w or 0.0) if target else 0.0,
            missing_w=self.missing_w if target else 0.0,
            net_load_w=0.0,
            capability=(Deliverable(900, 50e3, 40e3), Deliverable(14_400, 12e3, 9e3)),
            states={},
            partitions_expected=1,
            partitions_heard=1,
        )


def _runs(target: Target, now_ms: int) -> bool:
    return target.starts_at_ms <= now_ms < target.ends_at_ms


def _window(region: str, target: Target | None) -> RegionWindow | None:
    """The target's interval, delivered in full: told ahead, which nobody minds."""
    if target is None:
        return None
    size_s = (target.ends_at_ms - target.starts_at_ms - OVERLAP_MS) // 1000
    wh = (target.export_w or 0.0) * size_s / 3600
    nothing = EnergySums(0.0, 0.0, 0.0)
    start_ms = target.starts_at_ms + AHEAD_MS
    sums = RegionWindowSums(
        sites_expected=1,
        sites_reporting=1,
        readings=1,
        coverage_sum=1.0,
        battery=EnergySums(wh, max(wh, 0.0), max(-wh, 0.0)),
        grid=nothing,
        solar=nothing,
        load=nothing,
        stored_first_wh=0.0,
        stored_last_wh=0.0,
        usable_wh=0.0,
    )
    return RegionWindow(
        window_id=f"{region}|{size_s}|{start_ms}",
        region=region,
        start_ms=start_ms,
        size_s=size_s,
        revision=0,
        coverage=1.0,
        mean_battery_w=target.export_w or 0.0,
        mean_grid_w=0.0,
        mean_solar_w=0.0,
        mean_load_w=0.0,
        soc_first=None,
        soc_last=None,
        sums=sums,
    )


def sites() -> list[Site]:
    battery: dict[str, Any] = {"kind": "megapack", "rated_energy_wh": 1e5, "rated_charge_w": 5e4}
    made = [
        Site(site_id=f"s-{r}", region=r, devices=(Device(device_id=f"d-{r}", **battery),))
        for r in REGIONS
    ]
    sun = Device(device_id="d-east", kind="solar")
    return [*made, Site(site_id="s-east", region="east", devices=(sun,))]


@asynccontextmanager
async def running(
    settings: Settings, log_dir: Path, interval_s: int = INTERVAL_S
) -> AsyncIterator[World]:
    """All of it runs; ended after the block."""
    settings = settings.model_copy(
        update={"market_interval_s": interval_s, "market_gate_s": GATE_S}
    )
    await demo.register(settings, sites())
    processes = Processes(settings, log_dir)
    world = World(settings, processes)
    beside = asyncio.gather(
        world.follow(topics.MARKET_AWARDS, world.records),
        world.follow(topics.MARKET_DELIVERIES, world.records),
        world.follow(topics.MARKET_BIDS, world.bids),
        world.follow(topics.DISPATCH_TARGETS, world.targets),
        world.follow(topics.HEALTH, world.healths),
        world.play_regions(),
    )
    try:
        began_ms = clock.now_ms()
        processes.start("market")
        await world.start_optimizer(began_ms)
        yield world
        if beside.done():
            beside.result()
    finally:
        processes.kill_all()
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


def bid_by_hand(region: str, gate: Gate) -> Bid:
    return Bid(
        bid_id=bid_id("sim", region, gate.start_ms),
        market="sim",
        region=region,
        start_ms=gate.start_ms,
        interval_ms=gate.interval_ms,
        gate_ms=gate.gate_ms,
        made_at_ms=gate.gate_ms - 1,
        rung="last_plan",
        energy=EnergyOffer(123.0),
        currency="USD",
    )


def _start_of(refusal: Refusal) -> int:
    return int(refusal.bid_id.rpartition(":")[2])


def assert_one_bid_of_each(records: Sequence[Bid | Award]) -> None:
    counts = Counter(record.bid_id for record in records)
    assert [id_ for id_, count in counts.items() if count > 1] == []


def assert_made_again(bids: Sequence[Bid], records: Sequence[Input]) -> None:
    """Each bid is what its offsets give, to the byte."""
    decided = [bid for bid in bids if bid.rung == "value_rule"]
    assert len(decided) >= 4
    for bid in decided:
        assert {source.topic for source in bid.sources} >= {"market.awards", "dispatch.events"}
        asked = DecisionRequest(
            rules=sim_rules(bid.interval_ms, bid.start_ms - bid.gate_ms),
            region=bid.region,
            start_ms=bid.start_ms,
            now_ms=bid.made_at_ms,
            reserve=ReservePolicy(),
        )
        inputs = inputs_from_records(records_below(records, bid), asked)
        again, _plan = SellsWhenDear().decide(inputs, lambda: 0.0, 1.0)
        again = msgspec.structs.replace(sound_bid(inputs, again), solve_ms=bid.solve_ms)
        assert encode_json(again) == encode_json(bid)


async def test_bids_awards_targets_and_deliveries_follow_each_other(
    settings: Settings, tmp_path: Path
) -> None:
    """And each bid can be made again from the offsets that it names."""
    async with running(settings, tmp_path) as world:
        await world.until_awards(6)
        await world.until(lambda: len(world.of(Delivery)) >= 4, "deliveries")
        world.missing_w = 10_000.0
        await world.until(
            lambda: any(told.missing_w == 10_000.0 for told in world.of(Shortfall)), "a shortfall"
        )
        world.missing_w = 0.0
        await world.until(
            lambda: any(told.missing_w == 0.0 for told in world.of(Shortfall)), "its end"
        )
        await world.until(
            lambda: sum(bid.rung == "value_rule" for bid in world.bids) >= 4, "bids that offer"
        )
        bids, records = list(world.bids), await world.inputs()
    assert_made_again(bids, records)
    assert_one_bid_of_each(world.bids)
    assert {bid.region for bid in world.bids} == set(REGIONS)  # none where there is no battery
    assert all(bid.made_at_ms < bid.gate_ms for bid in world.bids)
    assert any(bid.rung == "value_rule" for bid in world.bids)
    assert world.refused() == []
    offered = {bid.bid_id: bid for bid in world.bids}
    targets = {target.request_id: target for target in world.targets}
    awards, deliveries = world.of(Award), world.of(Delivery)
    assert len({award.bid_id for award in awards}) == len(awards)
    for award in awards[: -len(REGIONS)]:
        asked = targets[award.bid_id]
        assert offered[award.bid_id].gate_ms == award.cleared_at_ms == asked.issued_at_ms
        assert (asked.region, asked.export_w) == (award.region, award.energy_w)
        assert asked.starts_at_ms == award.start_ms - AHEAD_MS
        assert asked.ends_at_ms == asked.starts_at_ms + award.interval_ms + OVERLAP_MS
        assert (asked.priority, asked.source) == ("market", "market:sim")
    assert len({delivery.bid_id for delivery in deliveries}) == len(deliveries)
    for delivery in deliveries:
        assert delivery.measured_w == pytest.approx(delivery.awarded_w)
        assert delivery.coverage == 1.0
    told = [clearing.start_ms for clearing in world.of(Clearing)]
    assert len(set(told)) == len(told) >= HISTORY_MS // (INTERVAL_S * 1000)


async def test_an_optimizer_that_is_killed_still_meets_the_gate_and_bids_once(
    settings: Settings, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, LONG_INTERVAL_S) as world:
        hit = await world.until_gate()
        await world.restart_optimizer()
        gate = await world.until_gate()
        # One that was killed with one region's bid in the topic, and not the other's.
        sent = bid_by_hand(REGIONS[0], gate)
        await world.restart_optimizer(lambda: write(world.settings, topics.MARKET_BIDS, sent))
        await world.until_cleared(gate)
        last = world.of(Gate)[-1]
        await world.until(lambda: any(b.start_ms == last.start_ms for b in world.bids), "a bid")
        await world.restart_optimizer()
        await world.until_cleared(await world.until_gate())
        bids = list(world.bids)
    assert_one_bid_of_each(bids)
    made = {(bid.region, bid.start_ms) for bid in bids}
    # A busy machine may take longer to start a process than a gate is open.
    unmeetable = world.unmeetable()
    meetable = {hit.start_ms, gate.start_ms} - unmeetable
    assert meetable, "no process was there in time: the machine is too slow for this test"
    assert {(region, start_ms) for region in REGIONS for start_ms in meetable} <= made
    assert next(bid for bid in bids if bid.bid_id == sent.bid_id) == sent
    assert world.refused() == []
    assert_one_bid_of_each(world.of(Award))
    by_id: dict[str, set[bytes]] = {}
    for target in world.targets:
        by_id.setdefault(target.request_id, set()).add(encode_json(target))
    assert all(len(different) == 1 for different in by_id.values())


async def test_a_market_that_is_killed_gives_every_bid_one_outcome(
    settings: Settings, tmp_path: Path
) -> None:
    async with running(settings, tmp_path) as world:
        await world.until_gate()
        world.processes.kill("market")
        world.processes.start("market")
        gate = await world.until_gate()
        # With bids that wait for their gate.
        await world.until(lambda: any(b.start_ms == gate.start_ms for b in world.bids), "a bid")
        world.processes.kill("market")
        world.processes.start("market")
        last = await world.until_gate()
        await world.until_cleared(last)
        bids, records = list(world.bids), list(world.records)
    outcomes = Counter(told.bid_id for told in records if isinstance(told, Award | Refusal))
    assert set(outcomes.values()) == {1}
    assert {bid.bid_id for bid in bids if bid.start_ms < last.start_ms} <= outcomes.keys()
    for kind in (Gate, Clearing):
        told = [record.start_ms for record in records if isinstance(record, kind)]
        assert len(told) == len(set(told))


@pytest.mark.nightly  # a minute of gates; tests/process/test_standby_kafka.py has the short twin
async def test_a_standby_meets_the_gates_of_one_that_freezes_and_of_one_that_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, LONG_INTERVAL_S) as world:
        processes = world.processes.running
        await world.until_bids(await world.until_gate())
        world.processes.start("standby")
        await world.until(lambda: world.stands("standby", "warm"), "the standby to be warm")

        await world.until_gate()
        frozen_ms = clock.now_ms()
        processes["optimizer"].send_signal(signal.SIGSTOP)
        await world.until(lambda: world.stands("standby", "on_duty"), "the standby to work")
        world.is_away(frozen_ms)
        await world.until_bids(await world.until_gate())
        awoken = processes.pop("optimizer")
        awoken.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(awoken.wait, PATIENCE_S) != 0, "it was replaced"

        world.processes.start("optimizer")
        await world.until(lambda: world.stands("optimizer", "warm"), "the next standby")
        await world.until_gate()
        killed_ms = clock.now_ms()
        world.processes.kill("standby")
        await world.until(lambda: world.stands("optimizer", "on_duty"), "the next standby to work")
        world.is_away(killed_ms)
        gate = await world.until_gate()
        await world.until_bids(gate)
        await world.until_cleared(gate)
        bids, targets, gates = list(world.bids), list(world.targets), world.of(Gate)
    assert_one_bid_of_each(bids)
    assert [id_ for id_, n in Counter(t.request_id for t in targets).items() if n > 1] == []
    made = {(bid.region, bid.start_ms) for bid in bids}
    due = {g.start_ms for g in gates if g.gate_ms <= gate.gate_ms} - world.unmeetable()
    assert {(region, start_ms) for region in REGIONS for start_ms in due} <= made
    assert world.refused() == []
