"""Settlement, historian and PostgreSQL killed at once, on a real Kafka: the books do not change.

Processes, broker and database are real; what a market and a fleet would have published is written
by the test, while the three are killed in the middle of their work.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from subprocess import Popen
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pydantic import SecretStr

from schemas.market import Award, Delivery
from schemas.programs import Enrolment
from schemas.windows import SiteWindow
from tests.support.books_by_pandas import owed
from tests.support.kafka_world import Worker, read_all, until, workers
from tests.support.ledger_world import home_of
from tests.support.read_ledger import booked, digest_of
from tests.support.settle_world import (
    INTERVAL,
    MINUTE,
    SHARE_60,
    award,
    delivery,
    home,
    site_window,
)
from tests.support.settlement_process import settlement
from vpp_streams import clock
from vpp_streams.domain.history.columns import record_of
from vpp_streams.domain.history.kinds import BY_NAME, Kind
from vpp_streams.domain.settle.due import LATEST_MS
from vpp_streams.history.reports import NoHistoryError, open_history
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import decode
from vpp_streams.kafka.outlet import write_many
from vpp_streams.kafka.topic import Topic
from vpp_streams.local.postgres_process import PostgresServer, running_postgres
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings
from vpp_streams.settlement.past_days import PastDays
from vpp_streams.settlement.process import rebuild
from vpp_streams.settlement.settling import Settling

pytestmark = pytest.mark.kafka
HOMES = sorted(home_of(partition, n) for partition in (1, 4, 6) for n in (0, 1))
INTERVALS = 40
"""In each round."""
WRITTEN: tuple[Topic[Any], ...] = (
    topics.SITE_WINDOWS,
    topics.MARKET_AWARDS,
    topics.MARKET_DELIVERIES,
)
KEPT = [BY_NAME[name] for name in ("site_minutes", "awards", "deliveries")]


class Story:
    """What a market and a fleet publish, interval after interval, and correct later."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.clients = KafkaClients(settings)
        self.first_ms = clock.now_ms() // INTERVAL * INTERVAL - 12 * 3_600_000
        self.awards: list[Award] = []
        self.deliveries: list[Delivery] = []
        self.windows: list[SiteWindow] = []
        self._newest: dict[tuple[str, int], int] = {}
        """Site and minute -> its newest revision."""
        self._rng = Random(seed)

    async def begin(self) -> None:
        """Homes and their terms: the first one takes no part."""
        await write_many(self.clients, topics.ASSETS, [home(site_id) for site_id in HOMES])
        await write_many(self.clients, topics.PROGRAMS, [SHARE_60])
        enrolments = [
            Enrolment(site_id=site_id, program_id=SHARE_60.program_id, effective_from_ms=0)
            for site_id in HOMES[1:]
        ]
        await write_many(self.clients, topics.ENROLMENTS, enrolments)

    async def go_on(self) -> None:
        """More intervals; and other values for some minutes of those before."""
        corrected = self._rng.sample(sorted(self._newest), len(self._newest) // 10)
        late = [self._minute(*of) for of in corrected]
        at = len(self.awards)
        sold = [award(self.first_ms + n * INTERVAL) for n in range(at, at + INTERVALS)]
        done = [delivery(one, self._rng.uniform(1_000.0, 20_000.0)) for one in sold]
        minutes = range(sold[0].start_ms, sold[-1].start_ms + INTERVAL, MINUTE)
        windows = [self._minute(site_id, at_ms) for at_ms in minutes for site_id in HOMES]
        self.awards += sold
        self.deliveries += done
        self.windows += windows + late
        await write_many(self.clients, topics.SITE_WINDOWS, windows + late)
        await write_many(self.clients, topics.MARKET_AWARDS, sold)
        await write_many(self.clients, topics.MARKET_DELIVERIES, done)

    def _minute(self, site_id: str, at_ms: int) -> SiteWindow:
        """Some minutes are not measured, and in some the battery does the opposite."""
        revision = self._newest.get((site_id, at_ms), -1) + 1
        self._newest[site_id, at_ms] = revision
        wh = None if self._rng.random() < 0.05 else self._rng.uniform(-20.0, 80.0)
        covered = 0.0 if wh is None else self._rng.choice((1.0, 1.0, 0.5))
        grid_wh = None if wh is None else -wh
        return site_window(site_id, at_ms, wh, grid_wh, revision=revision, coverage=covered)

    def owed(self) -> "pd.Series[int]":
        """What each enrolled site is owed, by pandas alone."""
        table = owed(
            self.awards, self.deliveries, self.windows, site_ids=HOMES, enrolled=set(HOMES[1:])
        )
        mine = table[table["site"].isin(HOMES[1:])].set_index(["start", "site"])["micros"]
        return mine.astype("int64").sort_index()


class World:
    """The three that are killed at once, and started again."""

    def __init__(
        self,
        settings: Settings,
        server: PostgresServer,
        start: Callable[..., Worker],
        settle: Callable[[], Popen[bytes]],
    ) -> None:
        self._settings, self._server = settings, server
        self._start, self._settle = start, settle

    def start(self, history: Path) -> None:
        """Historian and settlement; the database runs."""
        self.historian = self._start(
            "historian", VPP_HISTORY=str(history), VPP_HISTORY_FLUSH_S="0.05"
        )
        self.settlement = self._settle()

    def kill(self) -> None:
        """End all three as a machine that loses its power; the database is back at once."""
        for process in (self.settlement, self.historian.process):
            process.kill()
        self._server.kill()
        for process in (self.settlement, self.historian.process):
            process.wait()
        self._server.start()

    async def books(self, expected: "pd.Series[int]") -> None:
        """Wait until the ledger says what is expected; fail with the difference."""
        found = expected.iloc[:0]

        async def is_booked() -> bool:
            nonlocal found
            assert self.settlement.poll() is None, "settlement has ended"
            found = await asyncio.to_thread(booked, self._settings, HOMES[1:])
            return found.equals(expected)

        try:
            await until(is_booked, "the ledger to be what pandas computes")
        except AssertionError:
            pd.testing.assert_series_equal(found, expected)
            raise

    async def settled(self) -> set[int]:
        """The intervals of which entries are published."""
        name = topics.SETTLEMENT_ENTRIES.full(self._settings.namespace)
        records = await read_all(self._settings, name)
        batches = [decode(topics.SETTLEMENT_ENTRIES, record.value) for record in records]
        return {batch.column("start_ms")[0].as_py() for batch in batches}


@pytest.fixture
def own_server(postgres: str) -> Iterator[PostgresServer]:
    with running_postgres("fsync=off") as server:
        yield server


@contextmanager
def world(settings: Settings, server: PostgresServer, logs: Path) -> Iterator[World]:
    with ExitStack() as stack:
        start = stack.enter_context(workers(settings, logs))
        settle = partial(settlement, settings, logs / "settlement.log")
        yield World(settings, server, start, lambda: stack.enter_context(settle()))


async def history_of(directory: Path, kind: Kind) -> list[Any]:
    """The records of a kind as readers of a history see them."""

    def read() -> list[Any]:
        try:
            history = open_history(directory, 0)
        except NoHistoryError:
            return []
        days = history.days(kind, 0, 2**47)
        rows = [history.rows(kind, day, 0, 2**52, plain=False).to_pylist() for day in days]
        found = [record_of(kind.record, row) for day in rows for row in day]
        return sorted(found, key=partial(id_in, kind))

    return await asyncio.to_thread(read)


def id_in(kind: Kind, record: Any) -> tuple[Any, ...]:
    """What identifies a record of a kind."""
    return tuple(getattr(record, name) for name in kind.id)


async def published(settings: Settings, kind: Kind) -> list[Any]:
    """The records of a kind in its topic, each id once, in its newest revision."""
    (topic,) = (topic for topic in WRITTEN if topic.name == kind.topic)
    newest: dict[tuple[Any, ...], Any] = {}
    for raw in await read_all(settings, topic.full(settings.namespace)):
        record: Any = decode(topic, raw.value)
        if not isinstance(record, kind.record) or not kind.wanted(record):
            continue
        before = newest.setdefault(id_in(kind, record), record)
        if kind.revision and getattr(record, kind.revision) > getattr(before, kind.revision):
            newest[id_in(kind, record)] = record
    return [newest[key] for key in sorted(newest)]


async def check_kept(settings: Settings, directory: Path) -> None:
    """A history has every record that was published, and nothing else."""
    for kind in KEPT:
        expected = await published(settings, kind)
        assert expected

        async def is_kept(kind: Kind = kind, expected: list[Any] = expected) -> bool:
            return await history_of(directory, kind) == expected

        await until(is_kept, f"history to have what was published of {kind.name}")


async def settled_again(settings: Settings) -> int:
    """How many intervals another process settles that reads everything; 0 = nothing changes."""
    health, ahead_ms = HealthReporter("settlement"), [0]
    async with connected(KafkaClients(settings), health) as kafka:
        past = PastDays(settings.history_dir, 0)
        settling = Settling(
            kafka, health, ZoneInfo("UTC"), past, lambda: clock.now_ms() + ahead_ms[0]
        )
        running = asyncio.create_task(settling.run())

        async def knows_all() -> bool:
            return settling.settler.due >= INTERVALS

        async def is_done() -> bool:
            return settling.settler.due == 0

        await until(knows_all, "every interval to be looked at again")
        ahead_ms[0] = LATEST_MS
        await until(is_done, "every interval to be compared")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return sum(health.counters[f"{what}_settled"] for what in ("intervals", "events", "quarters"))


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.nightly)])
async def test_all_three_are_killed_at_once_and_the_books_are_the_same(
    topics_ready: Settings, own_server: PostgresServer, tmp_path: Path, kills: int
) -> None:
    settings = topics_ready.model_copy(update={"ledger": SecretStr(own_server.url)})
    story, chance, history = Story(settings, kills), Random(kills), tmp_path / "history"
    caught = 0
    await story.begin()
    with world(settings, own_server, tmp_path) as running:
        for _ in range(kills):
            running.start(history)
            known = await running.settled()
            await story.go_on()

            async def begun(known: set[int] = known) -> bool:
                return await running.settled() > known

            await until(begun, "the first of the new intervals")
            await asyncio.sleep(chance.uniform(0.0, 0.3))  # the random moment of the kill
            running.kill()
            caught += len(await running.settled()) < len(story.awards)
        running.start(history)
        expected = story.owed()
        await running.books(expected)
        await check_kept(settings, history)
        running.kill()
    assert caught, "each kill was after the last interval"
    assert (expected != 0).sum() > 20
    name = topics.SETTLEMENT_ENTRIES.full(settings.namespace)
    records = len(await read_all(settings, name))
    assert await settled_again(settings) == 0
    assert len(await read_all(settings, name)) == records
    before = digest_of(settings)
    again = await rebuild(settings, lambda _left: None)
    assert (again.before, again.after) == (before, before)
    assert again.records == records
    assert booked(settings, HOMES[1:]).equals(expected)
    with workers(settings, tmp_path) as start:
        fresh = tmp_path / "again"
        start("historian", VPP_HISTORY=str(fresh), VPP_HISTORY_FLUSH_S="0.05")
        await check_kept(settings, fresh)
