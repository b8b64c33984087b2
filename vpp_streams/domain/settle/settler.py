"""Which intervals, events and quarters of an hour have to be settled, and their entries.

A fold of sites, windows, awards, deliveries, requests, agreements, opt-outs, closed months and of
the entries that were published before. Something is due when all that it needs is there, and again
whenever a window, the delivery or its entries change: `settle` then gives the difference, or
nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import pyarrow as pa

from schemas.dispatch import DispatchEvent, Request, Target
from schemas.market import Award, Delivery
from schemas.preferences import Preferences
from schemas.programs import Enrolment, OptOut, Program
from schemas.windows import SiteWindow
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Override, Overrides
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.award_book import MINUTE_MS, AwardBook
from vpp_streams.domain.settle.baselines import ADJUSTED_BY_MS
from vpp_streams.domain.settle.basis import NO_PAST, Basis, by_similar_days
from vpp_streams.domain.settle.called import Called
from vpp_streams.domain.settle.corrections import (
    AVAILABILITY_KINDS,
    AWARD_KINDS,
    EVENT_KINDS,
    standing,
)
from vpp_streams.domain.settle.due import Due
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.intervals import QUARTER_S, Span
from vpp_streams.domain.settle.jobs import AwardJob, EventJob, Job, QuarterJob
from vpp_streams.domain.settle.opt_outs import ends_ms as left_until_ms
from vpp_streams.domain.settle.past import Need, Past
from vpp_streams.domain.settle.periods import (
    Books,
    day_start_ms,
    local_date,
    month_after,
)
from vpp_streams.domain.settle.program_lines import pays_for_availability, pays_for_events
from vpp_streams.errors import RefusedError

KEEP_MS = 24 * HOUR_MS
"""What began within this time is settled, and again when late data correct it."""
AHEAD_MS = 366 * DAY_MS
"""Nothing is known longer ahead than this."""
KEEP_WINDOWS_MS = KEEP_MS + ADJUSTED_BY_MS
"""A baseline is adjusted by the hours before its event."""
KEEP_OPT_OUTS_MS = 62 * DAY_MS
"""Opt-outs are counted by month."""


class Settler:
    """What began within the last day."""

    def __init__(self, registry: Registry, zone: ZoneInfo) -> None:
        self._basis = Basis(registry, zone)
        self._overrides = Overrides()
        self._awards = AwardBook(zone)
        self._called = Called(zone)
        self._quarters: set[QuarterJob] = set()
        """Those that were measured."""
        self._entries: dict[tuple[str, str, int], list[pa.RecordBatch]] = defaultdict(list)
        """By market, region and start."""
        self._touched: set[str] = set()
        """Awards of which something was measured since the last look at their events."""
        self._due = Due[Job]()

    @property
    def due(self) -> int:
        """Number of intervals, events and quarters that have to be settled."""
        return len(self._due)

    @staticmethod
    def _check(at_ms: int, now_ms: int) -> None:
        if at_ms > now_ms + AHEAD_MS:
            raise RefusedError("its time is more than a year ahead")

    def agree(self, record: Program | Enrolment) -> None:
        """Apply terms or an enrolment. Raises `RefusedError` for one that contradicts itself."""
        fault = self._basis.agreements.apply(record)
        if fault is not None:
            raise RefusedError(fault)

    def requested(self, request: Request, now_ms: int) -> None:
        """Apply a record of topic ``dispatch.targets``."""
        if isinstance(request, Target) and request.ends_at_ms >= now_ms - KEEP_MS:
            self._check(request.ends_at_ms, now_ms)
            self._called.target(request)

    def dispatched(self, event: DispatchEvent, now_ms: int) -> None:
        """Apply what a region says about the requests that apply in it.

        Raises `RefusedError`, as all of these, for a record of a time that is far ahead.
        """
        self._check(event.at_ms, now_ms)
        self._overrides.apply(event)
        for found in self._called.apply(event):
            if found.span[0] >= now_ms - KEEP_MS:
                self._due.changed(EventJob("", found.region, found.span[0]), now_ms)

    def decided(self, chosen: Preferences, now_ms: int) -> list[OptOut]:
        """Apply what an owner decided; returns the opt-outs that are to be published."""
        self._check(chosen.set_at_ms, now_ms)
        records = self._basis.opt_outs.decided(chosen, self._called.spans)
        for one in records:
            self.opted_out(one, now_ms)
        return records

    def unclear(self, request: Request) -> list[Preferences]:
        """Preferences that skip a request which was not known when they were applied."""
        return self._basis.opt_outs.unclear(request.request_id)

    def opted_out(self, one: OptOut, now_ms: int) -> None:
        """Apply an opt-out: what it concerns is settled again."""
        self._check(one.from_ms, now_ms)
        before = self._basis.opt_outs.apply(one)
        site = self._basis.registry.site(one.site_id)
        if site is None or before == one:
            return
        until_ms = max(left_until_ms(each) for each in (one, before or one))
        for bid_id in self._awards.within(site.region, one.from_ms, until_ms):
            self._award_changed(bid_id, now_ms)
        for start_ms in self._called.within(site.region, one.from_ms, until_ms):
            self._due.changed(EventJob("", site.region, start_ms), now_ms)
        # It may cost the availability of its day.
        zone = self._basis.books.zone
        day_ms = day_start_ms(local_date(one.from_ms, zone), zone)
        for job in self._quarters:
            if job.region == site.region and day_ms <= job.start_ms < max(
                until_ms, day_ms + DAY_MS
            ):
                self._due.changed(job, now_ms)

    def awarded(self, award: Award, now_ms: int) -> None:
        """Apply an award; the first of a bid stands. Raises `RefusedError` for one of days."""
        if award.interval_ms > KEEP_MS:
            raise RefusedError("its interval is longer than a day, which the settler keeps")
        self._check(award.start_ms, now_ms)
        if award.start_ms >= now_ms - KEEP_MS and self._awards.add(award):
            self._award_changed(award.bid_id, now_ms)

    def delivered(self, delivery: Delivery, now_ms: int) -> None:
        """Apply a delivery; a later record of it replaces an earlier one."""
        self._check(delivery.start_ms, now_ms)
        if delivery.start_ms >= now_ms - KEEP_MS:
            self._awards.deliver(delivery)
            self._award_changed(delivery.bid_id, now_ms)

    def measured(self, window: SiteWindow, now_ms: int) -> None:
        """Apply a window of a site."""
        self._check(window.start_ms, now_ms)
        if window.start_ms < now_ms - KEEP_WINDOWS_MS or not self._basis.windows.apply(window):
            return
        self._measured(window.region, window.size_s, window.start_ms, now_ms)

    def measured_all(self, batch: pa.RecordBatch, now_ms: int) -> None:
        """Apply the windows of many sites, as `measured` would one by one."""
        size_s, start_ms = batch.column("size_s")[0].as_py(), batch.column("start_ms")[0].as_py()
        self._check(start_ms, now_ms)
        if start_ms < now_ms - KEEP_WINDOWS_MS:
            return
        changed = self._basis.windows.apply_frame(batch)
        for region in batch.column("region").filter(pa.array(changed)).unique().to_pylist():
            self._measured(region, size_s, start_ms, now_ms)

    def _measured(self, region: str, size_s: int, start_ms: int, now_ms: int) -> None:
        """Something in a region was measured in a window: what it concerns is settled again."""
        if size_s == QUARTER_S and start_ms >= now_ms - KEEP_MS:
            quarter = QuarterJob(region, start_ms)
            self._quarters.add(quarter)
            self._due.changed(quarter, now_ms)
        end_ms = start_ms + size_s * 1000
        for minute_ms in range(start_ms, end_ms, MINUTE_MS):
            for bid_id in self._awards.in_minute(region, minute_ms):
                self._award_changed(bid_id, now_ms)
            event_ms = self._called.in_minute(region, minute_ms)
            if event_ms is not None:
                self._due.changed(EventJob("", region, event_ms), now_ms)

    def published(self, entries: pa.RecordBatch, now_ms: int) -> None:
        """Apply entries that are in the log, also those that this settler made."""
        kind, market, region, start_ms = (
            entries.column(name)[0].as_py() for name in ("kind", "market", "region", "start_ms")
        )
        self._entries[market, region, start_ms].append(entries)
        if kind in EVENT_KINDS and market:
            self._due.changed(EventJob(market, region, start_ms), now_ms)

    def closed(self, period: str) -> None:
        """A month, and all before it, is closed: corrections count in the next one."""
        months = ["1970-01"]
        while months[-1] < period:
            months.append(month_after(months[-1]))
        books = self._basis.books
        self._basis.books = Books(books.zone, books.closed | frozenset(months))

    def _award_changed(self, bid_id: str, now_ms: int) -> None:
        if self._awards.complete(bid_id):
            self._due.changed(AwardJob(bid_id), now_ms)
            self._touched.add(bid_id)

    def ready(self, now_ms: int) -> list[Job]:
        """What can be settled now, in the order of starts."""
        for (market, region), start_ms in self._awards.refresh():
            self._due.changed(EventJob(market, region, start_ms), now_ms)
        for bid_id in self._touched:
            event = self._awards.event_of(bid_id)
            if event is not None:
                self._due.changed(EventJob(event.market, event.region, event.span[0]), now_ms)
        self._touched.clear()
        found = [
            job
            for job in self._due.ready(now_ms)
            if self._is_over(job, now_ms) and not self._is_too_old(job, now_ms - KEEP_MS)
        ]
        return sorted(found, key=lambda job: (self._start_ms(job), job))

    def _is_over(self, job: Job, now_ms: int) -> bool:
        if not isinstance(job, EventJob):
            return True
        event = self._event(job)
        if event is None:
            return True
        book = self._awards if job.market else self._called
        return now_ms >= book.over_ms(event)

    def _start_ms(self, job: Job) -> int:
        return (
            self._awards.awards[job.bid_id].start_ms if isinstance(job, AwardJob) else job.start_ms
        )

    def need(self, job: Job) -> Need | None:
        """What has to be known of earlier days to settle something; None = nothing."""
        if isinstance(job, QuarterJob) or not self._basis.pays(by_similar_days):
            return None
        found = self._called_for(job)
        return None if found is None else self._basis.need(*found)

    def _called_for(self, job: AwardJob | EventJob) -> tuple[str, Span, int] | None:
        """Region, interval and start of the event of something that batteries were called for."""
        if isinstance(job, AwardJob):
            award = self._awards.awards[job.bid_id]
            return award.region, (award.start_ms, ends_ms(award)), self._event_start_ms(award)
        event = self._event(job)
        return None if event is None else (event.region, event.span, event.span[0])

    def _event_start_ms(self, award: Award) -> int:
        event = self._awards.event_of(award.bid_id)
        return event.span[0] if event else award.start_ms

    def settle(self, job: Job, past: Past = NO_PAST) -> pa.RecordBatch | None:
        """The entries that something lacks; None = it is settled. It is not due afterwards.

        ``past`` is what is known of what `need` asks for. Raises `RefusedError` where it cannot be
        settled.
        """
        self._due.done(job)
        match job:
            case AwardJob(bid_id):
                return self._settle_award(self._awards.awards[bid_id], past)
            case EventJob():
                return self._settle_event(job, past)
            case QuarterJob():
                return self._settle_availability(job)

    def refuse(self, job: Job) -> None:
        """It cannot be settled now: it is due again when something about it changes."""
        self._due.done(job)

    def _settle_award(self, award: Award, past: Past) -> pa.RecordBatch | None:
        if award.start_ms % MINUTE_MS or award.interval_ms % MINUTE_MS:
            raise RefusedError(
                "sites are measured by the minute, and the interval has no full ones"
            )
        region = self._basis.region(award.region, award.start_ms, past)
        return region.settle_award(
            award,
            self._awards.deliveries[award.bid_id],
            self._event_start_ms(award),
            overrides=self._overrides.of(award, self._awards.awards),
            before=standing(self._records(award.market, award.region, award.start_ms), AWARD_KINDS),
        )

    def _records(self, market: str, region: str, start_ms: int) -> Sequence[pa.RecordBatch]:
        return self._entries.get((market, region, start_ms), ())

    def _settle_availability(self, job: QuarterJob) -> pa.RecordBatch | None:
        before = standing(self._records("", *job), AVAILABILITY_KINDS)
        if not before.entries.num_rows and not self._basis.pays(pays_for_availability):
            return None
        return self._basis.region(*job).settle_availability(job.start_ms, before)

    def _settle_event(self, job: EventJob, past: Past) -> pa.RecordBatch | None:
        event, before = self._event(job), standing(self._records(*job), EVENT_KINDS)
        if not before.entries.num_rows and not self._basis.pays(pays_for_events):
            return None
        region = self._basis.region(job.region, job.start_ms, past)
        if event is None:
            return region.withdraw(before) if self._awards.is_known(*job) else None
        if any(minute % MINUTE_MS for minute in event.span):
            raise RefusedError("sites are measured by the minute, and the event has no full ones")
        return region.settle_event(event, overrides=self._overridden(event), before=before)

    def _event(self, job: EventJob) -> Event | None:
        """The event as it is known now."""
        if job.market:
            return self._awards.event_at(*job)
        return self._called.event_at(job.region, job.start_ms)

    def _overridden(self, event: Event) -> Iterator[Override]:
        """The time that other requests took from the awards of an event."""
        for bid_id in event.requests if event.market else ():
            award = self._awards.awards[bid_id]
            yield from self._overrides.of(award, self._awards.awards)

    def forget(self, now_ms: int) -> None:
        """Drop what began longer ago than `KEEP_MS`."""
        before_ms = now_ms - KEEP_MS
        self._basis.windows.forget(now_ms - KEEP_WINDOWS_MS)
        self._overrides.forget(before_ms)
        self._called.forget(before_ms)
        self._basis.opt_outs.forget(now_ms - KEEP_OPT_OUTS_MS)
        for bid_id in self._awards.forget(before_ms):
            self._due.done(AwardJob(bid_id))
            self._touched.discard(bid_id)
        for slot in [slot for slot in self._entries if slot[2] < before_ms]:
            del self._entries[slot]
        self._quarters = {job for job in self._quarters if job.start_ms >= before_ms}
        for job in self._due:
            if self._is_too_old(job, before_ms):
                self._due.done(job)

    def _is_too_old(self, job: Job, before_ms: int) -> bool:
        """Whether it is not known completely: its beginning may have been dropped."""
        if isinstance(job, AwardJob):
            return False
        event = self._event(job) if isinstance(job, EventJob) and job.market else None
        return (self._awards.begins_after_ms(event) if event else job.start_ms) < before_ms
