"""AEMO's recorded days from market to ledger: what is booked equals an independent computation.

Market, dispatch, fleet, windows, settlement, ledger (`tests.support.recorded_days` says what is
simulated). Settlement is killed again and again while the days pass; the ledger's process and its
database are killed while they book; a ledger that is built from the beginning of the log is equal.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from schemas.market import Award, Delivery
from tests.support.books_by_pandas import owed
from tests.support.killed_booking import Log, book_rest, booking_killed
from tests.support.market_factory import NEM_FILE, recorded
from tests.support.memory_kafka import MemoryKafka
from tests.support.read_ledger import booked, digest_of
from tests.support.recorded_days import Stretch, entries_by_partition, hours_of, played, stretches
from vpp_streams.kafka import topics
from vpp_streams.local.postgres_process import PostgresServer, running_postgres
from vpp_streams.settings import Settings

HOMES = 8
EVENINGS = {0: 16.0, 3: 6.5, 6: 17.5}
"""Stretch -> hour of its second day from which a part of it is played: dear evenings, a morning."""
PART_HOURS = 2.0
CALM_FILE = "nem_5min_calm/DISPATCHPRICE.csv"
STRETCHES = {NEM_FILE: 8, CALM_FILE: 3}
"""File -> how many stretches without a gap it has: the first and last days of months."""


def recorded_stretches(file: str) -> list[Stretch]:
    every = stretches(recorded(file, zone="SA1"))
    assert len(every) == STRETCHES[file]
    return every


def evenings() -> list[Stretch]:
    """Some hours of each of three months."""
    every = recorded_stretches(NEM_FILE)
    return [hours_of(every[at], since, PART_HOURS) for at, since in EVENINGS.items()]


def expected_of(kafka: MemoryKafka) -> pd.DataFrame:
    site_ids = [site.site_id for site in kafka.read(topics.ASSETS)]
    return owed(
        [r for r in kafka.read(topics.MARKET_AWARDS) if isinstance(r, Award)],
        kafka.read(topics.MARKET_DELIVERIES),
        kafka.read(topics.SITE_WINDOWS),
        site_ids=site_ids,
        enrolled={one.site_id for one in kafka.read(topics.ENROLMENTS)},
    )


@pytest.fixture
def own_server(postgres: str) -> Iterator[PostgresServer]:
    with running_postgres("fsync=off") as server:
        yield server


@dataclass
class Happened:
    """Whether anything happened at all: else the comparison would prove nothing."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kafka: MemoryKafka) -> None:
        awards = [r for r in kafka.read(topics.MARKET_AWARDS) if isinstance(r, Award)]
        done = [r for r in kafka.read(topics.MARKET_DELIVERIES) if isinstance(r, Delivery)]
        entries = kafka.read(topics.SETTLEMENT_ENTRIES)
        assert len(done) == len(awards)
        self.counts.update(
            awards=len(awards),
            traded=sum(award.energy_w != 0 for award in awards),
            sold=sum(award.energy_w > 0 for award in awards),
            bought=sum(award.energy_w < 0 for award in awards),
            exact=sum(_near(one.measured_w, one.awarded_w) for one in done if one.awarded_w),
            late=sum(window.revision > 0 for window in kafka.read(topics.SITE_WINDOWS)),
            reversals=sum(sum(record.column("reverses").to_pylist()) for record in entries),
        )

    def check(self, **least: int) -> None:
        """Late readings and corrections there must be; and at least so many of others."""
        least = {"exact": 10, "late": 1, "reversals": 20, **least}
        assert all(self.counts[name] >= few for name, few in least.items()), self.counts


def _near(power_w: float, wanted_w: float) -> bool:
    return abs(power_w - wanted_w) < 0.02 * abs(wanted_w)


def test_recorded_hours_are_booked_as_pandas_computes_them(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    check_booked(evenings(), own_server, tmp_path, 4, sold=5, bought=5)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("file", "at"), [(file, at) for file, count in STRETCHES.items() for at in range(count)]
)
def test_recorded_days_are_booked_as_pandas_computes_them(
    own_server: PostgresServer, tmp_path: Path, file: str, at: int
) -> None:
    """Each stretch of days is a test of its own, so that several run side by side."""
    check_booked([recorded_stretches(file)[at]], own_server, tmp_path, 20, traded=50)


def check_booked(
    days: list[Stretch], server: PostgresServer, tmp_path: Path, kills: int, **least: int
) -> None:
    """Play days, book their entries while processes are killed, and compare with pandas."""
    log: Log = {}
    parts, happened = [], Happened()
    for seed, stretch in enumerate(days):
        kafka = played(stretch, homes=HOMES, seed=seed)
        happened.add(kafka)
        parts.append(expected_of(kafka))
        for partition, values in entries_by_partition(kafka).items():
            log.setdefault(partition, []).extend(values)
    happened.check(**least)
    expected = pd.concat(parts)
    enrolled = sorted(set(expected["site"]))[1:]
    settings = Settings(ledger=SecretStr(server.url), state_dir=tmp_path)

    def kill_server(_process: BaseProcess) -> None:
        server.kill()
        server.start()

    booking_killed(settings, log, kills=kills, seed=1)
    booking_killed(settings, log, kills=kills, seed=2, kill=kill_server)
    book_rest(settings, log)
    found = booked(settings, enrolled)
    mine = expected[expected["site"].isin(enrolled)].set_index(["start", "site"])["micros"]
    pd.testing.assert_series_equal(found, mine.astype("int64").sort_index(), check_exact=True)
    assert (mine != 0).sum() > 50
    again = Settings(state_dir=tmp_path / "again")
    book_rest(again, log)
    assert digest_of(again) == digest_of(settings)
