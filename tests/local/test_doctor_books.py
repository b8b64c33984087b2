"""``vpp doctor`` on ledger and history: what it finds, with the way out."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from tests.support.ledger_world import OCTOBER_MS, LedgerWorld
from vpp_streams import clock
from vpp_streams.domain.history.days import parse_zones
from vpp_streams.domain.history.layout import Progress
from vpp_streams.history.directory import begin
from vpp_streams.history.historian import sources
from vpp_streams.local.doctor_books import BEHIND_S, books
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings


def found(settings: Settings, *, kafka_answers: bool = False) -> dict[str, Check]:
    return {check.name: check for check in books(settings, kafka_answers=kafka_answers)}


def test_before_either_exists_both_say_how_they_begin(settings: Settings) -> None:
    checks = found(settings)
    assert checks.keys() == {"ledger", "history"}
    assert not any(check.ok or check.needed for check in checks.values())
    assert checks["ledger"].get_it == "vpp settlement run"
    assert checks["history"].get_it == "vpp worker historian"


def test_a_database_that_does_not_answer_is_a_fault_without_its_password(tmp_path: Path) -> None:
    url = SecretStr(f"postgresql://vpp:hush@/ledger?host={tmp_path}")
    check = found(Settings(ledger=url, state_dir=tmp_path))["ledger"]
    assert (check.ok, check.needed) == (False, True)
    assert "hush" not in check.found + check.get_it
    assert "start the server" in check.get_it


def test_a_sound_ledger_is_sound_and_a_changed_one_is_named(ledger_settings: Settings) -> None:
    world = LedgerWorld(ledger_settings)
    world.book_interval(OCTOBER_MS, {"home-1": 1000})
    assert found(ledger_settings)["ledger's sums"].ok
    with world.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE entries SET amount_micros = 2 WHERE amount_micros > 900")
        )
    check = found(ledger_settings)["ledger's sums"]
    assert (check.ok, check.needed) == (False, True)
    assert "booked were 1 of 1000" in check.found
    with world.engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger SET schema_version = 99"))
    check = found(ledger_settings)["ledger"]
    assert not check.ok
    assert "a newer version" in check.found


@pytest.mark.kafka
def test_what_is_not_booked_is_counted_and_a_lost_log_is_named(topics_ready: Settings) -> None:
    world = LedgerWorld(topics_ready)
    assert found(topics_ready, kafka_answers=True)["ledger's log"].ok
    world.book_interval(OCTOBER_MS, {"home-1": 1000})  # the log never had these records
    check = found(topics_ready, kafka_answers=True)["ledger's log"]
    assert (check.ok, check.needed) == (False, True)
    assert "another log" in check.found
    assert "not known" not in check.found
    assert "no Kafka" in found(topics_ready)["ledger's log"].found


def history(settings: Settings, ago_s: float) -> None:
    """A history that has read everything until then."""
    directory = begin(settings.history_dir, parse_zones("UTC", ""))
    until_ms = clock.now_ms() - round(ago_s * 1000)
    for topic in sources():
        for partition in range(topic.partitions):
            directory.save_progress(topic.name, partition, Progress("id", 1, until_ms))


def test_a_history_says_until_when_it_is_complete(settings: Settings) -> None:
    history(settings, 60)
    check = found(settings, kafka_answers=True)["history"]
    assert check.ok
    assert "until 1 min ago" in check.found
    history(settings, BEHIND_S + 7200)
    check = found(settings, kafka_answers=True)["history"]
    assert not check.ok
    assert "until 2.2 h ago" in check.found
    assert found(settings)["history"].ok, "without Kafka there is nothing to read"
    first = sources()[0]
    (settings.history_dir / "_progress" / f"{first.name}-0.json").unlink()
    check = found(settings, kafka_answers=True)["history"]
    assert f"{first.name} not read to the end" in check.found
    (settings.history_dir / "_history.json").write_text("{")
    assert "cannot be used" in found(settings)["history"].found
