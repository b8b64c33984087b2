"""Whatever is corrected, late or left out: every month adds up to what the market settled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.entry_frames import decode_entries, encode_entries
from schemas.programs import Program
from tests.support.settle_world import (
    BERLIN,
    DAY,
    INTERVAL,
    SHARE_60,
    START,
    award,
    delivered,
    delivery,
    enrolled,
    fleet,
    summed,
    terms,
)
from vpp_streams.domain.settle.corrections import AWARD_KINDS, balances, settled, standing
from vpp_streams.domain.settle.lines import Lines
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.money import micros_of
from vpp_streams.domain.settle.periods import Books

IDS = ["a", "b", "c", "d", "e"]
STARTS = (START, START + INTERVAL, START + 20 * DAY)
"""Two intervals in November, one in December."""
PROGRAMS: tuple[Program, ...] = (
    SHARE_60,
    terms(version=2, owner_share=1 / 3),
    terms(program_id="other", owner_share=1.0),
)


@dataclass(frozen=True)
class Known:
    """All that is known of one interval at a time."""

    start_ms: int
    battery_wh: tuple[float, ...]
    money: float
    capacity_money: float
    price: float
    awarded_w: float
    takes_part: tuple[bool, ...]
    program: Program
    held: bool
    """An operator's order had the region for all of the interval."""

    def lines(self) -> tuple[Lines, ...]:
        told = award(self.start_ms, energy_w=self.awarded_w, prices={"energy": self.price})
        paid = delivery(told, 0.0, money=self.money, capacity_money=self.capacity_money)
        battery_wh = [np.nan] * len(IDS) if self.held else list(self.battery_wh)
        return award_lines(
            told,
            paid,
            fleet(*IDS),
            delivered(battery_wh),
            enrolled=enrolled(IDS, self.program),
            takes_part=np.array(self.takes_part),
        )


MONEY = st.floats(-100, 100, width=32)
ENERGY = st.floats(-400, 400, width=16) | st.just(float("nan")) | st.just(0.0)
KNOWN = st.builds(
    Known,
    start_ms=st.sampled_from(STARTS),
    battery_wh=st.tuples(*[ENERGY] * len(IDS)),
    money=MONEY,
    capacity_money=MONEY,
    price=st.sampled_from([100.0, -35.5, 0.0]),
    awarded_w=st.sampled_from([6_000.0, -6_000.0, 0.0]),
    takes_part=st.tuples(*[st.booleans()] * len(IDS)),
    program=st.sampled_from(PROGRAMS),
    held=st.booleans(),
)
CHANGES = st.lists(KNOWN | st.sampled_from(["2025-11", "2025-12"]), min_size=1, max_size=9)
"""What becomes known, in any order, and closes of months in between."""


def booked(changes: Sequence[Known | str]) -> list[pa.RecordBatch]:
    """The records that are written: each is what it takes to make the newest knowledge stand."""
    books, records = Books(BERLIN), dict[int, list[pa.RecordBatch]]()
    written = []
    for change in changes:
        if isinstance(change, str):
            books = replace(books, closed=books.closed | {change})
            continue
        own = records.setdefault(change.start_ms, [])
        record = settled(change.lines(), books, standing(own, AWARD_KINDS))
        if record is not None:
            own.append(decode_entries(encode_entries(record)))
            written.append(own[-1])
    return written


def of_month(records: Sequence[pa.RecordBatch], month: str) -> pa.RecordBatch:
    rows = [row for record in records for row in record.to_pylist() if row["period"] == month]
    return pa.RecordBatch.from_pylist(rows, records[0].schema)


def check_months(records: Sequence[pa.RecordBatch], newest: dict[int, Known]) -> None:
    months = {row["period"] for record in records for row in record.to_pylist()}
    settled_by_market = 0
    for month in months:
        # An account that nothing moved in a month has no balance there.
        left = Counter(balances(of_month(records, month)))
        assert left["revenue:sim:north"] == 0
        assert summed(left, "site:") + left["operator"] == -left["market:sim"]
        settled_by_market -= left["market:sim"]
    assert settled_by_market == sum(micros_of(known.money) for known in newest.values())


@settings(max_examples=60, deadline=None)
@given(changes=CHANGES, data=st.data())
def test_every_month_adds_up_whatever_happens(
    changes: list[Known | str], data: st.DataObject
) -> None:
    records = booked(changes)
    newest = {each.start_ms: each for each in changes if isinstance(each, Known)}
    if not records:
        return
    check_months(records, newest)
    for start_ms, known in newest.items():
        own = [r for r in records if r.column("start_ms")[0].as_py() == start_ms]
        shuffled = data.draw(st.permutations([*own, own[0]]))
        stands = standing(shuffled, AWARD_KINDS).entries
        fresh = settled(known.lines(), Books(BERLIN))
        assert fresh is not None
        assert balances(stands) == balances(fresh)


@settings(max_examples=30, deadline=None)
@given(changes=CHANGES)
def test_a_closed_month_never_changes(changes: list[Known | str]) -> None:
    """Nothing that is written after a close counts in the month that was closed."""
    for at, change in enumerate(changes):
        if isinstance(change, str):
            before, after = booked(changes[:at]), booked(changes)
            later = after[len(before) :]
            assert all(
                pc.all(pc.not_equal(r["period"].cast(pa.string()), change)).as_py() for r in later
            )


@settings(max_examples=30, deadline=None)
@given(changes=CHANGES)
def test_the_same_input_gives_the_same_bytes(changes: list[Known | str]) -> None:
    one, other = (b"".join(map(encode_entries, booked(changes))) for _ in range(2))
    assert one == other
