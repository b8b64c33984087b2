"""Dispatch in the region role: requests become orders to the fleet partitions.

Every region worker follows the requests, so that any can take over at once; the one on duty
dispatches. Its decisions on requests are in the role's state, so that its
successor neither decides again nor publishes twice.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

from agents.context import AgentContext
from agents.expected import ExpectedSites
from schemas.dispatch import (
    Dispatch,
    DispatchStatus,
    Limit,
    Notice,
    Request,
    RequestEvent,
    SupplyPartial,
    Target,
)
from schemas.grid import PriceSeries
from tables.partitions import Partitions, Slot
from vpp_streams.domain.control.region_dispatch import SUPPLY_VALID_MS, RegionDispatch
from vpp_streams.domain.control.requests import Book
from vpp_streams.domain.control.schedules import Entry, due, load
from vpp_streams.domain.fleet.region_state import RegionState
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.errors import SettingsError
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.decode import Read, Removed
from vpp_streams.kafka.follower import Feed

CYCLE_S = 0.5
AHEAD_MS = HOUR_MS
"""Requests of schedules are published this long before their windows begin."""
FORGET_AFTER_MS = HOUR_MS
"""A request is forgotten this long after it is over."""


class Dispatcher:
    """The requests and supplies of all regions, and the orders that follow from them."""

    def __init__(
        self,
        context: AgentContext,
        expected: ExpectedSites,
        partitions: Partitions[RegionState],
    ) -> None:
        self._context = context
        self._expected = expected
        self._partitions = partitions
        self._requests: dict[str, Request] = {}
        """Every request that the topic holds, in order of arrival."""
        self._inbox: list[Request] = []
        self._traces: dict[str, bytes] = {}
        """Of requests that are traced and led to no order yet."""
        self._caught_up = asyncio.Event()
        self._wake = asyncio.Event()
        self._decided = asyncio.Event()
        """Set where the state may hold decisions that are not saved."""
        self._regions: dict[str, RegionDispatch] = {}
        self._book: Book | None = None
        """None while another worker dispatches."""
        self._since_ms = 0
        """When this worker began to dispatch."""
        self._schedules = _schedules(context.settings.schedules)
        self._scheduled_ms = 0
        """Requests of windows that begin before this were published."""

    async def follow(self) -> None:
        """Keep the requests and the prices current, for ever."""
        follower = self._context.follower
        requests = Feed(topics.DISPATCH_TARGETS, self._on_request, self._on_removed)
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.follow(requests, caught_up=self._caught_up))
            group.create_task(follower.follow(Feed(topics.MARKET_PRICES, self._on_prices)))

    def _on_prices(self, read: Read[PriceSeries]) -> None:
        self._region(read.record.region).prices = read.record

    def _on_removed(self, removed: Removed) -> None:
        self._requests.pop(removed.key, None)
        self._traces.pop(removed.key, None)

    def _on_request(self, read: Read[Request]) -> None:
        request = read.record
        # The first of an id stands: a later one of other content is left out.
        self._requests.setdefault(request.request_id, request)
        with tracing.handling("region: receive a request", read.headers):
            if (trace := tracing.here()) is not None:
                self._traces[request.request_id] = trace
        self._inbox.append(request)
        self._wake.set()

    def apply_supply(self, partial: SupplyPartial) -> None:
        """Note the newest supply of a fleet partition."""
        self._region(partial.region).apply_supply(partial)

    def _region(self, region: str) -> RegionDispatch:
        lease_ms = int(self._context.settings.lease_s * 1000)
        return self._regions.setdefault(region, RegionDispatch(region, lease_ms))

    async def rule_for_ever(self) -> None:
        """Run a cycle each half second, and at once when a request arrives."""
        await self._context.registry_ready.wait()
        await self._caught_up.wait()
        while True:
            self._wake.clear()  # before the cycle: a request during it wakes the next
            slot = self._partitions.slot(0)
            if slot is None:
                self._book, self._inbox = None, []  # a takeover begins with all requests
            else:
                await self._cycle(slot)
            with suppress(TimeoutError):
                async with asyncio.timeout(CYCLE_S):
                    await self._wake.wait()

    async def save_for_ever(self) -> None:
        """Save decisions as soon as they are made, beside the cycles.

        A snapshot waits for Kafka several times. Power that is requested meanwhile does not wait
        with it: a decision that was not saved, a successor makes again, of the same requests in
        the same order.
        """
        while True:
            await self._decided.wait()
            self._decided.clear()
            await self._partitions.flush()

    async def _cycle(self, slot: Slot[RegionState]) -> None:
        now_ms = self._context.now_ms()
        if self._book is None:
            self._book, self._since_ms = Book(), now_ms
            self._inbox = list(self._requests.values())
        await self._ask_by_the_clock(now_ms)
        await self._take_in(slot, self._book, now_ms)
        for event in self._book.advance(now_ms):
            await self._publish_decision(slot, event)
        for region in sorted(self._expected.regions(now_ms) | self._regions.keys()):
            ruling = self._book.ruling(region, now_ms)
            expected = self._expected.of(region, now_ms)
            cycle = self._region(region).cycle(ruling, expected.keys(), now_ms)
            for order in cycle.orders:
                with tracing.following("region: order", self._traces.get(order.request_id)):
                    await self._send_order(order)
            if cycle.orders:  # the first orders of a request, and not those that repeat them
                self._traces.pop(cycle.orders[0].request_id, None)
            for record in (cycle.notice, cycle.status):
                if record is not None:
                    await self._send_event(record)
            if cycle.status is not None:
                self._context.figures.status(cycle.status)
        await self._forget(slot, self._book, now_ms)

    async def _ask_by_the_clock(self, now_ms: int) -> None:
        """Write the schedules' requests; one that was written before is the same record."""
        until_ms = now_ms + AHEAD_MS
        since_ms = self._scheduled_ms or now_ms - DAY_MS
        if until_ms - self._scheduled_ms < 60_000:
            return
        for request in due(self._schedules, since_ms, until_ms):
            if request.request_id not in self._requests and not _over(request, now_ms):
                await self._context.outlet.send(topics.DISPATCH_TARGETS, request)
        self._scheduled_ms = until_ms

    async def _take_in(self, slot: Slot[RegionState], book: Book, now_ms: int) -> None:
        if not self._inbox:
            return
        known = slot.state.decisions
        inbox, self._inbox = self._inbox, []
        capability = {
            name: held
            for name, region in self._regions.items()
            if (held := region.capability(now_ms)) is not None
        }
        feeders = self._expected.feeders(now_ms)
        for request in inbox:
            state = known.get(request.request_id)
            if state is not None:
                book.restore(request, state)
                continue
            just_began = now_ms - self._since_ms < SUPPLY_VALID_MS
            if just_began and isinstance(request, Target) and request.region not in capability:
                self._inbox.append(request)  # a successor receives the supplies in a moment
                continue
            for event in book.apply(request, now_ms, feeders, capability):
                await self._publish_decision(slot, event)

    async def _publish_decision(self, slot: Slot[RegionState], event: RequestEvent) -> None:
        self._context.health.counters[f"requests_{event.state}"] += 1
        async with slot.changing:
            slot.state.decide(event.request_id, event.state)
            slot.outputs.append(await self._send_event(event))
        self._decided.set()

    async def _send_event(self, event: RequestEvent | Notice | DispatchStatus) -> Awaitable[object]:
        sent: Awaitable[object] = await self._context.outlet.send(topics.DISPATCH_EVENTS, event)
        return sent

    async def _send_order(self, order: Dispatch) -> None:
        self._context.health.counters["orders"] += 1
        await self._context.outlet.send(topics.DISPATCH, order)

    async def _forget(self, slot: Slot[RegionState], book: Book, now_ms: int) -> None:
        for request_id in book.forget(now_ms - FORGET_AFTER_MS):
            await self._context.outlet.remove(topics.DISPATCH_TARGETS, request_id)
            slot.state.decide(request_id, None)
            self._decided.set()


def _schedules(path: Path | None) -> list[Entry]:
    """Raises `SettingsError` where the file cannot be used."""
    if path is None:
        return []
    try:
        return load(path.read_text())
    except OSError as error:
        raise SettingsError(f"VPP_SCHEDULES={path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"VPP_SCHEDULES={path}: {error}") from None


def _over(request: Request, now_ms: int) -> bool:
    return isinstance(request, Target | Limit) and request.ends_at_ms <= now_ms
