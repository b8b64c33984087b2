"""The statement of a site: its total is its account, and what is missing is said."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from schemas.programs import Program
from tests.support.settle_world import (
    BERLIN,
    BOOKS,
    INTERVAL,
    SHARE_60,
    START,
    award,
    delivered,
    delivery,
    enrolled,
    everybody,
    fleet,
    terms,
)
from vpp_streams.domain.settle.corrections import AWARD_KINDS, balances, settled, standing
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.periods import Books
from vpp_streams.domain.settle.program_lines import event_lines
from vpp_streams.domain.settle.statement import MonthFacts, Statement, statement
from vpp_streams.domain.settle.storm_cost import StormBill

IDS = ["a", "b"]
NOVEMBER_H = 30 * 24.0


def award_entries(
    start_ms: int, battery_wh: list[float], *, before: tuple[pa.RecordBatch, ...] = (),
    program: Program = SHARE_60, price: float = 100.0, books: Books = BOOKS,
) -> pa.RecordBatch:  # fmt: skip
    told = award(start_ms, prices={"energy": price})
    lines = award_lines(
        told,
        delivery(told, float(np.nansum(battery_wh)) * 12),
        fleet(*IDS),
        delivered(battery_wh),
        enrolled=enrolled(IDS, program),
        takes_part=everybody(2),
    )
    entries = settled(lines, books, standing(before, AWARD_KINDS))
    assert entries is not None
    return entries


def joined(*records: pa.RecordBatch) -> pa.RecordBatch:
    rows = [row for record in records for row in record.to_pylist()]
    return pa.RecordBatch.from_pylist(rows, records[0].schema)


def facts(**changes: object) -> MonthFacts:
    given: dict[str, object] = {"zone": BERLIN, "measured_hours": NOVEMBER_H, "digits": 2}
    return MonthFacts(**(given | changes))  # type: ignore[arg-type]  # named fields


def told(
    entries: pa.RecordBatch, month: str = "2025-11", programs: tuple[Program, ...] = (SHARE_60,),
    **changes: object,
) -> Statement:  # fmt: skip
    return statement("a", month, entries, programs, facts(**changes))


def test_a_month_is_added_up_by_terms() -> None:
    entries = joined(
        award_entries(START, [400.0, 100.0]),
        award_entries(START + INTERVAL, [200.0, 0.0], price=50.0),
        award_entries(START + 2 * INTERVAL, [0.0, 100.0]),
    )
    found = told(entries)
    (line,) = found.lines
    assert (line.kind, line.program_id, line.program_version) == ("share", "share-60", 1)
    assert (line.baseline, line.share, line.intervals) == ("no_battery", 0.6, 2)
    assert line.delivered_wh == pytest.approx(600)
    assert line.price_per_mwh == pytest.approx((400 * 100 + 200 * 50) / 600)
    assert line.amount_micros == found.total_micros == 24_000 + 6_000
    assert found.total_micros == balances(entries)["site:a"]
    assert (found.hours, found.coverage, found.complete) == (720.0, 1.0, True)


def test_events_and_shares_are_lines_of_their_own() -> None:
    both = terms(per_kwh_micros=300_000, per_event_micros=1_000_000)
    event = Event("north", (START, START + INTERVAL), 1)
    rated = settled(
        event_lines(
            event, fleet(*IDS), delivered([400.0, 0.0]), enrolled(IDS, both),
            takes_part=everybody(2),
        ),
        BOOKS,
    )  # fmt: skip
    assert rated is not None
    found = told(joined(award_entries(START, [400.0, 0.0], program=both), rated))
    assert {line.kind: line.amount_micros for line in found.lines} == {
        "share": 24_000,
        "energy": 120_000,
        "event": 1_000_000,
    }
    event_line = next(line for line in found.lines if line.kind == "event")
    assert (event_line.intervals, event_line.price_per_mwh) == (1, None)


def test_cents_are_paid_and_micros_are_carried() -> None:
    entries = award_entries(START, [333.3, 0.0])
    found = told(entries, carried_in_micros=7_777)
    assert found.total_micros == 19_998
    assert (found.payable, found.carried_out_micros) == (2, 7_775)
    assert found.payable * 10_000 + found.carried_out_micros == 7_777 + found.total_micros


def test_a_correction_of_a_closed_month_is_shown_in_the_open_one() -> None:
    first = award_entries(START, [400.0, 100.0])
    closed = Books(BERLIN, frozenset({"2025-11"}))
    later = award_entries(START, [300.0, 200.0], before=(first,), books=closed)
    november, december = (told(joined(first, later), month) for month in ("2025-11", "2025-12"))
    assert (november.total_micros, november.corrected_micros) == (24_000, 0)
    assert (december.total_micros, december.corrected_micros) == (-6_000, -6_000)
    (line,) = december.lines
    assert line.delivered_wh == pytest.approx(-100)


def test_a_correction_in_the_same_month_leaves_what_stands() -> None:
    first = award_entries(START, [400.0, 100.0])
    entries = joined(first, award_entries(START, [300.0, 200.0], before=(first,)))
    found = told(entries)
    assert (found.total_micros, found.corrected_micros) == (18_000, 0)
    assert (found.lines[0].intervals, found.lines[0].delivered_wh) == (1, pytest.approx(300))


def test_a_month_with_missing_data_says_how_much() -> None:
    found = told(award_entries(START, [np.nan, 100.0]), measured_hours=700.0)
    assert not found.complete
    assert found.coverage == pytest.approx(700 / 720)
    assert (found.total_micros, found.lines[0].intervals) == (0, 0)
    assert found.lines[0].price_per_mwh is None


@pytest.mark.parametrize(("month", "hours"), [("2026-03", 743.0), ("2025-10", 745.0)])
def test_a_month_in_which_clocks_change_has_its_hours(month: str, hours: float) -> None:
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    start_ms = round(first.timestamp() * 1000)
    found = told(award_entries(start_ms, [400.0, 0.0]), month, measured_hours=hours)
    assert (found.hours, found.complete, found.total_micros) == (hours, True, 24_000)


def test_terms_that_changed_within_the_month_are_two_lines() -> None:
    second = terms(version=2, owner_share=0.5)
    entries = joined(
        award_entries(START, [400.0, 0.0]),
        award_entries(START + INTERVAL, [400.0, 0.0], program=second),
    )
    found = told(entries, programs=(SHARE_60, second))
    assert [(x.program_version, x.share, x.amount_micros) for x in found.lines] == [
        (1, 0.6, 24_000),
        (2, 0.5, 20_000),
    ]
    assert told(entries, programs=()).lines[0].baseline is None


def test_storms_are_information_and_not_in_the_total() -> None:
    bill = StormBill(900_000, 1)
    found = told(award_entries(START, [400.0, 0.0]), storms=bill)
    assert (found.storms, found.total_micros) == (bill, 24_000)


def test_a_month_without_entries_is_a_statement_of_nothing() -> None:
    found = told(award_entries(START, [400.0, 0.0]), "2025-12", measured_hours=744.0)
    assert (found.lines, found.total_micros, found.payable) == ((), 0, 0)


def test_two_currencies_are_no_sum() -> None:
    one = award_entries(START, [400.0, 0.0])
    rows = [row | {"currency": "AUD"} for row in one.to_pylist()]
    other = pa.RecordBatch.from_pylist(rows, one.schema)
    with pytest.raises(ValueError, match="a has entries in AUD and EUR"):
        told(joined(one, other))
