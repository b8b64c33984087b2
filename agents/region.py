"""Role ``region``: merges the partitions' shares, live and by window, and dispatches.

One instance works, and others stand by (`vpp_streams.process.duty`): it is no Faust worker, because
a group would wait for the session of a killed one to end.

Live state is in memory: it is complete again one tick after a restart. Windows and decisions
are kept (`RegionState`); a share is done once it and the window it changed are safe in Kafka.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from agents.context import AgentContext
from agents.dispatcher import Dispatcher
from agents.expected import ExpectedSites
from agents.stateful_role import RoleLogs, StatefulRole
from schemas.dispatch import SupplyPartial
from schemas.windows import RegionPartial, RegionWindow, RegionWindowPartial
from tables.group import Group, Share
from tables.log_reader import Deliver, Records
from tables.partitions import Slot
from vpp_streams.domain.fleet.region_pace import LiveRegion, WindowKey, WindowsDue
from vpp_streams.domain.fleet.region_state import RegionState
from vpp_streams.domain.fleet.regions import region_window
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.decode import Read, Refusal, receive
from vpp_streams.process.duty import Duty

GRACE_MS = 30_000
"""A window that misses a partition's share for this long is published without it."""
TIMER_S = 0.05
SNAPSHOT_S = 0.5
EXPIRE_EVERY_MS = HOUR_MS
"""Old windows are removed this often, in stream time."""

Sent = list[Awaitable[object]]


class Merger:
    """Merges the shares that one region worker receives, and publishes the sums."""

    def __init__(self, context: AgentContext, expected: ExpectedSites, state: RegionState) -> None:
        self._context = context
        self._counters = context.health.counters
        self._expected = expected
        self.state = state
        self._stale_after_ms = int(context.settings.silent_after_s * 1000)
        self._live: dict[str, LiveRegion] = {}
        self._due = WindowsDue(GRACE_MS)
        self._newest_ms = 0
        self._expired_ms = 0
        self._resumed = False

    async def apply(self, partial: RegionPartial | RegionWindowPartial) -> Sent:
        """Apply a share and publish what it completes; the futures are done when that is safe."""
        self._counters["partials_in"] += 1
        if isinstance(partial, RegionWindowPartial):
            return await self._apply_window(partial)
        now_ms = self._context.now_ms()
        live = self._live.setdefault(partial.region, LiveRegion(partial.region))
        live.apply(partial, now_ms)
        await self._publish_if_due(live, now_ms)
        return []  # a tick that is lost in a crash is replaced by the next

    async def publish_due(self) -> None:
        """Publish what has waited long enough for shares."""
        now_ms = self._context.now_ms()
        if not self._resumed:
            self._resume_windows(now_ms)
        for live in list(self._live.values()):
            await self._publish_if_due(live, now_ms)
        for window in self._due.overdue(now_ms):
            await self._publish_window(window)

    async def _publish_if_due(self, live: LiveRegion, now_ms: int) -> None:
        expected = self._expected.of(live.region, now_ms)
        if live.due(expected, now_ms):
            record = live.merge(expected, now_ms, self._stale_after_ms)
            await self._context.outlet.send(topics.REGION_LIVE, record)
            self._context.figures.live(record)
            self._counters["live_out"] += 1

    async def _apply_window(self, share: RegionWindowPartial) -> Sent:
        if not self.state.put(share):
            return []  # it was applied before a crash
        window = WindowKey(share.region, share.size_s, share.start_ms)
        now_ms = self._context.now_ms()
        expected = self._expected.of(share.region, now_ms)
        whole = expected.keys() <= self.state.of(window).keys()
        self._expire(share.start_ms + share.size_s * 1000)
        if self._due.share(window, whole, now_ms):
            return [await self._publish_window(window)]
        return []

    async def _publish_window(self, window: WindowKey) -> Awaitable[object]:
        expected = self._expected.of(window.region, self._context.now_ms())
        record: RegionWindow = region_window(window.region, self.state.of(window), expected)
        self._counters["windows_out"] += 1
        sent: Awaitable[object] = await self._context.outlet.send(topics.REGION_WINDOWS, record)
        return sent

    def _expire(self, end_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, end_ms)
        if self._newest_ms - self._expired_ms >= EXPIRE_EVERY_MS:
            self._expired_ms = self._newest_ms
            self._due.forget(self.state.expire(self._newest_ms))

    def _resume_windows(self, now_ms: int) -> None:
        """Let windows that waited for shares when the previous worker ended wait again."""
        self._resumed = True
        for window in self.state.windows():
            expected = self._expected.of(window.region, now_ms)
            if not expected.keys() <= self.state.of(window).keys():
                self._due.share(window, False, now_ms)


class RegionWorker:
    """All regions, on the one worker that has them."""

    def __init__(self, context: AgentContext, group: Group) -> None:
        self._context = context
        self._expected = ExpectedSites(context)
        logs = RoleLogs(
            role="region",
            source=topics.REGION_PARTIALS,
            changelog=topics.STATE_REGION,
            snapshot_s=SNAPSHOT_S,
        )
        self._role = StatefulRole(context, group, logs, lambda _: RegionState())
        self.partitions = self._role.partitions
        self.partitions.on_change = self._on_change
        self._merger: Merger | None = None
        """None while another worker has the regions."""
        self._dispatcher = Dispatcher(context, self._expected, self.partitions)

    def _on_change(self, states: dict[int, RegionState]) -> None:
        """Begin live state again where this worker gets the regions; the rest is in the state."""
        state = states.get(0)
        if state is None:
            self._merger = None
        elif self._merger is None or self._merger.state is not state:
            self._merger = Merger(self._context, self._expected, state)

    async def run(self, deliver: Deliver) -> None:
        """Hold the regions while the group assigns them to this worker, for ever.

        Raises what makes it impossible to go on.
        """
        dispatcher = self._dispatcher
        await self._role.run(
            deliver,
            self._publish_for_ever,
            dispatcher.follow,
            dispatcher.rule_for_ever,
            dispatcher.save_for_ever,
        )

    async def _publish_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TIMER_S)
            if self._merger is not None:
                await self._merger.publish_due()

    async def apply(self, records: Records) -> None:
        """Apply consecutive records of ``region.partials``, each once."""
        await self._role.apply(records, self._apply_once)

    async def _apply_once(self, slot: Slot[RegionState], record: ConsumerRecord) -> None:
        if record.offset <= slot.state.applied_offset:
            return
        async with slot.changing:
            with tracing.handling("region: receive a share", record.headers):
                slot.outputs += await self._receive(record)
            slot.state.applied_offset = record.offset
            slot.applied(record)

    async def _receive(self, record: ConsumerRecord) -> Sent:
        match receive(topics.REGION_PARTIALS, record):
            case Refusal() as refusal:
                self._context.letters.refuse(topics.REGION_PARTIALS, record, refusal)
            case Read(record=SupplyPartial() as supply):
                self._dispatcher.apply_supply(supply)  # half a second later there is a newer one
            case Read(record=RegionPartial() | RegionWindowPartial() as partial):
                assert self._merger is not None, "the slot is ours"
                return await self._merger.apply(partial)
        return []


class DutyGroup:
    """The regions are those of the one instance on duty: a `Group` without a consumer group."""

    def __init__(self, context: AgentContext, duty: Duty) -> None:
        self._context = context
        self._duty = duty
        self.share: Share | None = None

    async def shares(self) -> AsyncIterator[Share]:
        """The one share, once this instance is on duty: it keeps it until it ends."""
        await self._context.registry_ready.wait()
        await self._duty.begin()
        self.share = Share(generation=1, partitions=frozenset({0}))
        yield self.share
        await asyncio.Event().wait()

    async def commit(self, _offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        """Confirm the duty; where reading continues is in the state. Raises `LostDutyError`."""
        await self._duty.confirm()
        return True
