"""Whatever is corrected, late or left out: every month adds up to what the market settled."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dispatch import RequestEvent, Target
from schemas.entry_frames import decode_entries, encode_entries
from schemas.programs import Enrolment, Program
from schemas.settlement import entry_id
from tests.support.settle_world import (
    BERLIN,
    DAY,
    HOUR,
    INTERVAL,
    MINUTE,
    SHARE_60,
    START,
    award,
    delivered,
    delivery,
    enrolled,
    fleet,
    home,
    opt_out,
    site_window,
    summed,
    terms,
)
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.corrections import (
    AWARD_KINDS,
    balances,
    by_partition,
    settled,
    standing,
)
from vpp_streams.domain.settle.lines import Lines
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.money import micros_of
from vpp_streams.domain.settle.periods import Books
from vpp_streams.domain.settle.settler import Settler

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


HOMES = ("home-1", "home-2", "home-3")
RATES = terms(
    version=2,
    effective_from_ms=1,
    per_kwh_micros=123_457,
    per_event_micros=250_001,
    per_kw_hour_micros=4_003,
    opt_outs_per_month=1,
    opt_out_notice_s=600,
)
"""The owner's share, and everything that is paid by rate."""
NOW = START + 3 * HOUR
STEPS = st.one_of(
    st.tuples(st.just("window"), st.sampled_from(HOMES), st.integers(0, 14), st.floats(-90, 90)),
    st.tuples(st.just("quarter"), st.sampled_from(HOMES), st.floats(0, 1)),
    st.tuples(st.just("award"), st.integers(0, 2), st.sampled_from([6_000.0, -6_000.0, 0.0])),
    st.tuples(st.just("delivery"), st.integers(0, 2), st.floats(-2, 2)),
    st.tuples(st.just("hold"), st.integers(0, 2), st.booleans()),
    st.tuples(
        st.just("order"), st.sampled_from(["active", "outranked", "withdrawn"]), st.integers(0, 14)
    ),
    st.tuples(st.just("left"), st.sampled_from(HOMES), st.integers(0, 14), st.integers(0, 14)),
    st.tuples(st.just("close"), st.sampled_from(["2025-10", "2025-11"])),
    st.tuples(st.just("restart")),
)


class Desk:
    """A settler whose process may be killed at any time: what is in the log is read again."""

    def __init__(self) -> None:
        self.log: list[Callable[[Settler], object]] = []
        self.records: list[pa.RecordBatch] = []
        self.money: dict[int, int] = {}
        self.sold: set[int] = set()
        self.revision = 0
        self.settler = self.begun()

    def begun(self) -> Settler:
        made = Settler(Registry(home(site_id) for site_id in HOMES), BERLIN)
        made.agree(SHARE_60)
        made.agree(RATES)
        for site_id in HOMES[:2]:  # the third takes part in nothing
            made.agree(Enrolment(site_id=site_id, program_id="share-60", effective_from_ms=0))
        for apply in self.log:
            apply(made)
        for record in self.records:
            for _, part in by_partition(record):
                made.published(part, NOW)
        return made

    def read(self, apply: Callable[[Settler], object]) -> None:
        self.log.append(apply)
        apply(self.settler)

    def step(self, kind: str, *given: Any) -> None:
        self.revision += 1
        match kind, given:
            case "window", (site_id, minute, wh):
                window = site_window(
                    site_id, START + minute * MINUTE, wh, -wh, revision=self.revision
                )
                self.read(lambda s: s.measured(window, NOW))
            case "quarter", (site_id, coverage):
                ready = site_window(
                    site_id, START, 0.0, 0.0,
                    size_s=900, coverage=coverage, revision=self.revision,
                )  # fmt: skip
                self.read(lambda s: s.measured(ready, NOW))
            case "award", (number, energy_w):
                self.sold.add(number)
                one = award(START + number * INTERVAL, energy_w=energy_w)
                self.read(lambda s: s.awarded(one, NOW))
            case "delivery", (number, money):
                of = award(START + number * INTERVAL)
                paid = delivery(of, 0.0, money=money)
                self.money[number] = micros_of(money)
                self.read(lambda s: s.delivered(paid, NOW))
            case "hold", (number, held):
                state = "outranked" if held else "active"
                at_ms = START + number * INTERVAL
                self.read(lambda s: s.dispatched(_event(of_award(at_ms), state, at_ms), NOW))
            case "order", (state, minute):
                told = _event("order", state, START + minute * MINUTE)
                self.read(lambda s: s.requested(ORDER, NOW))
                self.read(lambda s: s.dispatched(told, NOW))
            case "left", (site_id, since, until):
                left = opt_out(site_id, START + since * MINUTE, START + until * MINUTE)
                self.read(lambda s: s.opted_out(left, NOW))
            case "close", (month,):
                self.read(lambda s: s.closed(month))
            case _:
                self.settler = self.begun()

    def settle(self) -> None:
        """Settle all that is due, as often as it takes."""
        for n in range(1, 4):
            for job in self.settler.ready(NOW + n * HOUR):
                record = self.settler.settle(job)
                if record is not None:
                    self.records.append(record)
                    self.settler.published(record, NOW)


def of_award(start_ms: int) -> str:
    return award(start_ms).bid_id


def _event(request_id: str, state: Any, at_ms: int) -> RequestEvent:
    by = "a-hold" if state == "outranked" else ""
    return RequestEvent(request_id=request_id, region="north", state=state, at_ms=at_ms, by=by)


ORDER = Target(
    request_id="order",
    region="north",
    export_w=5_000.0,
    starts_at_ms=START,
    ends_at_ms=START + 15 * MINUTE,
    priority="operator",
    source="operator:ada",
    issued_at_ms=START,
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=25), data=st.data())
def test_owners_and_operator_have_what_the_market_paid_whatever_happens(
    steps: list[Any], data: st.DataObject
) -> None:
    """What is paid by rate is the operator's expense; a restart gives nothing new."""
    desk = Desk()
    for step in steps:
        desk.step(*step)
        if data.draw(st.booleans()):
            desk.settle()
    desk.settle()
    left = Counter[str]()
    for record in desk.records:
        each = Counter(balances(record))
        assert each["revenue:sim:north"] == 0
        assert sum(each.values()) == 0
        left.update(each)
    paid = sum(money for number, money in desk.money.items() if number in desk.sold)
    assert -left["market:sim"] == paid == summed(left, "site:") + left["operator"]
    assert left["site:home-3"] == 0
    by_rate = {"energy", "event", "availability"}
    rows = [row for record in desk.records for row in record.to_pylist()]
    for row in rows:
        if row["kind"] in by_rate:
            assert {row["debit"], row["credit"]} == {"operator", f"site:{row['site_id']}"}
    names = [entry_id(row) for row in rows]
    assert len(names) == len(set(names))
    before = len(desk.records)
    desk.step("restart")
    desk.settle()
    assert desk.records[before:] == []


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
