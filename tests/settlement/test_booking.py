"""Entries in the database: each once, with their offsets, and the same on both databases."""

import math
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.entry_frames import encode_entries
from schemas.settlement import OPERATOR, market_account, revenue_account
from tests.support.ledger_world import (
    INTERVAL_MS,
    MARKET,
    OCTOBER_MS,
    REGION,
    LedgerWorld,
    batch,
    block_record,
    home_of,
    interval,
    reversal,
    row,
)
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import LedgerError
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import Books, EntriesRefused
from vpp_streams.settlement.checks import digest, faults
from vpp_streams.settlement.offsets import applied_offsets
from vpp_streams.settlement.queries import balances, region_days, site_entries

HOME, OTHER = home_of(3), home_of(3, 1)
UNTIL_MS = OCTOBER_MS + 40 * DAY_MS


@pytest.fixture
def world(ledger_settings: Settings) -> LedgerWorld:
    return LedgerWorld(ledger_settings)


def test_balances_are_credits_less_debits(world: LedgerWorld) -> None:
    world.book_interval(OCTOBER_MS, {HOME: 600, OTHER: 250}, operator_micros=150)
    world.book_interval(OCTOBER_MS + INTERVAL_MS, {HOME: 60}, operator_micros=40)
    with world.connect() as ledger:
        assert balances(ledger, f"site:{HOME}") == {"EUR": 660}
        assert balances(ledger, OPERATOR) == {"EUR": 190}
        assert balances(ledger, market_account(MARKET)) == {"EUR": -1100}
        assert balances(ledger, revenue_account(MARKET, REGION)) == {"EUR": 0}
        assert balances(ledger, f"site:{HOME}", OCTOBER_MS + 1) == {"EUR": 600}
        assert balances(ledger, "site:nobody") == {}


def test_an_owner_sees_the_arithmetic_and_what_was_not_measured(world: LedgerWorld) -> None:
    silent = {"energy_wh": math.nan, "delivered_wh": math.nan, "coverage": 0.0}
    world.book(3, [row(site_id=HOME), row(site_id=OTHER, amount_micros=0, **silent)])
    with world.connect() as ledger:
        (paid,) = site_entries(ledger, HOME, OCTOBER_MS, UNTIL_MS)
        (unpaid,) = site_entries(ledger, OTHER, OCTOBER_MS, UNTIL_MS)
    assert (paid.micros, paid.delivered_wh, paid.baseline_wh) == (1_000, 100.0, 20.0)
    assert (paid.price_per_mwh, paid.share, paid.program_version) == (80.5, 0.6, 1)
    assert unpaid.micros == 0
    assert math.isnan(unpaid.energy_wh)
    assert math.isnan(unpaid.delivered_wh)
    assert unpaid.coverage == 0.0


def test_a_correction_is_a_reversal_and_a_new_entry(world: LedgerWorld) -> None:
    first = row(site_id=HOME)
    world.book(3, [first])
    world.book(3, [reversal(first), row(site_id=HOME, revision=1, amount_micros=900)])
    with world.connect() as ledger:
        entries = site_entries(ledger, HOME, OCTOBER_MS, UNTIL_MS)
        assert [e.micros for e in entries] == [1_000, -1_000, 900]
        assert balances(ledger, f"site:{HOME}") == {"EUR": 900}


def test_only_entries_of_the_time_that_was_asked_for(world: LedgerWorld) -> None:
    days = [OCTOBER_MS, OCTOBER_MS + DAY_MS, OCTOBER_MS + 2 * DAY_MS]
    for at in days:
        world.book(3, [row(site_id=HOME, start_ms=at)])
    with world.connect() as ledger:
        found = site_entries(ledger, HOME, days[1], days[2])
    assert [e.start_ms for e in found] == [days[1]]


def test_sums_by_region_and_day(world: LedgerWorld) -> None:
    world.book_interval(OCTOBER_MS, {HOME: 60})
    world.book(3, [row(site_id=HOME, start_ms=OCTOBER_MS + DAY_MS, region="south")])
    world.book(3, [reversal(row(site_id=HOME, start_ms=OCTOBER_MS, amount_micros=60))])
    with world.connect() as ledger:
        found = list(region_days(ledger, OCTOBER_MS, UNTIL_MS))
        assert list(region_days(ledger, OCTOBER_MS, UNTIL_MS, "south")) == found[-1:]
    day = OCTOBER_MS // DAY_MS
    assert [(d.region, d.day, d.kind, d.micros, d.entries) for d in found] == [
        ("north", day, "market", 460, 1),
        ("north", day, "operator", 400, 1),
        ("north", day, "share", 0, 2),
        ("south", day + 1, "share", 1_000, 1),
    ]


def test_a_record_that_was_sent_again_is_passed(world: LedgerWorld) -> None:
    value = encode_entries(batch([row(site_id=HOME)]))
    world.book_bytes(3, value)
    world.book_bytes(3, value)
    with world.connect() as ledger:
        assert balances(ledger, f"site:{HOME}") == {"EUR": 1_000}
        assert applied_offsets(ledger)[world.topic, 3].next_offset == 2
    assert world.books.repeated == 1


@pytest.mark.parametrize(
    "changes", [{}, {"amount_micros": 5}, {"price_per_mwh": 1.0}, {"program_version": 2}]
)
def test_an_entry_in_another_record_is_not_paid_again(
    world: LedgerWorld, changes: dict[str, Any]
) -> None:
    world.book(3, [row(site_id=HOME)])
    with pytest.raises(EntriesRefused) as refused:
        world.book(3, [row(site_id=HOME, **changes), row(site_id=OTHER)])
    assert HOME in refused.value.reasons[1]
    with world.connect() as ledger:
        assert balances(ledger, f"site:{HOME}") == {"EUR": 1_000}
        assert balances(ledger, f"site:{OTHER}") == {}
        assert applied_offsets(ledger)[world.topic, 3].next_offset == 1


def test_an_entry_of_a_region_is_booked_once_whatever_the_partition(world: LedgerWorld) -> None:
    market = interval(OCTOBER_MS, {})[0]
    world.book(0, market)
    with pytest.raises(EntriesRefused, match="1 records"):
        world.book(5, [market[0] | {"amount_micros": 7}])


def test_records_of_one_transaction_are_compared_with_each_other(world: LedgerWorld) -> None:
    values = [[row(site_id=HOME)], [row(site_id=HOME, amount_micros=7)]]
    records = [block_record(3, n, encode_entries(batch(v))) for n, v in enumerate(values)]
    with pytest.raises(EntriesRefused) as refused:
        world.books.book(3, None, records)
    assert list(refused.value.reasons) == [1]


def test_other_intervals_sites_and_programs_are_other_entries(world: LedgerWorld) -> None:
    world.book(3, [row(site_id=HOME)])
    world.book(3, [row(site_id=OTHER)])
    world.book(3, [row(site_id=HOME, start_ms=OCTOBER_MS + INTERVAL_MS)])
    world.book(3, [row(site_id=HOME, program_id="other")])
    world.book(3, [row(site_id=HOME, market="other")])
    with world.connect() as ledger:
        assert balances(ledger, f"site:{HOME}") == {"EUR": 4_000}


def test_a_second_process_that_books_the_same_fails(world: LedgerWorld) -> None:
    world.book(3, [row(site_id=HOME)])
    other = Books(world.engine, world.topic)
    world.book(3, [row(site_id=OTHER)])
    late = block_record(3, 1, encode_entries(batch([row(site_id=OTHER)])))
    with pytest.raises(LedgerError, match="another process"):
        other.book(3, 1, [late])
    first = block_record(3, 0, encode_entries(batch([row(site_id=home_of(3, 2))])))
    with pytest.raises(LedgerError, match="another process"):
        other.book(3, None, [first])


def test_after_a_failure_the_same_books_go_on(world: LedgerWorld) -> None:
    """Accounts that were opened in a transaction that failed are opened again."""
    world.book(3, [row(site_id=HOME)])
    with pytest.raises(EntriesRefused):
        world.book(3, [row(site_id=HOME, revision=0, amount_micros=2), row(site_id=OTHER)])
    world.log.pop()
    world.book(3, [row(site_id=OTHER)])
    with world.connect() as ledger:
        assert balances(ledger, f"site:{OTHER}") == {"EUR": 1_000}
        assert list(faults(ledger)) != []  # no market paid for these
    assert world.books.entries == Books(world.engine, world.topic).entries == 2


def test_both_databases_and_any_order_of_partitions_give_the_same_digest(
    tmp_path: Any, postgres_ledger: str
) -> None:
    urls = [f"sqlite:///{tmp_path}/a.sqlite", postgres_ledger, f"sqlite:///{tmp_path}/b.sqlite"]
    digests = []
    for n, url in enumerate(urls):
        world = LedgerWorld(Settings.model_validate({"ledger": url, "state_dir": tmp_path}))
        records = [
            (partition, rows)
            for at in range(6)
            for partition, rows in interval(OCTOBER_MS + at * INTERVAL_MS, {HOME: at}).items()
        ]
        if n == 2:
            records.sort(key=lambda record: -record[0])
        for partition, rows in records:
            world.book(partition, rows)
        with world.connect() as ledger:
            digests.append(digest(ledger))
            before = digests[-1]
        world.book(3, [row(site_id=HOME, kind="event")])
        with world.connect() as ledger:
            assert digest(ledger) != before
        world.engine.dispose()
    assert len(set(digests)) == 1


def test_days_that_were_booked_at_once_have_their_index_afterwards(postgres_ledger: str) -> None:
    world = LedgerWorld(Settings.model_validate({"ledger": postgres_ledger}))
    indexes = sa.text("SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'entries_1%'")
    world.book(3, [row(site_id=HOME), row(site_id=HOME, start_ms=OCTOBER_MS + DAY_MS)])
    with world.connect() as ledger:
        assert ledger.scalar(indexes) == 0
    world.books.finish_days()
    with world.connect() as ledger:
        assert ledger.scalar(indexes) == 2
    world.engine.dispose()


def test_a_day_that_is_over_is_sorted_by_site_once(postgres_ledger: str) -> None:
    world = LedgerWorld(Settings.model_validate({"ledger": postgres_ledger}))
    for n in range(3):
        start_ms = OCTOBER_MS + n * INTERVAL_MS
        world.book(3, [row(site_id=s, start_ms=start_ms) for s in (HOME, OTHER)])
    assert world.books.sort_a_day() is None
    world.book(3, [row(site_id=HOME, start_ms=OCTOBER_MS + 2 * DAY_MS)])
    assert world.books.sort_a_day() == OCTOBER_MS // DAY_MS
    assert world.books.sort_a_day() is None
    stored = sa.text("SELECT site_account FROM entries WHERE day = :day ORDER BY ctid")
    with world.connect() as ledger:
        sites = list(ledger.scalars(stored, {"day": OCTOBER_MS // DAY_MS}))
        assert sites == sorted(sites)
        assert len(sites) == 6
    world.engine.dispose()
