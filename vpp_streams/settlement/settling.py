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
from schemas.programs import Program
from vpp_streams.domain.ledger.periods import check_is_over
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.settle.corrections import by_partition
from vpp_streams.domain.settle.settler import KEEP_MS, Settler, unpaid_terms
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, assets_into
from vpp_streams.process.connection import Connection
from vpp_streams.process.duty import Begin, at_once
from vpp_streams.process.health import HealthReporter

log = structlog.get_logger()

CYCLE_S = 1.0


class Settling:
    """Publishes the entries of intervals, for ever."""

    def __init__(
        self,
        kafka: Connection,
        health: HealthReporter,
        zone: ZoneInfo,
        now_ms: Callable[[], int],
        begin: Begin = at_once,
    ) -> None:
        self._kafka = kafka
        self._counters = health.counters
        self._now_ms = now_ms
        self._begin = begin
        """Returns while this instance is on duty; awaited again before each interval."""
        self._registry = Registry()
        self.settler = Settler(self._registry, zone)
        health.gauges["intervals_due"] = lambda: self.settler.due

    def feeds(self) -> Iterator[Feed[Any]]:
        """What intervals are settled from."""
        since_ms = max(self._now_ms() - KEEP_MS - HOUR_MS, 1)
        settler, now_ms = self.settler, self._now_ms
        yield assets_into(self._registry)
        yield Feed(topics.PROGRAMS, self._on_program)
        yield Feed(topics.ENROLMENTS, lambda read: settler.agree(read.record))
        yield Feed(topics.LEDGER_DECISIONS, self._on_decision)
        yield Feed(
            topics.SETTLEMENT_ENTRIES,
            lambda read: settler.published(read.record),
            since_ms=since_ms,
        )
        yield Feed(
            topics.SITE_WINDOWS,
            lambda read: settler.measured(read.record, now_ms()),
            since_ms=since_ms,
        )
        yield Feed(
            topics.DISPATCH_EVENTS, lambda read: settler.dispatched(read.record), since_ms=since_ms
        )
        for outcomes in (topics.MARKET_AWARDS, topics.MARKET_DELIVERIES):
            yield Feed(outcomes, self._on_market, since_ms=since_ms)

    def _on_program(self, read: Read[Program]) -> None:
        program = read.record
        self.settler.agree(program)
        if unpaid := unpaid_terms(program):
            self._counters["programs_with_unpaid_terms"] += 1
            log.warning(
                "a program promises what is not paid yet",
                program=program.program_id,
                version=program.version,
                unpaid=unpaid,
            )

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
            await self._kafka.follower.follow_in(group, *self.feeds())
            beginning = group.create_task(self._begin())
            while True:
                ready = self.settler.ready(self._now_ms()) if beginning.done() else ()
                for bid_id in ready:
                    await self._begin()
                    await self._settle(bid_id)
                self.settler.forget(self._now_ms())
                await asyncio.sleep(CYCLE_S)

    async def _settle(self, bid_id: str) -> None:
        try:
            entries = self.settler.settle(bid_id)
        except RefusedError as error:
            self._counters["intervals_refused"] += 1
            log.error("an interval is not settled", bid=bid_id, reason=str(error))
            return
        if entries is None:
            return
        # Known before it is sent: whatever changes meanwhile is settled against it.
        sent = []
        for partition, part in by_partition(entries):
            self.settler.published(part)
            sent.append(
                await self._kafka.outlet.send(topics.SETTLEMENT_ENTRIES, part, partition=partition)
            )
        await asyncio.gather(*sent)
        self._counters["intervals_settled"] += 1
