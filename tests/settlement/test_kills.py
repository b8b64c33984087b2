"""Whatever is killed, and whenever: each record is booked once."""

from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from tests.support.killed_booking import Log, book_rest, booking_killed, made_log
from vpp_streams.local.postgres_process import PostgresServer, running_postgres
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import digest, faults
from vpp_streams.settlement.database import open_ledger

INTERVALS_PER_KILL = 3
"""So many that the last kills still find a process at work."""
KILLS = [pytest.param(10, id="10"), pytest.param(200, id="200", marks=pytest.mark.nightly)]


def undisturbed(directory: Path, log: Log) -> str:
    """The digest of a ledger that was built without a kill."""
    settings = Settings(state_dir=directory)
    book_rest(settings, log)
    return digest_of(settings, log)


def digest_of(settings: Settings, log: Log) -> str:
    engine = open_ledger(settings)
    with engine.connect() as ledger:
        assert list(faults(ledger)) == []
        assert ledger.scalar(sa.text("SELECT count(*) FROM blocks")) == sum(map(len, log.values()))
        found = digest(ledger)
    engine.dispose()
    return found


@pytest.mark.parametrize("kills", KILLS)
def test_a_process_that_is_killed_books_each_record_once(
    ledger_settings: Settings, kills: int, tmp_path: Path
) -> None:
    log = made_log(kills * INTERVALS_PER_KILL)
    booking_killed(ledger_settings, log, kills=kills, seed=kills)
    book_rest(ledger_settings, log)
    assert digest_of(ledger_settings, log) == undisturbed(tmp_path / "other", log)


@pytest.fixture
def own_server(postgres: str) -> Iterator[PostgresServer]:
    with running_postgres("fsync=off") as server:
        yield server


@pytest.mark.parametrize("kills", KILLS)
def test_a_database_that_is_killed_has_each_record_once(
    own_server: PostgresServer, kills: int, tmp_path: Path
) -> None:
    settings = Settings(ledger=SecretStr(own_server.url), state_dir=tmp_path)
    log = made_log(kills * INTERVALS_PER_KILL)

    def kill_server(_process: BaseProcess) -> None:
        own_server.kill()
        own_server.start()

    booking_killed(settings, log, kills=kills, seed=kills, kill=kill_server)
    book_rest(settings, log)
    assert digest_of(settings, log) == undisturbed(tmp_path / "other", log)
