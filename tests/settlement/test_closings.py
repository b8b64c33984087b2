"""A closed month never changes: what comes later counts in the next one and names it."""

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.ledger import PeriodClosed
from tests.support.ledger_world import (
    INTERVAL_MS,
    OCTOBER_MS,
    LedgerWorld,
    home_of,
    reversal,
    row,
)
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import RefusedError
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import changed_closings, digest
from vpp_streams.settlement.payouts import site_balances
from vpp_streams.settlement.queries import closed_periods, site_entries

HOME = home_of(3)
UNTIL_MS = OCTOBER_MS + 90 * DAY_MS
CLOSED_MS = UNTIL_MS


@pytest.fixture
def world(ledger_settings: Settings) -> LedgerWorld:
    return LedgerWorld(ledger_settings)


def closed(world: LedgerWorld, period: str, by: str = "ada") -> PeriodClosed:
    return PeriodClosed(period=period, by=by, at_ms=CLOSED_MS, through=world.through)


def test_a_correction_counts_in_the_open_month_and_states_the_closed_one(
    world: LedgerWorld,
) -> None:
    first = row(site_id=HOME)
    world.book(3, [first])
    world.decide(closed(world, "2024-10"))
    world.book(3, [reversal(first), row(site_id=HOME, revision=1, amount_micros=900)])
    with world.connect() as ledger:
        entries = site_entries(ledger, HOME, OCTOBER_MS, UNTIL_MS)
        assert [(e.micros, e.period, e.stated_period) for e in entries] == [
            (1_000, "2024-10", "2024-10"),
            (-1_000, "2024-11", "2024-10"),
            (900, "2024-11", "2024-10"),
        ]
        assert site_balances(ledger, "2024-10", "EUR") == {HOME: 1_000}
        assert list(changed_closings(ledger)) == []


def test_who_closed_a_month_and_when_is_kept(world: LedgerWorld) -> None:
    world.decide(closed(world, "2024-10", by="grace"))
    with world.connect() as ledger:
        (found,) = closed_periods(ledger)
    assert (found.period, found.closed_by, found.closed_at_ms) == ("2024-10", "grace", CLOSED_MS)


def test_a_month_continues_from_the_balance_of_the_one_before(world: LedgerWorld) -> None:
    world.book(3, [row(site_id=HOME)])
    world.decide(closed(world, "2024-10"))
    world.book(3, [row(site_id=HOME, start_ms=OCTOBER_MS + 35 * DAY_MS, period="2024-11")])
    world.decide(closed(world, "2024-11"))
    with world.connect() as ledger:
        assert site_balances(ledger, "2024-10", "EUR") == {HOME: 1_000}
        assert site_balances(ledger, "2024-11", "EUR") == {HOME: 2_000}
        assert list(changed_closings(ledger)) == []


def test_a_month_is_closed_once(world: LedgerWorld) -> None:
    world.decide(closed(world, "2024-10"))
    with pytest.raises(RefusedError, match="closed already"):
        world.decide(closed(world, "2024-10"))
    with world.connect() as ledger:
        assert len(closed_periods(ledger)) == 1


def test_a_month_that_is_not_over_somewhere_is_not_closed(world: LedgerWorld) -> None:
    november_ms = OCTOBER_MS + 31 * DAY_MS
    early = PeriodClosed(
        period="2024-10", by="ada", at_ms=november_ms + DAY_MS // 2 - 1, through=world.through
    )
    with pytest.raises(RefusedError, match="not over in every time zone"):
        world.decide(early)
    world.decide(msgspec.structs.replace(early, at_ms=early.at_ms + 1))


def test_an_entry_that_is_put_into_a_closed_month_is_found(world: LedgerWorld) -> None:
    world.book(3, [row(site_id=HOME)])
    world.decide(closed(world, "2024-10"))
    world.book(3, [row(site_id=HOME, revision=1)])
    with world.engine.begin() as ledger:
        assert list(changed_closings(ledger)) == []
        ledger.execute(sa.text("UPDATE entry_groups SET period = stated_period"))
        (fault,) = changed_closings(ledger)
    assert fault.startswith("2024-10 is closed")


@settings(
    max_examples=6, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(st.integers(0, 7), min_size=2, max_size=8), st.data())
def test_the_months_do_not_depend_on_when_the_closing_was_read(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[int], data: st.DataObject
) -> None:
    """The role may have booked more than what the closing includes, or just that."""
    at = data.draw(st.integers(0, len(amounts) - 1))
    digests = set()
    for read_at in {at, data.draw(st.integers(at, len(amounts)))}:
        world = LedgerWorld(Settings(state_dir=tmp_path_factory.mktemp("ledger")))
        through = (*world.through[:3], at, *world.through[4:])
        decision = PeriodClosed(period="2024-10", by="ada", at_ms=CLOSED_MS, through=through)
        for n, amount in enumerate(amounts):
            if n == read_at:
                world.decide(decision)
            start_ms = OCTOBER_MS + n * INTERVAL_MS
            world.book(3, [row(site_id=HOME, start_ms=start_ms, amount_micros=amount)])
        if read_at == len(amounts):
            world.decide(decision)
        with world.connect() as ledger:
            assert list(changed_closings(ledger)) == []
            digests.add(digest(ledger))
            assert site_balances(ledger, "2024-10", "EUR").get(HOME, 0) == sum(amounts[:at])
        world.engine.dispose()
    assert len(digests) == 1
