"""Each check finds what it is for: a fault is planted, and named."""

import pytest
import sqlalchemy as sa

from tests.support.ledger_world import INTERVAL_MS, OCTOBER_MS, LedgerWorld, home_of, row
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import changed_entries, faults, undivided_count

HOME = home_of(3)


@pytest.fixture
def world(ledger_settings: Settings) -> LedgerWorld:
    world = LedgerWorld(ledger_settings)
    for n in range(3):
        world.book_interval(OCTOBER_MS + n * INTERVAL_MS, {HOME: 60, home_of(4): 30})
    return world


def planted(world: LedgerWorld, change: str) -> list[str]:
    with world.engine.begin() as ledger:
        assert list(faults(ledger)) == []
        assert ledger.execute(sa.text(change)).rowcount >= 1
        return list(faults(ledger))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE entries SET amount_micros = amount_micros + 1 WHERE amount_micros = 30",
            "of 31 micros",
        ),
        ("DELETE FROM entries WHERE amount_micros = 60", "0 entries"),
        ("INSERT INTO entries SELECT * FROM entries WHERE amount_micros = 60", "2 entries"),
        ("UPDATE entries SET group_id = 999 WHERE amount_micros = 60", "does not exist"),
    ],
)
def test_stored_entries_that_are_not_those_that_were_booked(
    world: LedgerWorld, change: str, said: str
) -> None:
    found = planted(world, change)
    assert found
    assert said in " ".join(found)


def test_an_interval_that_is_not_divided(world: LedgerWorld) -> None:
    """A micro that a market paid and nobody received."""
    later_ms = OCTOBER_MS + 9 * INTERVAL_MS
    with world.connect() as ledger:
        assert undivided_count(ledger) == 0
    world.book_interval(later_ms, {HOME: 60})
    missing = row(site_id=HOME, start_ms=later_ms, kind="energy", amount_micros=1)
    world.book(3, [missing])
    with world.connect() as ledger:
        (fault,) = faults(ledger)
        assert undivided_count(ledger) == 1
    assert str(later_ms) in fault
    assert "-1 micros of EUR" in fault


def test_a_sound_ledger_has_no_faults(world: LedgerWorld) -> None:
    with world.connect() as ledger:
        assert list(faults(ledger)) == []
        assert list(changed_entries(ledger)) == []
