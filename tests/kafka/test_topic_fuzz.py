"""Every topic, fed with what nobody should write: each record is applied or is one dead letter.

Applied by the callbacks that the processes really have. A world is made anew for each example, so
that what one record leaves behind meets the records after it.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.context import AgentContext
from agents.dispatcher import Dispatcher
from agents.holders import Holders
from schemas.audit import AuditEvent
from schemas.bounds import PARTITIONS
from schemas.dispatch import SupplyPartial
from schemas.identity import IssuedCertificate
from schemas.ledger import PeriodClosed
from schemas.market import Award, Bid, Delivery
from schemas.settlement import ENTRY_KINDS
from schemas.windows import RegionPartial
from tests.support.kafka_raw import raw_in_its_partition, take
from tests.support.pool_world import OnePartition, home
from tests.support.topic_mutants import mutant, seeds, sweep
from vpp_streams.cli.screens.audit_lines import line_of
from vpp_streams.domain.control.region_dispatch import RegionDispatch
from vpp_streams.domain.control.requests import Book
from vpp_streams.domain.control.ruling import Ruling
from vpp_streams.domain.duty import Instance, Standing
from vpp_streams.domain.fleet.columnar import Mark
from vpp_streams.domain.fleet.frames import Frame
from vpp_streams.domain.fleet.region_pace import LiveRegion
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.history.days import parse_zones
from vpp_streams.domain.history.kinds import parse_keep_days
from vpp_streams.domain.identity.certificate_states import standings
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.domain.settle.corrections import balances, standing
from vpp_streams.domain.settle.due import LATEST_MS
from vpp_streams.domain.settle.settler import Settler
from vpp_streams.domain.telemetry.canonical import Source, canonicalize
from vpp_streams.errors import RefusedError
from vpp_streams.gateway.certificates import Credentials
from vpp_streams.gateway.push import Pusher
from vpp_streams.history.buffer import Buffer
from vpp_streams.history.historian import sources
from vpp_streams.identity.code_log import CodeLog
from vpp_streams.incidents.process import IncidentDesk
from vpp_streams.incidents.rule_file import read_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower, assets_into, preferences_into
from vpp_streams.kafka.topic import Topic
from vpp_streams.local.drill import _feeds, _Seen
from vpp_streams.local.simulated_fleet import frequency_into
from vpp_streams.market.forecasts import RegionForecaster
from vpp_streams.market.input_topics import READ_BACK_MS
from vpp_streams.market.optimizer import Optimizer
from vpp_streams.market.simulated import MarketDesk, interval_trading
from vpp_streams.openadr.process import _measured, _standing
from vpp_streams.openadr.ven import VenSession
from vpp_streams.process.health import HealthReporter
from vpp_streams.replay.recorder import SiteFile
from vpp_streams.serving.feeding import FROM_THE_START, SINCE_MS, feed_of
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import open_ledger
from vpp_streams.settlement.decisions import DecisionRecord, apply_decision

NOW_MS = 1_763_855_000_000
NOBODY: Follower = None  # type: ignore[assignment]  # nothing is followed here


async def sent(*_of_what: Any) -> None:
    return None


def web() -> Iterator[Feed[Any]]:
    model = ReadModel(started_at_ms=NOW_MS)
    every: list[Topic[Any]] = [*FROM_THE_START, *SINCE_MS]
    for topic in every:
        yield feed_of(model, topic, 0)


def registry() -> Iterator[Feed[Any]]:
    known = Registry([home(0)])

    def apply(read: Read[Any]) -> None:
        known.apply(read.record)
        _ = known.columns

    yield assets_into(known)
    yield preferences_into(known)
    yield Feed(topics.ASSETS, apply)
    yield Feed(topics.ASSETS, SiteFile(None).note)  # type: ignore[arg-type]  # nothing is written


def raw_frames() -> Iterator[Feed[Any]]:
    known = Registry([home(0)])

    def apply(read: Read[bytes]) -> None:
        source = Source("raw", read.partition, read.offset, read.written_at_ms)
        canonicalize(read.record, source, known, PARTITIONS)

    for topic in (*topics.LIVE_RAW, topics.RAW_BACKFILL):
        yield Feed(topic, apply)


def fleet() -> Iterator[Feed[Any]]:
    world = OnePartition([home(0), home(1)])
    world.connect()
    world.measure()
    world.rows.grow()

    def telemetry(read: Read[Any]) -> None:
        frame = Frame(read.offset, Batch.of(read.record), True, None, None)
        world.fleet.apply(frame)
        world.rows.grow()

    def events(read: Read[Any]) -> None:
        for event in read.record.events:
            world.rows.apply_event(event)

    yield Feed(topics.TELEMETRY, telemetry)
    yield Feed(topics.PRESENCE, lambda read: world.rows.presence(read.record, read.offset))
    yield Feed(topics.COMMANDS, lambda read: world.rows.apply_frame(read.record))
    yield Feed(topics.COMMAND_EVENTS, events)


def region() -> Iterator[Feed[Any]]:
    health = HealthReporter("region")
    context = AgentContext(
        settings=Settings(),
        clients=KafkaClients(Settings()),
        registry=Registry([home(0)]),
        health=health,
        letters=DeadLetters(health.process_id, health.counters),
        now_ms=lambda: NOW_MS,
    )
    dispatcher = Dispatcher(context, MagicMock(), MagicMock())
    holders = Holders(context)
    dispatch, live, book = RegionDispatch("north", 30_000), LiveRegion("north"), Book()

    def partial(read: Read[Any]) -> None:
        match read.record:
            case SupplyPartial() as supply:
                dispatcher.apply_supply(supply)
                dispatch.apply_supply(msgspec.structs.replace(supply, at_ms=NOW_MS))
                dispatch.cycle(Ruling("idle"), {0: 1}, NOW_MS)
            case RegionPartial() as share:
                live.apply(share, NOW_MS)
                live.merge({0: 1}, NOW_MS, 10_000)

    def request(read: Read[Any]) -> None:
        dispatcher._on_request(read)  # noqa: SLF001  # the feed itself calls it
        book.apply(read.record, NOW_MS, {}, {})
        book.advance(NOW_MS)
        dispatch.cycle(book.ruling("north", NOW_MS), {0: 1}, NOW_MS)

    yield Feed(topics.REGION_PARTIALS, partial)
    yield Feed(topics.DISPATCH_TARGETS, request, dispatcher._on_removed)  # noqa: SLF001  # the feed itself calls it
    yield Feed(topics.MARKET_PRICES, dispatcher._on_prices)  # noqa: SLF001  # the feed itself calls it
    yield Feed(topics.FLEET_HOLDERS, holders._on_holder)  # noqa: SLF001  # the feed itself calls it


def market() -> Iterator[Feed[Any]]:
    rules = sim_rules(60_000, 10_000)
    health = HealthReporter("market")
    desk = MarketDesk(
        interval_trading(SimMarket(rules)), NOBODY, MagicMock(), health, lambda: NOW_MS
    )

    def bid(read: Read[Bid]) -> None:
        desk.on_offer(read)
        desk._outcome(read.record, read.written_at_ms, NOW_MS)  # noqa: SLF001  # the feed itself calls it

    yield Feed(topics.MARKET_AWARDS, desk.on_own)
    yield Feed(topics.MARKET_BIDS, bid)


def optimizer() -> Iterator[Feed[Any]]:
    health = HealthReporter("optimizer")
    bidder = Optimizer(NOBODY, lambda: ["north"], health, sent, lambda: NOW_MS, rules_of=sim_rules)
    forecaster = RegionForecaster(NOBODY, health, sent, lambda: NOW_MS)
    for topic in READ_BACK_MS:
        yield Feed(topic, bidder.taking(topic))
    yield bidder._awards.windows()  # noqa: SLF001  # the feed itself calls it
    yield bidder._awards.rulings()  # noqa: SLF001  # the feed itself calls it
    yield bidder._awards.targets()  # noqa: SLF001  # the feed itself calls it
    yield Feed(topics.REGION_WINDOWS, forecaster.take)
    yield Feed(topics.REGION_FORECASTS, forecaster.take)


def duty() -> Iterator[Feed[Any]]:
    standing = Standing(Instance("region-host-1", NOW_MS), 0)

    def report(read: Read[Any]) -> None:
        standing.apply(read.record)
        standing.look(NOW_MS)
        assert standing.may_claim in (True, False)
        standing.next_term  # noqa: B018  # whatever the term was

    yield Feed(topics.DUTY, report)


def historian() -> Iterator[Feed[Any]]:
    zones = parse_zones("Europe/Berlin", "north=Pacific/Kiritimati")
    buffer = Buffer(zones, parse_keep_days(""))

    def taking(topic: Topic) -> Callable[[Read[Any]], None]:
        def take(read: Read[Any]) -> None:
            buffer.take(topic.name, read, NOW_MS)
            for (_, partition), kind, _, rows in buffer.drain():
                rows.table(kind, partition)

        return take

    for topic in sources():
        yield Feed(topic, taking(topic))


def openadr() -> Iterator[Feed[Any]]:
    ven = Ven("vpp-north", "north")
    session = VenSession(MagicMock(), ven, frozenset(), sent, lambda: NOW_MS)
    yield from _standing(session)
    yield from _measured(session)


def gateway() -> Iterator[Feed[Any]]:
    pusher = Pusher({}, MagicMock(), HealthReporter("gateway"))

    def commands(read: Read[Any]) -> None:
        for _slice in pusher.deliver(read.record).__await__():
            pass  # it lets others have their turn

    revocations = Revocations()
    credentials: Credentials[str] = Credentials(revocations)
    credentials.opened("a", home(0).devices[0].device_id, None)

    def revoke(read: Read[Any]) -> None:
        revocations.apply(read.record)
        credentials.ended((), NOW_MS)

    yield Feed(topics.MARKET_PRICES, pusher.on_prices)
    yield Feed(topics.GATEWAY_OUT, commands)
    yield Feed(topics.IDENTITY_REVOCATIONS, revoke)


def identity() -> Iterator[Feed[Any]]:
    codes = CodeLog(sent)
    issued: list[IssuedCertificate] = []

    def certificate(read: Read[Any]) -> None:
        issued.append(read.record)
        list(standings(issued, Revocations(), NOW_MS))

    yield Feed(topics.IDENTITY_CODES, codes.take)
    yield Feed(topics.IDENTITY_CERTIFICATES, certificate)


def incidents() -> Iterator[Feed[Any]]:
    desk = IncidentDesk(
        read_rules(None),
        NOBODY,
        MagicMock(),
        deliver=MagicMock(),
        now_ms=lambda: NOW_MS,
        health=HealthReporter("incidents"),
    )

    def then_measured(feed: Feed[Any]) -> Feed[Any]:
        def apply(read: Read[Any]) -> None:
            feed.apply(read)
            desk.measured(NOW_MS)

        return Feed(feed.topic, apply)

    yield Feed(topics.INCIDENTS, desk.on_own)
    for feed in desk.feeds(NOW_MS):
        yield then_measured(feed)


def settlement() -> Iterator[Feed[Any]]:
    agreements = Agreements()

    def agree(read: Read[Any]) -> None:
        fault = agreements.apply(read.record)
        if fault:
            raise RefusedError(fault)
        agreements.columns([home(0).site_id], NOW_MS)
        agreements.tariff(home(0).site_id, NOW_MS)

    def entries(read: Read[Any]) -> None:
        balances(read.record)
        standing([read.record], ENTRY_KINDS)

    for topic in (topics.PROGRAMS, topics.ENROLMENTS, topics.TARIFFS):
        yield Feed(topic, agree)
    yield Feed(topics.SETTLEMENT_ENTRIES, entries)
    yield from intervals()


def intervals() -> Iterator[Feed[Any]]:
    """What the settler follows; it settles whatever can be settled after each record."""
    settler = Settler(Registry([home(0)]), ZoneInfo("Europe/Berlin"))

    def settled(topic: Topic[Any], apply: Callable[[Any, int], object]) -> Feed[Any]:
        def applied(read: Read[Any]) -> None:
            now_ms = _moment(read.record)
            apply(read.record, now_ms)
            for job in settler.ready(now_ms + LATEST_MS):
                with suppress(RefusedError):
                    settler.settle(job)

        return Feed(topic, applied)

    def decided(record: Any, _now_ms: int) -> None:
        if isinstance(record, PeriodClosed):
            settler.closed(record.period)

    def sold(record: Any, now_ms: int) -> None:
        match record:
            case Award():
                settler.awarded(record, now_ms)
            case Delivery():
                settler.delivered(record, now_ms)

    def requested(record: Any, now_ms: int) -> None:
        settler.requested(record, now_ms)
        settler.unclear(record)

    yield settled(topics.OPT_OUTS, settler.opted_out)
    yield settled(topics.DISPATCH_TARGETS, requested)
    yield settled(topics.PREFERENCES, settler.decided)
    yield settled(topics.PROGRAMS, lambda record, _now_ms: settler.agree(record))
    yield settled(topics.ENROLMENTS, lambda record, _now_ms: settler.agree(record))
    yield settled(topics.SITE_WINDOWS, settler.measured)
    yield settled(topics.MARKET_AWARDS, sold)
    yield settled(topics.MARKET_DELIVERIES, sold)
    yield settled(topics.DISPATCH_EVENTS, settler.dispatched)
    yield settled(topics.LEDGER_DECISIONS, decided)
    yield settled(topics.SETTLEMENT_ENTRIES, settler.published)


def _moment(record: Any) -> int:
    """The time of a record of settlement, as far as a clock may be."""
    if isinstance(record, pa.RecordBatch):
        return min(record.column("start_ms")[0].as_py(), 2 * NOW_MS)
    names = ("start_ms", "at_ms", "set_at_ms", "from_ms", "starts_at_ms")
    return min(max(getattr(record, name, 0) for name in names), 2 * NOW_MS)


def ledger() -> Iterator[Feed[Any]]:
    with TemporaryDirectory() as directory:
        engine = open_ledger(Settings(state_dir=Path(directory)), create=True)
        applied: list[int] = []

        def decide(read: Read[Any]) -> None:
            record = DecisionRecord(len(applied), Mark(0, 0), read.record)
            with suppress(RefusedError):  # for example a payout of what nobody is owed
                apply_decision(engine, ("decisions", 0), len(applied) or None, record)
                applied.append(record.offset)

        yield Feed(topics.LEDGER_DECISIONS, decide)
        engine.dispose()


def show(read: Read[AuditEvent]) -> None:
    assert line_of(read.record).isprintable()


def onlookers() -> Iterator[Feed[Any]]:
    world = SimpleNamespace(set_frequency=lambda _region, hz, until_ms: round(hz) + until_ms)
    yield frequency_into(SimpleNamespace(world=world))  # type: ignore[arg-type]  # a stand-in
    yield from _feeds(_Seen(), "drill", {"home": "north"})
    yield Feed(topics.AUDIT, show)


WORLDS: tuple[Callable[[], Iterator[Feed[Any]]], ...] = (
    web, registry, raw_frames, fleet, region, market, optimizer, openadr, gateway, identity,
    incidents, settlement, ledger, onlookers, historian, duty,
)  # fmt: skip
NOT_APPLIED = {topics.DISPATCH, topics.GRID_ALERTS}
"""Of these a worker keeps the newest as it is; who acts on it is another record's test."""


def good_records(topic: Topic) -> list[bytes]:
    known = home(0)
    good = seeds(topic, known.devices[0].device_id, known.site_id)
    if topic is topics.PRESENCE:
        good += [g.replace(b'"disconnected"', b'"connected"') for g in good]
    return good


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dead_letters", "follower"):
        monkeypatch.setattr(f"vpp_streams.kafka.{module}.log", MagicMock())


def feed_all(
    make: Callable[[], Iterator[Feed[Any]]], records: Callable[[Topic], Iterable[bytes]]
) -> int:
    """Feed a new world; returns how many records were applied."""
    counters: Counter[str] = Counter()
    applied = 0
    for number, feed in enumerate(make()):
        for offset, value in enumerate(records(feed.topic)):
            raw = raw_in_its_partition(feed.topic, value, offset=100_000 * number + offset)
            letters = take(feed, raw, counters)
            assert len(letters) <= 1
            mistakes = [m.detail for m in letters if m.reason == "apply_error"]
            assert not mistakes, (feed.topic.name, mistakes, value[:2000])
            applied += not letters
    return applied


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_whatever_comes_is_applied_or_one_dead_letter(
    make: Callable[[], Iterator[Feed[Any]]], seed: int
) -> None:
    chance = random.Random(seed)

    def some(topic: Topic) -> Iterator[bytes]:
        good = good_records(topic)
        return (mutant(chance.choice(good), chance) for _ in range(10))

    feed_all(make, some)


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_each_value_missing_or_beyond_reason_is_applied_or_one_dead_letter(
    make: Callable[[], Iterator[Feed[Any]]],
) -> None:
    """And good records are applied, or nothing here would reach the callbacks."""
    assert (
        feed_all(make, lambda topic: (v for good in good_records(topic) for v in sweep(good))) > 0
    )
    for feed in make():
        for value in good_records(feed.topic):
            assert take(feed, raw_in_its_partition(feed.topic, value), Counter()) == []


def test_every_topic_is_fuzzed() -> None:
    fed: set[Topic] = {feed.topic for make in WORLDS for feed in make()}
    assert set(topics.ALL) - fed == NOT_APPLIED - fed
