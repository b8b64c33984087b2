"""Settles intervals: follows what they are settled from, and publishes their entries.

It is in the process of the role ``settlement``, beside the booking (`role`). After a restart it
reads a day back, with the entries that it published, so that it publishes what is missing only.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from schemas.ledger import PeriodClosed
from schemas.market import Award, Delivery
from schemas.preferences import Preferences
from schemas.programs import OptOut
from schemas.windows import SiteWindow
from vpp_streams.domain.ledger.periods import check_is_over
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.basis import NO_PAST
from vpp_streams.domain.settle.corrections import by_partition
from vpp_streams.domain.settle.jobs import AwardJob, EventJob, Job, QuarterJob
from vpp_streams.domain.settle.settler import KEEP_WINDOWS_MS, Settler
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, assets_into
from vpp_streams.process.connection import Connection
from vpp_streams.process.duty import Begin, at_once
from vpp_streams.process.health import HealthReporter
from vpp_streams.settlement.past_days import PastDays

log = structlog.get_logger()

CYCLE_S = 1.0
AHEAD_MS = 4 * DAY_MS
"""Awards may be made this long before their intervals."""
_COUNTERS = {
    AwardJob: "intervals_settled",
    EventJob: "events_settled",
    QuarterJob: "quarters_settled",
}


class Settling:
    """Publishes the entries of intervals, for ever."""

    def __init__(
        self,
        kafka: Connection,
        health: HealthReporter,
        zone: ZoneInfo,
        past: PastDays,
        now_ms: Callable[[], int],
        *,
        begin: Begin = at_once,
    ) -> None:
        self._past = past
        self._kafka = kafka
        self._counters = health.counters
        self._now_ms = now_ms
        self._begin = begin
        """Returns while this instance is on duty; awaited again before each interval."""
        self._registry = Registry()
        self.settler = Settler(self._registry, zone)
        self._opt_outs: list[OptOut] = []
        """Those that are to be published."""
        health.gauges["intervals_due"] = lambda: self.settler.due

    def feeds(self) -> Iterator[Feed[Any]]:
        """What is settled, beside `known`."""
        since_ms = max(self._now_ms() - KEEP_WINDOWS_MS - HOUR_MS, 1)
        settler, now_ms = self.settler, self._now_ms
        yield Feed(topics.PROGRAMS, lambda read: settler.agree(read.record))
        yield Feed(topics.ENROLMENTS, lambda read: settler.agree(read.record))
        yield Feed(topics.PREFERENCES, lambda read: self._decide(read.record))
        yield Feed(topics.LEDGER_DECISIONS, self._on_decision)
        yield Feed(
            topics.SETTLEMENT_ENTRIES,
            lambda read: settler.published(read.record, now_ms()),
            since_ms=since_ms,
        )
        yield Feed(
            topics.SITE_WINDOWS,
            self._on_windows,
            since_ms=since_ms,
        )
        yield Feed(
            topics.DISPATCH_EVENTS,
            lambda read: settler.dispatched(read.record, now_ms()),
            since_ms=since_ms,
        )
        # Awards are known ahead: an auction of days clears long before the last of its intervals.
        ahead_ms = max(since_ms - AHEAD_MS, 1)
        yield Feed(topics.MARKET_AWARDS, self._on_market, since_ms=ahead_ms)
        yield Feed(topics.MARKET_DELIVERIES, self._on_market, since_ms=since_ms)

    def known(self) -> Iterator[Feed[Any]]:
        """What has to be known before owners' preferences are read: they are opt-outs from it."""
        yield assets_into(self._registry)
        yield Feed(
            topics.OPT_OUTS, lambda read: self.settler.opted_out(read.record, self._now_ms())
        )
        yield Feed(topics.DISPATCH_TARGETS, self._on_request)

    def _on_windows(self, read: Read[Any]) -> None:
        windows, now_ms = read.record, self._now_ms()
        if isinstance(windows, SiteWindow):
            self.settler.measured(windows, now_ms)
        else:
            self.settler.measured_all(windows, now_ms)

    def _on_request(self, read: Read[Any]) -> None:
        self.settler.requested(read.record, self._now_ms())
        for chosen in self.settler.unclear(read.record):
            self._decide(chosen)

    def _decide(self, chosen: Preferences) -> None:
        self._opt_outs += self.settler.decided(chosen, self._now_ms())

    def _on_decision(self, read: Read[Any]) -> None:
        if isinstance(read.record, PeriodClosed):
            check_is_over(read.record.period, read.record.at_ms)
            self.settler.closed(read.record.period)

    def _on_market(self, read: Read[Any]) -> None:
        match read.record:
            case Award() as award:
                self.settler.awarded(award, self._now_ms())
            case Delivery() as delivery:
                self.settler.delivered(delivery, self._now_ms())

    async def run(self) -> None:
        """Follow and settle, for ever. An error ends the process; its successor continues."""
        async with asyncio.TaskGroup() as group:
            await self._kafka.follower.follow_in(group, *self.known())
            await self._kafka.follower.follow_in(group, *self.feeds())
            beginning = group.create_task(self._begin())
            while True:
                ready = self.settler.ready(self._now_ms()) if beginning.done() else ()
                if beginning.done():
                    await self._publish_opt_outs()
                for job in ready:
                    await self._begin()
                    await self._settle(job)
                self.settler.forget(self._now_ms())
                await asyncio.sleep(CYCLE_S)

    async def _publish_opt_outs(self) -> None:
        """Publish what owners' decisions mean for payments.

        A process that is killed before it finds them again: preferences are kept.
        """
        found, self._opt_outs = self._opt_outs, []
        for one in found:
            await self._kafka.outlet.write(topics.OPT_OUTS, one)
            self._counters["opt_outs"] += 1

    async def _settle(self, job: Job) -> None:
        try:
            need, past = self.settler.need(job), NO_PAST
            if need is not None:
                past = await asyncio.to_thread(self._past.read, need)
                if self.settler.need(job) != need:
                    return  # it changed meanwhile, and is still due
            entries = self.settler.settle(job, past)
        except RefusedError as error:
            self.settler.refuse(job)
            self._counters["intervals_refused"] += 1
            log.error("an interval is not settled", what=tuple(job), reason=str(error))
            return
        if entries is None:
            return
        # Known before it is sent: whatever changes meanwhile is settled against it.
        sent = []
        for partition, part in by_partition(entries):
            self.settler.published(part, self._now_ms())
            sent.append(
                await self._kafka.outlet.send(topics.SETTLEMENT_ENTRIES, part, partition=partition)
            )
        await asyncio.gather(*sent)
        self._counters[_COUNTERS[type(job)]] += 1
