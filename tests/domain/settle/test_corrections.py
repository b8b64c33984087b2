"""Entries are never changed: what is settled again is reversed and entered anew, and no more."""

import numpy as np
import pyarrow as pa
import pytest

from schemas.bounds import PARTITIONS
from schemas.entry_frames import decode_entries, encode_entries
from schemas.programs import Program
from schemas.settlement import entry_id
from tests.support.settle_world import (
    BERLIN,
    BOOKS,
    SHARE_60,
    amounts,
    award,
    delivered,
    delivery,
    enrolled,
    everybody,
    fleet,
    terms,
)
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.settle.corrections import (
    AWARD_KINDS,
    EVENT_KINDS,
    NOTHING,
    balances,
    by_partition,
    settled,
    standing,
)
from vpp_streams.domain.settle.lines import Lines
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.periods import Books

IDS = ["a", "b", "c", "d"]


def lines(
    battery_wh: list[float], program: Program = SHARE_60, measured_w: float = 6_000.0
) -> tuple[Lines, ...]:
    told = award()
    return award_lines(
        told,
        delivery(told, measured_w),
        fleet(*IDS),
        delivered(battery_wh),
        enrolled=enrolled(IDS, program),
        takes_part=everybody(4),
    )


def first(battery_wh: list[float]) -> pa.RecordBatch:
    entries = settled(lines(battery_wh), BOOKS)
    assert entries is not None
    return entries


def again(before: pa.RecordBatch, *args: object, books: Books = BOOKS) -> pa.RecordBatch | None:
    return settled(lines(*args), books, standing([before], AWARD_KINDS))  # type: ignore[arg-type]  # as `lines` takes them


def kinds(entries: pa.RecordBatch) -> list[tuple[str, str, int, bool]]:
    names = ("kind", "site_id", "revision", "reverses")
    return [tuple(row[name] for name in names) for row in entries.to_pylist()]


def test_the_first_entries_of_an_interval_are_revision_0() -> None:
    entries = first([400.0, 100.0, 0.0, np.nan])
    assert kinds(entries) == [
        ("market", "", 0, False),
        ("operator", "", 0, False),
        *(("share", site, 0, False) for site in IDS),
    ]
    assert {row["period"] for row in entries.to_pylist()} == {"2025-11"}


def test_entries_are_a_sound_record_and_the_same_input_gives_the_same_bytes() -> None:
    one, other = (encode_entries(first([400.0, 100.0, 0.0, np.nan])) for _ in range(2))
    assert one == other
    assert decode_entries(one).num_rows == 6


def test_what_is_settled_again_without_a_change_has_no_entries() -> None:
    assert again(first([400.0, 100.0, 0.0, np.nan]), [400.0, 100.0, 0.0, np.nan]) is None


def test_only_what_changed_is_reversed_and_entered_anew() -> None:
    """Site d was measured late, and gave nothing: nobody else is concerned."""
    found = again(first([400.0, 100.0, 0.0, np.nan]), [400.0, 100.0, 0.0, 0.0])
    assert found is not None
    assert kinds(found) == [("share", "d", 0, True), ("share", "d", 1, False)]
    decode_entries(encode_entries(found))


def test_a_reversal_gives_back_what_was_entered() -> None:
    before = first([400.0, 100.0, 0.0, 0.0])
    found = again(before, [300.0, 200.0, 0.0, 0.0])
    assert found is not None
    rows = {entry_id(row): row for row in found.to_pylist()}
    back, anew = (
        rows[f"share|a|sim|{award().start_ms}|share-60|{rest}"] for rest in ("0|reversed", "1")
    )
    assert (back["debit"], back["credit"]) == ("site:a", "revenue:sim:north")
    assert (back["amount_micros"], anew["amount_micros"]) == (24_000, 18_000)
    assert amounts(pa.Table.from_batches([before, found]).combine_chunks()) == {
        "a": 18_000, "b": 12_000, "c": 0, "d": 0,
    }  # fmt: skip


def test_new_terms_and_another_program_are_corrections_too() -> None:
    before = first([400.0, 100.0, 0.0, 0.0])
    second = again(before, [400.0, 100.0, 0.0, 0.0], terms(version=2, owner_share=0.5))
    assert second is not None
    assert amounts(second)["a"] == 20_000 - 24_000
    other = again(before, [400.0, 100.0, 0.0, 0.0], terms(program_id="other", owner_share=0.5))
    assert other is not None
    assert {row["program_id"] for row in other.to_pylist() if row["reverses"]} == {"", "share-60"}
    assert amounts(other)["a"] == 20_000 - 24_000


def test_a_correction_of_a_closed_month_counts_in_the_open_one() -> None:
    before = first([400.0, 100.0, 0.0, 0.0])
    closed = Books(BERLIN, frozenset({"2025-11"}))
    found = again(before, [300.0, 200.0, 0.0, 0.0], books=closed)
    assert found is not None
    rows = found.to_pylist()
    assert {row["period"] for row in rows} == {"2025-12"}
    assert {row["start_ms"] for row in rows} == {award().start_ms}
    assert balances(found)["revenue:sim:north"] == 0


def test_what_stands_depends_neither_on_order_nor_on_repetition() -> None:
    records = [first([400.0, 100.0, 0.0, 0.0])]
    for battery_wh in (
        [300.0, 200.0, 0.0, 0.0],
        [300.0, 200.0, 0.0, 9.0],
        [400.0, 100.0, 0.0, 0.0],
    ):
        found = settled(lines(battery_wh), BOOKS, standing(records, AWARD_KINDS))
        assert found is not None
        records.append(found)
    stands = standing(records, AWARD_KINDS)
    assert stands.revision == 3
    shuffled = standing([*records[::-1], *records], AWARD_KINDS)
    assert encode_entries(shuffled.entries) == encode_entries(stands.entries)
    assert amounts(stands.entries) == amounts(records[0])


def test_kinds_that_are_settled_elsewhere_are_left_alone() -> None:
    records = [first([400.0, 100.0, 0.0, 0.0])]
    assert standing(records, EVENT_KINDS) is NOTHING
    assert standing([], AWARD_KINDS) is NOTHING
    assert settled([], BOOKS, NOTHING) is None


def test_without_lines_all_that_stands_is_reversed() -> None:
    before = first([400.0, 100.0, 0.0, 0.0])
    found = settled([], BOOKS, standing([before], AWARD_KINDS))
    assert found is not None
    assert all(row["reverses"] for row in found.to_pylist())
    both = pa.Table.from_batches([before, found]).combine_chunks()
    assert set(balances(both.to_batches()[0]).values()) == {0}
    assert standing([before, found], AWARD_KINDS).entries.num_rows == 0


def test_an_interval_that_is_settled_after_it_was_withdrawn_has_a_new_revision() -> None:
    before = first([400.0, 100.0, 0.0, 0.0])
    gone = settled([], BOOKS, standing([before], AWARD_KINDS))
    assert gone is not None
    anew = settled(lines([400.0, 100.0, 0.0, 0.0]), BOOKS, standing([before, gone], AWARD_KINDS))
    assert anew is not None
    assert {row["revision"] for row in anew.to_pylist()} == {1}
    names = [entry_id(row) for each in (before, gone, anew) for row in each.to_pylist()]
    assert len(set(names)) == len(names)


def test_entries_are_in_the_partition_of_their_site() -> None:
    entries = first([400.0, 100.0, 0.0, np.nan])
    parts = dict(by_partition(entries))
    for number, part in parts.items():
        for row in decode_entries(encode_entries(part)).to_pylist():
            assert partition_of(row["site_id"] or row["region"], PARTITIONS) == number
    assert sum(part.num_rows for part in parts.values()) == entries.num_rows


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0])
def test_balances_are_credits_less_debits(factor: float) -> None:
    entries = settled(lines([400.0, 100.0, 0.0, 0.0], measured_w=6_000.0 * abs(factor)), BOOKS)
    assert entries is not None
    found = balances(entries)
    assert found["market:sim"] == -round(50_000 * abs(factor))
    assert sum(found.values()) == 0
