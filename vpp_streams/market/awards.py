"""The optimizer's deliveries: awards become targets, and are compared with measurements.

A target has its bid's id and the award's time: written again after a crash it is the same record,
and the region accepts it once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from schemas.dispatch import DispatchEvent, DispatchStatus, Notice, Request, Target
from schemas.market import Award, Delivery, Shortfall
from schemas.windows import RegionWindow
from vpp_streams.domain.market.delivery import PATIENCE_MS, is_whole, measured, shortfall, window_s
from vpp_streams.domain.market.knowledge import Record
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.market.overrides import Overrides
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.health import HealthReporter

Send = Callable[[Topic[Any], msgspec.Struct], Awaitable[object]]
"""Writes a record to its topic and returns when Kafka has stored it (`Outlet.write`)."""

CYCLE_S = 0.5
AHEAD_MS = 1_000
"""Lead of a target over its interval. A region needs a dispatch cycle, the way to the devices and
their ramps; it is then half-way when the interval begins, and the energy missing before that moment
is made up for after it."""
OVERLAP_MS = 2_000
"""Overlap of a target with the next, which is newer and outranks it. Leases end with their target:
without an overlap devices would be uncontrolled for half a second."""
NEAR_MS = 900_000
"""Awards are compared with what a region can deliver from this long before they begin on."""
LATE_MS = HOUR_MS
"""Time after its end until which an award is still measured."""


class OpenAwards:
    """Open awards, until they are measured, and what regions report about them."""

    def __init__(
        self,
        health: HealthReporter,
        send: Send,
        now_ms: Callable[[], int],
    ) -> None:
        self._counters = health.counters
        self._send = send
        self._now_ms = now_ms
        self._awards: dict[str, Award] = {}
        self._ids: dict[str, int] = {}
        """Awards, open or not, with their ends in ms."""
        self._overrides = Overrides()
        self._targeted: dict[str, int] = {}
        """Ids of targets that are written, by us or before us, with their ends in ms."""
        self._measured: set[str] = set()
        """Ids of awards that have a `Delivery`."""
        self._reported: dict[str, Shortfall] = {}
        self._status: dict[str, DispatchStatus] = {}
        self._notices: dict[str, Notice] = {}
        self._windows: dict[tuple[str, int], dict[int, RegionWindow]] = defaultdict(dict)
        """(region, size in s) -> windows by their start."""
        self.read_back = asyncio.Event()
        """Set once `windows` and `rulings` have been read to their present end."""
        self._wake = asyncio.Event()

    def apply(self, record: Record) -> None:
        """Apply a record of one of the optimizer's input topics."""
        match record:
            case Award() if ends_ms(record) > self._now_ms() - LATE_MS:
                self._ids[record.bid_id] = ends_ms(record)
                if record.bid_id not in self._measured:
                    self._awards.setdefault(record.bid_id, record)
                self._wake.set()
            case Delivery():
                self._measured.add(record.bid_id)
                self._awards.pop(record.bid_id, None)
            case Shortfall():  # its award, of another topic, may still be unread
                self._reported[record.bid_id] = record
            case DispatchStatus():
                self._status[record.region] = record
            case Notice():
                self._notices[record.region] = record

    def windows(self) -> Feed[RegionWindow]:
        """The feed of what regions measured."""
        since_ms = self._now_ms() - LATE_MS
        return Feed(topics.REGION_WINDOWS, self._on_window, since_ms=since_ms)

    def rulings(self) -> Feed[DispatchEvent]:
        """The feed of which requests applied, from before the oldest open award on.

        It is apart from what decisions read: no bid waits for hours of it after a restart.
        """
        since_ms = self._now_ms() - 2 * LATE_MS
        return Feed(
            topics.DISPATCH_EVENTS,
            lambda read: self._overrides.apply(read.record),
            since_ms=since_ms,
        )

    def targets(self) -> Feed[Request]:
        """The feed of the targets that are written; none is written twice."""
        since_ms = self._now_ms() - 2 * LATE_MS
        return Feed(topics.DISPATCH_TARGETS, self._on_request, since_ms=since_ms)

    def _on_request(self, read: Read[Request]) -> None:
        if isinstance(read.record, Target) and read.record.priority == "market":
            self._targeted[read.record.request_id] = read.record.ends_at_ms

    def _on_window(self, read: Read[RegionWindow]) -> None:
        window = read.record
        self._windows[window.region, window.size_s][window.start_ms] = window

    async def keep_for_ever(self) -> None:
        """Check every award each half second, and at once when one arrives."""
        while True:
            self._wake.clear()
            now_ms = self._now_ms()
            for award in list(self._awards.values()):
                await self._keep(award, now_ms)
            self.forget(now_ms)
            with suppress(TimeoutError):
                async with asyncio.timeout(CYCLE_S):
                    await self._wake.wait()

    async def _keep(self, award: Award, now_ms: int) -> None:
        if ends_ms(award) > now_ms:
            await self._target(award)
            await self._warn(award, now_ms)
            return
        if not self.read_back.is_set():
            return
        windows = self._windows[award.region, window_s(award.interval_ms)]
        if is_whole(award, windows) or now_ms >= ends_ms(award) + PATIENCE_MS:
            self._awards.pop(award.bid_id, None)
            self._measured.add(award.bid_id)
            self._counters["deliveries"] += 1
            overrides = self._overrides.of(award, self._ids)
            await self._send(topics.MARKET_DELIVERIES, measured(award, windows, overrides))

    async def _target(self, award: Award) -> None:
        """Write the award as the region's target, also one of 0 W.

        Uncontrolled batteries would feed in by chance, which the market has not bought.
        """
        if award.bid_id in self._targeted:
            return
        self._counters["awards"] += 1
        target = Target(
            request_id=award.bid_id,
            region=award.region,
            export_w=award.energy_w,
            starts_at_ms=award.start_ms - AHEAD_MS,
            ends_at_ms=ends_ms(award) - AHEAD_MS + OVERLAP_MS,
            priority="market",
            source=f"market:{award.market}",
            issued_at_ms=award.cleared_at_ms,
            best_effort=True,  # part of an award is better than none
            metered_at=award.metered_at,
        )
        self._targeted[award.bid_id] = target.ends_at_ms
        await self._send(topics.DISPATCH_TARGETS, target)

    async def _warn(self, award: Award, now_ms: int) -> None:
        """Report power that will be missing, and when it no longer will be.

        Of an award for later today the batteries' energy now says nothing.
        """
        if award.start_ms > now_ms + max(award.interval_ms, NEAR_MS):
            return
        reported = self._reported.get(award.bid_id)
        status, notice = self._status.get(award.region), self._notices.get(award.region)
        by = self._overrides.now(award, self._ids, now_ms)
        found = shortfall(award, status, notice, reported, now_ms, overridden_by=by)
        if found is not None:
            self._reported[award.bid_id] = found
            count = "awards_overridden" if found.overridden_by else "shortfalls"
            self._counters[count] += found.missing_w != 0.0
            await self._send(topics.MARKET_DELIVERIES, found)

    def forget(self, now_ms: int) -> None:
        """Forget what is over for long."""
        self._reported = {id_: last for id_, last in self._reported.items() if id_ in self._awards}
        self._targeted = {
            id_: end for id_, end in self._targeted.items() if end > now_ms - 2 * LATE_MS
        }
        self._ids = {id_: end for id_, end in self._ids.items() if end > now_ms - 2 * LATE_MS}
        self._overrides.forget(now_ms - 2 * LATE_MS)
        for mine in self._windows.values():
            for start_ms in [start for start in mine if start < now_ms - 2 * LATE_MS]:
                del mine[start_ms]
