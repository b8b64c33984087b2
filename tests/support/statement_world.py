"""October 2025 of three homes in Berlin, settled and booked: what statements are made of.

Clocks change in it, terms change in it, an owner leaves an event, minutes are missing, and late
readings correct it, before and after months were closed. The third home is never measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.bounds import PARTITIONS
from schemas.entry_frames import encode_entries
from schemas.ledger import PeriodClosed
from schemas.programs import Program
from schemas.settlement import BANK, site_account
from schemas.windows import SiteWindow
from tests.support.ledger_world import LedgerWorld, batch, block_record, row
from tests.support.settle_world import (
    BERLIN,
    INTERVAL,
    MINUTE,
    SHARE_60,
    award,
    delivery,
    enrolled,
    fleet,
    opt_out,
    site_window,
    terms,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.settle.attribution import from_no_battery, taking_part
from vpp_streams.domain.settle.corrections import (
    AVAILABILITY_KINDS,
    AWARD_KINDS,
    EVENT_KINDS,
    by_partition,
    settled,
    standing,
)
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.intervals import SiteWindows
from vpp_streams.domain.settle.lines import Lines
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.periods import Books, month_bounds_ms
from vpp_streams.domain.settle.program_lines import availability_lines, event_lines
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import BlockRecord

SITES = ["home-001", "home-002", "home-003"]
ZONE = "Europe/Berlin"
MONTH = "2025-10"


CLOSED_MS = 1_764_000_000_000
"""When months are closed: in November 2025."""


def local_ms(text: str) -> int:
    """A local time, for example ``2025-10-01 00:00``, in ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


STRETCHES = (
    ("2025-09-30 23:55", 1),
    ("2025-10-01 00:00", 3),
    ("2025-10-10 17:00", 12),
    ("2025-10-14 17:00", 12),
    ("2025-10-15 17:00", 12),
    ("2025-10-20 17:00", 12),
    ("2025-10-26 01:30", 42),
    ("2025-10-31 23:50", 4),
)
"""Beginning, and number of intervals of 5 minutes. The night of 26 October has 25 hours; the last
stretch ends in November."""
EVENTS = ("2025-10-15 17:00", "2025-10-20 17:00")
EVENT_MS = 12 * INTERVAL
FIRST = terms(SHARE_60, name="Shared revenue, Zürich & Łódź", per_kw_month_micros=1_500_000)
SECOND = terms(
    FIRST,
    version=2,
    owner_share=0.5,
    effective_from_ms=local_ms("2025-10-15 00:00"),
    per_kwh_micros=123_457,
    per_event_micros=250_000,
)
"""The terms from the middle of the month on."""
LEFT = opt_out("home-002", local_ms("2025-10-14 17:10"), local_ms("2025-10-14 17:30"), 0)
LATE_SEPTEMBER, LATE_OCTOBER = local_ms("2025-09-30 23:55"), local_ms("2025-10-10 17:20")
"""Intervals that are corrected after their month was closed."""


@dataclass(frozen=True)
class Facts:
    """What happened: shapes (intervals, minutes, sites), battery energy in Wh; NaN = missing."""

    starts: list[int]
    prices: Floats
    """Per MWh, as the market cleared."""
    first_wh: Floats
    """As measured at first."""
    later_wh: Floats
    """With late readings, received before the month was closed."""
    final_wh: Floats
    """With those that were received after it was closed."""


def facts(seed: int = 7) -> Facts:
    """Facts of the month; the same for the same seed."""
    starts = [
        local_ms(text) + number * INTERVAL for text, count in STRETCHES for number in range(count)
    ]
    rng = np.random.default_rng(seed)
    wh = rng.uniform(5, 80, (len(starts), 5, len(SITES))).round(3)
    wh[rng.random(wh.shape) < 0.04] = np.nan
    wh[:, :, 2] = np.nan
    wh[starts.index(LATE_OCTOBER) - 1, :3, 0] = np.nan
    final = wh.copy()
    for moment in (LATE_SEPTEMBER, LATE_OCTOBER):
        wh[starts.index(moment), 2:, 0] = np.nan
        final[starts.index(moment), 2:, 0] = [31.25, 44.5, 12.0]
    first = np.where(rng.random(wh.shape) < 0.05, np.nan, wh)
    prices = rng.uniform(20, 190, len(starts)).round(2)
    return Facts(starts, prices, first, wh, final)


def program_at(start_ms: int) -> Program:
    """The terms that hold at a moment."""
    return SECOND if start_ms >= SECOND.effective_from_ms else FIRST


@dataclass(frozen=True)
class Booking:
    """Records of one partition that a ledger books in one transaction."""

    partition: int
    offset: int
    """Of the first record."""
    records: list[BlockRecord]


Step = Booking | PeriodClosed


class StatementWorld(LedgerWorld):
    """The ledger of that month, with all months open; `close_and_correct` closes two."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._take(steps_until_closed()[0])

    def close_and_correct(self) -> None:
        """Close September, correct it; close October, correct it."""
        self._take(steps_until_closed()[1])

    def pay(self, site_id: str, cents: int, on: str) -> None:
        """Book a payout."""
        paid = row(
            kind="payout",
            site_id=site_id,
            market="",
            start_ms=local_ms(on),
            interval_ms=1,
            program_id="payout-1",
            program_version=0,
            period=on[:7],
            debit=site_account(site_id),
            credit=BANK,
            amount_micros=cents * 10_000,
            coverage=0.0,
            window_revision=-1,
            **dict.fromkeys(
                ("energy_wh", "baseline_wh", "delivered_wh", "price_per_mwh", "share"), np.nan
            ),
        )
        for partition, part in by_partition(batch([paid])):
            self.book_bytes(partition, encode_entries(part))

    def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, PeriodClosed):
                self.decide(step)
            else:
                self.books.book(step.partition, step.offset or None, step.records)
                self._ends[step.partition] = step.offset + len(step.records)


@cache
def steps_until_closed() -> tuple[Sequence[Step], Sequence[Step]]:
    """What a ledger does of the month while it is open, and when two months are closed.

    They are the same for every ledger, and settled once: that takes ten times as long as to book
    them.
    """
    month = SettledMonth(facts())
    month.settle()
    opened, month.steps = month.steps, []
    month.close_and_correct()
    return opened, month.steps


class SettledMonth:
    """Settles the month, and notes each step that its ledger has to take."""

    def __init__(self, given: Facts) -> None:
        self.given = given
        self.steps: list[Step] = []
        self._ends = [0] * PARTITIONS
        self._windows = SiteWindows()
        self._records: dict[tuple[str, int], list[pa.RecordBatch]] = {}
        self._closed: frozenset[str] = frozenset()
        self._waiting: dict[int, list[bytes]] = {}

    def settle(self) -> None:
        """The month as first measured, with late readings, and what was available in it."""
        self._measure(self.given.first_wh, 0)
        self._settle_all()
        self._measure(self.given.later_wh, 1)
        self._settle_all()
        self._settle_availability()
        self._flush()

    def close_and_correct(self) -> None:
        """Close September, correct it; close October, correct it."""
        self._close("2025-09")
        self._measure(self.given.final_wh, 2, LATE_SEPTEMBER)
        self._settle_all(LATE_SEPTEMBER)
        self._close("2025-10")
        self._measure(self.given.final_wh, 2, LATE_OCTOBER)
        self._settle_all(LATE_OCTOBER)
        self._flush()

    def _close(self, period: str) -> None:
        self._flush()
        through = tuple(self._ends)
        self.steps.append(PeriodClosed(period=period, by="ada", at_ms=CLOSED_MS, through=through))
        self._closed |= {period}

    def _measure(self, wh: Floats, revision: int, only: int | None = None) -> None:
        for at, start_ms in enumerate(self.given.starts):
            if only in (None, start_ms):
                for window in _windows_of(wh[at], start_ms, revision):
                    self._windows.apply(window)

    def _settle_all(self, only: int | None = None) -> None:
        for at, start_ms in enumerate(self.given.starts):
            if only in (None, start_ms):
                self._settle(("award", start_ms), self._award(at), AWARD_KINDS)
        for text in EVENTS:
            if only is None:
                self._settle(("event", local_ms(text)), self._event(local_ms(text)), EVENT_KINDS)

    def _award(self, at: int) -> Sequence[Lines]:
        start_ms, homes = self.given.starts[at], fleet(*SITES)
        told = award(start_ms, prices={"energy": float(self.given.prices[at])})
        span = (start_ms, start_ms + INTERVAL)
        energies = self._windows.energies(self._windows.rows(homes.site_ids), span)
        return award_lines(
            told,
            delivery(told, market_w(self.given, at)),
            homes,
            from_no_battery(energies.bounded(homes, INTERVAL)),
            enrolled=enrolled(SITES, program_at(start_ms)),
            takes_part=taking_part(homes.site_ids, span, [LEFT]),
        )

    def _event(self, start_ms: int) -> Sequence[Lines]:
        homes, span = fleet(*SITES), (start_ms, start_ms + EVENT_MS)
        energies = self._windows.energies(self._windows.rows(homes.site_ids), span)
        return event_lines(
            Event("north", span, 1),
            homes,
            from_no_battery(energies.bounded(homes, EVENT_MS)),
            enrolled(SITES, SECOND, at_ms=start_ms),
            takes_part=taking_part(homes.site_ids, span, []),
        )

    def _settle_availability(self) -> None:
        since, until = month_bounds_ms(MONTH, BERLIN)
        hours = np.array(AVAILABLE_H)
        lines = availability_lines(
            (since, until), until - since, fleet(*SITES), hours, enrolled(SITES, FIRST)
        )
        self._settle(("availability", since), lines, AVAILABILITY_KINDS)

    def _settle(self, key: tuple[str, int], lines: Sequence[Lines], kinds: Sequence[str]) -> None:
        before = self._records.setdefault(key, [])
        found = settled(lines, Books(BERLIN, self._closed), standing(before, kinds))  # type: ignore[arg-type]  # literal kinds
        if found is not None:
            before.append(found)
            self._book(found)

    def _book(self, entries: pa.RecordBatch) -> None:
        for partition, part in by_partition(entries):
            self._waiting.setdefault(partition, []).append(encode_entries(part))

    def _flush(self) -> None:
        for partition, values in self._waiting.items():
            at = self._ends[partition]
            records = [block_record(partition, at + n, value) for n, value in enumerate(values)]
            self.steps.append(Booking(partition, at, records))
            self._ends[partition] = at + len(values)
        self._waiting.clear()


AVAILABLE_H = (745.0, 700.5, 0.0)
"""Hours in which each home was available in October, which has 745."""


def market_w(given: Facts, at: int) -> float:
    """The market's own meter saw the late energy too."""
    return float(np.nansum(given.final_wh[at])) * 12


def booked(directory: Path) -> Settings:
    """The settings of a ledger with the month booked, corrected, closed and paid."""
    settings = Settings(state_dir=directory, ledger_zone=ZONE)
    world = StatementWorld(settings)
    world.close_and_correct()
    world.pay(SITES[0], 960, "2025-11-03 10:00")
    world.engine.dispose()
    return settings


def _windows_of(wh: Floats, start_ms: int, revision: int) -> Iterator[SiteWindow]:
    for minute in range(5):
        for site, site_id in enumerate(SITES):
            energy_wh = float(wh[minute, site])
            if not np.isnan(energy_wh):
                at_ms = start_ms + minute * MINUTE
                yield site_window(site_id, at_ms, energy_wh, -energy_wh, revision=revision)
