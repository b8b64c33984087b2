"""Role ``region``: the partitions' shares to regions now (live) and by window; who rules them.

Live state is in memory: it is whole again one tick after a restart. Windows are kept in a table
(`tables.regions`); a share is done once it and the window it moved are safe in Kafka.
"""

from collections.abc import Awaitable

import faust
import msgspec
import structlog

from agents.context import AgentContext
from agents.dispatcher import Dispatcher
from agents.expected import ExpectedSites
from agents.flow import InFlight, lag
from agents.in_order import InOrder
from schemas.dispatch import SupplyPartial
from schemas.windows import RegionPartial, RegionWindow, RegionWindowPartial
from tables.regions import RegionShares
from vpp_streams import topics
from vpp_streams.codecs import decode_json, encode_json
from vpp_streams.domain.region_pace import LiveRegion, WindowKey, WindowsDue
from vpp_streams.domain.regions import region_window

log = structlog.get_logger()

GRACE_MS = 30_000
"""A window that lacks a partition's share for so long is told without it."""
TIMER_S = 0.05
EXPIRE_EVERY_MS = 3_600_000
"""The table is looked through for old windows this often, in stream time."""

Partial = RegionPartial | RegionWindowPartial | SupplyPartial
Sent = list[Awaitable[object]]


def read_partial(value: bytes | None) -> Partial:
    """A record of ``region.partials``. Raises `ValueError` where it is none."""
    try:
        partial: Partial = decode_json(value or b"", Partial)  # type: ignore[arg-type]  # a union
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not 0 <= partial.partition < topics.PARTITIONS:
        raise ValueError(f"there is no partition {partial.partition}")
    if isinstance(partial, RegionWindowPartial) and partial.size_s <= 0:
        raise ValueError(f"a window of {partial.size_s} s")
    return partial


class Merger:
    """What one region worker holds, and what it publishes."""

    def __init__(self, app: faust.App, context: AgentContext, expected: ExpectedSites) -> None:
        self._app = app
        self._context = context
        self._counters = context.health.counters
        self._live_topic = context.topic(app, topics.REGION_LIVE)
        self._windows_topic = context.topic(app, topics.REGION_WINDOWS)
        self._shares = RegionShares(app)
        self._shares.table.on_recover(self._on_recover)
        self._stale_after_ms = int(context.settings.silent_after_s * 1000)
        self._expected = expected
        self.release()

    def release(self) -> None:
        """Forget what is in memory: the partition goes to another worker, or is recovered."""
        self.mine = False
        """Whether the shares are ours to merge; if not, another worker does."""
        self._live: dict[str, LiveRegion] = {}
        self._due = WindowsDue(GRACE_MS)
        self._newest_ms = 0
        self._expired_ms = 0
        self._resume = False

    async def apply(self, partial: RegionPartial | RegionWindowPartial) -> Sent:
        """Take a share in and publish what it completes; the futures are done when it is safe."""
        self._counters["partials_in"] += 1
        if isinstance(partial, RegionWindowPartial):
            return await self._apply_window(partial)
        now_ms = self._context.now_ms()
        live = self._live.setdefault(partial.region, LiveRegion(partial.region))
        live.apply(partial, now_ms)
        await self._tell_if_due(live, now_ms)
        return []  # a tick that is lost in a crash is replaced by the next

    async def tell_due(self) -> None:
        """Publish what need not wait any longer for shares."""
        if not self.mine:
            return
        now_ms = self._context.now_ms()
        if self._resume:
            self._resume_windows(now_ms)
        for live in list(self._live.values()):
            await self._tell_if_due(live, now_ms)
        for window in self._due.overdue(now_ms):
            await self._tell_window(window, self._shares.of(window))

    async def _tell_if_due(self, live: LiveRegion, now_ms: int) -> None:
        expected = self._expected.of(live.region, now_ms)
        if live.due(expected, now_ms):
            record = live.tell(expected, now_ms, self._stale_after_ms)
            await self._live_topic.send(
                key=live.region.encode(), value=encode_json(record), partition=0
            )
            self._counters["live_out"] += 1

    async def _apply_window(self, share: RegionWindowPartial) -> Sent:
        window = WindowKey(share.region, share.size_s, share.start_ms)
        shares = self._shares.of(window)
        known = shares.get(share.partition)
        if known is not None and known.revision > share.revision:
            return []  # read again after a crash
        shares[share.partition] = share
        sent = [await self._shares.put(share)]
        now_ms = self._context.now_ms()
        whole = self._expected.of(share.region, now_ms).keys() <= shares.keys()
        if self._due.share(window, whole, now_ms):
            sent.append(await self._tell_window(window, shares))
        return sent + await self._expire(share.start_ms + share.size_s * 1000)

    async def _tell_window(
        self, window: WindowKey, shares: dict[int, RegionWindowPartial]
    ) -> Awaitable[object]:
        expected = self._expected.of(window.region, self._context.now_ms())
        record: RegionWindow = region_window(window.region, shares, expected)
        self._counters["windows_out"] += 1
        sent: Awaitable[object] = await self._windows_topic.send(
            key=window.region.encode(), value=encode_json(record), partition=0
        )
        return sent

    async def _expire(self, end_ms: int) -> Sent:
        self._newest_ms = max(self._newest_ms, end_ms)
        if self._newest_ms - self._expired_ms < EXPIRE_EVERY_MS:
            return []
        self._expired_ms = self._newest_ms
        gone, sent = await self._shares.expire(self._newest_ms)
        self._due.forget(gone)
        return sent

    async def _on_recover(self) -> None:
        self.release()
        self.mine = self._resume = self._shares.mine(self._app)

    def _resume_windows(self, now_ms: int) -> None:
        """Windows that were waiting for shares when the worker before us ended wait again."""
        self._resume = False
        for window in self._shares.windows():
            expected = self._expected.of(window.region, now_ms)
            if not expected.keys() <= self._shares.of(window).keys():
                self._due.share(window, False, now_ms)


def register(app: faust.App, context: AgentContext) -> None:
    """Add the region agent, its table and its timer to an app."""
    source = context.topic(app, topics.REGION_PARTIALS)
    expected = ExpectedSites(context)
    merger = Merger(app, context, expected)
    dispatcher = Dispatcher(app, context, expected, lambda: merger.mine)
    in_order = InOrder(
        app, context.settings, lambda: merger.mine and context.registry_ready.is_set()
    )
    in_flight = InFlight(in_order)

    async def apply(event: faust.EventT) -> Sent:
        try:
            partial = read_partial(event.message.value)
        except ValueError as error:
            context.health.counters["bad_records"] += 1
            log.warning(
                "region.partials: a record that cannot be read was left out",
                offset=event.message.offset,
                error=str(error),
            )
            return []
        if isinstance(partial, SupplyPartial):
            dispatcher.heard(partial)
            return []  # half a second later there is a newer one
        return await merger.apply(partial)

    @app.agent(source)
    async def region(stream: faust.StreamT) -> None:
        await context.registry_ready.wait()
        async for event in stream.noack().events():
            # What was queued before a rebalance is its new owner's to read.
            if merger.mine and await in_order.admit(event):
                await in_flight.add(event, await apply(event))

    @app.timer(TIMER_S)
    async def tell() -> None:
        if context.registry_ready.is_set():
            await merger.tell_due()
        await in_flight.settle()

    @app.task
    async def follow_requests() -> None:
        await dispatcher.follow()

    @app.task
    async def rule() -> None:
        # An error ends the worker; its successor goes on from what was decided.
        await dispatcher.rule_for_ever()

    async def forget(*_args: object, **_kwargs: object) -> None:
        merger.release()

    app.on_partitions_revoked.connect(forget, weak=False)
    name = topics.REGION_PARTIALS.full(context.settings.namespace)
    context.health.gauges["lag"] = lambda: lag(app, name)
