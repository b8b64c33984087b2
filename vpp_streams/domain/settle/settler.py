"""Which intervals of awards have to be settled, and the entries that settle them.

A fold of sites, windows, awards, deliveries, agreements, closed months and of the entries that were
published before. An interval is due when its delivery is there, and again whenever a window, the
delivery or its entries change: `settle` then gives the difference, or nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from schemas.assets import Site
from schemas.dispatch import DispatchEvent
from schemas.market import Award, Delivery
from schemas.programs import Enrolment, Program
from schemas.windows import SiteWindow
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Overrides
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.domain.settle.baselines import Calendar
from vpp_streams.domain.settle.corrections import AWARD_KINDS, standing
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import SiteWindows
from vpp_streams.domain.settle.periods import Books, month_after
from vpp_streams.domain.settle.settling import Region
from vpp_streams.errors import RefusedError

QUIET_MS = 10_000
"""An interval is settled when nothing about it has changed for this long, or after `LATEST_MS`: the
windows of its sites and its delivery arrive one after another."""
LATEST_MS = 60_000
KEEP_MS = 24 * HOUR_MS
"""Intervals that began within this time are settled, and again when late data correct them."""
MINUTE_MS = 60_000
Slot = tuple[str, str, int]
"""An interval: market, region and start."""


def unpaid_terms(program: Program) -> tuple[str, ...]:
    """What a program promises and the settler does not pay, in words."""
    by_rate = {
        "payment per kWh": program.per_kwh_micros,
        "payment per event": program.per_event_micros,
        "payment for availability": program.per_kw_hour_micros or program.per_kw_month_micros,
    }
    terms = tuple(words for words, rate in by_rate.items() if rate)
    if program.baseline != "no_battery":
        terms += (f"its share of the market, by the baseline {program.baseline}",)
    return terms


class Settler:
    """The intervals of the last day."""

    def __init__(self, registry: Registry, zone: ZoneInfo) -> None:
        self._registry = registry
        self._books = Books(zone)
        self._agreements = Agreements()
        self._windows = SiteWindows()
        self._overrides = Overrides()
        self._awards: dict[str, Award] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._entries: dict[Slot, list[pa.RecordBatch]] = defaultdict(list)
        self._of_minute: dict[tuple[str, int], set[str]] = defaultdict(set)
        """Awards that include a minute of a region."""
        self._due: dict[str, tuple[int, int]] = {}
        """Award -> when it changed first and last since it was settled."""

    @property
    def due(self) -> int:
        """Number of intervals that have to be settled."""
        return len(self._due)

    def agree(self, record: Program | Enrolment) -> None:
        """Apply terms or an enrolment. Raises `RefusedError` for one that contradicts itself."""
        fault = self._agreements.apply(record)
        if fault is not None:
            raise RefusedError(fault)

    def dispatched(self, event: DispatchEvent) -> None:
        """Apply what a region says about the requests that apply in it."""
        self._overrides.apply(event)

    def awarded(self, award: Award, now_ms: int) -> None:
        """Apply an award; the first of a bid stands. Raises `RefusedError` for one of days."""
        if award.interval_ms > KEEP_MS:
            raise RefusedError("its interval is longer than a day, which the settler keeps")
        if award.bid_id in self._awards or award.start_ms < now_ms - KEEP_MS:
            return
        self._awards[award.bid_id] = award
        for minute_ms in range(award.start_ms, ends_ms(award), MINUTE_MS):
            self._of_minute[award.region, minute_ms].add(award.bid_id)
        self._changed(award.bid_id, now_ms)

    def delivered(self, delivery: Delivery, now_ms: int) -> None:
        """Apply a delivery; a later record of it replaces an earlier one."""
        if delivery.start_ms >= now_ms - KEEP_MS:
            self._deliveries[delivery.bid_id] = delivery
            self._changed(delivery.bid_id, now_ms)

    def measured(self, window: SiteWindow, now_ms: int) -> None:
        """Apply a window of a site."""
        if window.start_ms < now_ms - KEEP_MS or not self._windows.apply(window):
            return
        end_ms = window.start_ms + window.size_s * 1000
        for minute_ms in range(window.start_ms, end_ms, MINUTE_MS):
            for bid_id in self._of_minute.get((window.region, minute_ms), ()):
                self._changed(bid_id, now_ms)

    def published(self, entries: pa.RecordBatch) -> None:
        """Apply entries that are in the log, also those that this settler made."""
        names = (entries.column(n)[0].as_py() for n in ("market", "region", "start_ms"))
        market, region, start_ms = names
        self._entries[market, region, start_ms].append(entries)

    def closed(self, period: str) -> None:
        """A month, and all before it, is closed: corrections count in the next one."""
        months = ["1970-01"]
        while months[-1] < period:
            months.append(month_after(months[-1]))
        books = self._books
        self._books = Books(books.zone, books.closed | frozenset(months))

    def _changed(self, bid_id: str, now_ms: int) -> None:
        if bid_id in self._awards and bid_id in self._deliveries:
            first_ms, _ = self._due.get(bid_id, (now_ms, now_ms))
            self._due[bid_id] = first_ms, now_ms

    def ready(self, now_ms: int) -> list[str]:
        """Bids whose intervals can be settled now, in the order of their starts."""
        found = [
            bid_id
            for bid_id, (first_ms, last_ms) in self._due.items()
            if now_ms - last_ms >= QUIET_MS or now_ms - first_ms >= LATEST_MS
        ]
        return sorted(found, key=lambda bid_id: (self._awards[bid_id].start_ms, bid_id))

    def settle(self, bid_id: str) -> pa.RecordBatch | None:
        """The entries that an interval lacks; None = it is settled. It is not due afterwards.

        Raises `RefusedError` where it cannot be settled.
        """
        del self._due[bid_id]
        award, delivery = self._awards[bid_id], self._deliveries[bid_id]
        if award.start_ms % MINUTE_MS or award.interval_ms % MINUTE_MS:
            raise RefusedError(
                "sites are measured by the minute, and the interval has no full ones"
            )
        sites = (_as_it_was(site, award.start_ms) for site in self._registry.sites())
        fleet = Fleet.of(award.region, sites)
        enrolled = self._agreements.columns(fleet.site_ids.to_pylist(), award.start_ms)
        for program in enrolled.programs:
            if program.baseline != "no_battery":
                raise RefusedError(
                    f"program {program.program_id} needs weeks of measurements for its baseline"
                    f" {program.baseline}; the role keeps one day"
                )
        region = Region(
            fleet=fleet,
            windows=self._windows,
            enrolled=enrolled,
            calendar=Calendar(self._books.zone, lambda _day: np.zeros(len(fleet), bool)),
            books=self._books,
        )
        records = self._entries.get((award.market, award.region, award.start_ms), [])
        return region.settle_award(
            award,
            delivery,
            award.start_ms,
            overrides=self._overrides.of(award, self._awards),
            before=standing(records, AWARD_KINDS),
        )

    def forget(self, now_ms: int) -> None:
        """Drop what began longer ago than `KEEP_MS`."""
        before_ms = now_ms - KEEP_MS
        self._windows.forget(before_ms)
        self._overrides.forget(before_ms)
        old = [bid_id for bid_id, award in self._awards.items() if award.start_ms < before_ms]
        for bid_id in old:
            del self._awards[bid_id]
            self._due.pop(bid_id, None)
        self._deliveries = _since(self._deliveries, before_ms)
        for slot in [slot for slot in self._entries if slot[2] < before_ms]:
            del self._entries[slot]
        for key in [key for key in self._of_minute if key[1] < before_ms]:
            del self._of_minute[key]


def _since(deliveries: Mapping[str, Delivery], before_ms: int) -> dict[str, Delivery]:
    return {id_: one for id_, one in deliveries.items() if one.start_ms >= before_ms}


def _as_it_was(site: Site, at_ms: int) -> Site:
    """The site in the state that it had at a moment: who was active then is paid."""
    known = tuple(change for change in site.history if change.since_ms <= at_ms)
    return msgspec.structs.replace(site, history=known or site.history[:1])
