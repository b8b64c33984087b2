"""Control in the fleet role: a region's orders become leases of its devices.

Orders (topic ``dispatch``) are read with the topics from which the devices' leases are folded
(`agents.control_feed`); storms are a fold of another topic. What the partition can give is
published twice a second. There are no snapshots: leases end by themselves, and a worker that
takes over reads the commands of its predecessor.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import ConsumerRecord

from agents.context import AgentContext
from agents.control_feed import ControlFeed
from agents.pace import Pace
from schemas.commands import CommandEvent, CommandEvents, CommandFrame
from schemas.dispatch import Dispatch, SupplyPartial
from schemas.grid import Alert
from schemas.presence import Presence
from vpp_streams.domain.control.command_rows import CommandRows
from vpp_streams.domain.control.lease import LeasePolicy
from vpp_streams.domain.control.orders import Orders
from vpp_streams.domain.control.pool import Pool
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic

log = structlog.get_logger()

CYCLE_S = 0.5
SHARE = 0.3
"""Most of the loop's time that cycles may take, as a share."""
LONGEST_REST_S = 4 * CYCLE_S
"""Longest rest between cycles: devices are commanded again soon after any trouble."""
ORDERED_MS = 5_000
"""Orders are repeated twice a second: after this long without one, a partition is at rest."""
REST_MS = 900
"""A partition at rest has a cycle in about a second. Its devices report no more often than that,
and a region uses supplies of up to three seconds."""


class Control:
    """The commands, the pool and the orders of one partition."""

    def __init__(self, fleet: FleetPartition, policy: LeasePolicy) -> None:
        self.fleet = fleet
        self.rows = CommandRows(fleet.partition, fleet.twins, policy)
        self.pool = Pool(fleet, self.rows)
        self.orders = Orders(self.pool)
        self.ready = False
        """Whether the earlier commands are known; until then no device is commanded."""
        self.cycled_ms = 0
        """When its last cycle was."""

    def rests(self, now_ms: int) -> bool:
        """Whether nothing was ordered of late, and its last cycle is good enough."""
        ordered_ms = max(self.orders.applied_ms.values(), default=0)
        at_rest = now_ms - ordered_ms > ORDERED_MS
        return at_rest and 0 <= now_ms - self.cycled_ms < REST_MS


class CommandAgent:
    """The partitions that this worker commands, and what it publishes."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        settings = context.settings
        self._policy = LeasePolicy(
            lease_ms=int(settings.lease_s * 1000),
            renew_ms=int(settings.lease_s * 500),
            silent_after_ms=int(settings.silent_after_s * 1000),
        )
        self._controls: dict[int, Control] = {}
        self._alerts: dict[str, Alert] = {}
        self._alerts_known = asyncio.Event()
        self._feed = ControlFeed(context.clients, self._on_record, self._on_ready)
        self._feeds: dict[Topic[Any], Feed[Any]] = {
            feed.topic: feed
            for feed in (
                Feed(topics.PRESENCE, self._on_presence),
                Feed(topics.DISPATCH, self._on_order),
                Feed(topics.COMMANDS, self._on_frame),
                Feed(topics.COMMAND_EVENTS, self._on_events),
            )
        }
        self._orders: asyncio.Queue[tuple[int, Dispatch]] = asyncio.Queue()
        self._traces: dict[str, bytes] = {}
        """By request: the order that is traced and waits in the queue."""
        self._pace = Pace(SHARE, LONGEST_REST_S, CYCLE_S)

    def control(self, partition: int) -> Control | None:
        """A partition's control, or None where another worker has it or it is incomplete."""
        control = self._controls.get(partition)
        return control if control is not None and control.ready else None

    def hold(self, partitions: dict[int, FleetPartition]) -> None:
        """Command these partitions from now on, and no others."""
        if partitions == {p: control.fleet for p, control in self._controls.items()}:
            return
        self._controls = {p: Control(fleet, self._policy) for p, fleet in partitions.items()}
        self._feed.follow(frozenset(partitions))

    async def run(self) -> None:
        """Follow, obey and cycle, for ever; cancel to stop."""
        async with asyncio.TaskGroup() as group:
            for work in (self.follow(), self.carry_out_orders(), self.cycle_for_ever()):
                group.create_task(work)

    async def follow(self) -> None:
        """Keep what is known of devices and storms current, for ever."""
        alerts = Feed(topics.GRID_ALERTS, self._on_alert)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._context.follower.follow(alerts, caught_up=self._alerts_known))

    def _on_ready(self, partition: int) -> None:
        if partition in self._controls:
            self._controls[partition].ready = True

    async def _on_record(self, topic: Topic[Any], record: ConsumerRecord) -> None:
        if record.partition in self._controls:
            await self._context.follower.take(self._feeds[topic], record)

    def _on_presence(self, read: Read[Presence]) -> None:
        self._controls[read.partition].rows.presence(read.record, read.offset)

    def _on_order(self, read: Read[Dispatch]) -> None:
        with tracing.handling("fleet: receive an order", read.headers):
            if (trace := tracing.here()) is not None:
                self._traces[read.record.request_id] = trace
        self._orders.put_nowait((read.partition, read.record))

    def _on_frame(self, read: Read[CommandFrame]) -> None:
        self._controls[read.partition].rows.apply_frame(read.record)

    def _on_events(self, read: Read[CommandEvents]) -> None:
        for event in read.record.events:
            self._controls[read.partition].rows.apply_event(event)

    def _on_alert(self, read: Read[Alert]) -> None:
        self._alerts[read.record.alert_id] = read.record

    async def carry_out_orders(self) -> None:
        """Carry out orders as they arrive, for ever."""
        while True:
            waiting: dict[int, list[Dispatch]] = {}
            partition, order = await self._orders.get()
            waiting[partition] = [order]
            while not self._orders.empty():
                partition, order = self._orders.get_nowait()
                waiting.setdefault(partition, []).append(order)
            # Sent together, as Kafka and its clients cost by the request; where a partition's
            # frames fill one, Kafka takes them in while those of the next are made.
            await self._send_frames(f for p in waiting for f in self._frames_of(p, waiting[p]))
            for order in (order for orders in waiting.values() for order in orders):
                self._traces.pop(order.request_id, None)

    def _frames_of(self, partition: int, orders: Iterable[Dispatch]) -> list[CommandFrame]:
        """The commands that these orders of one partition call for."""
        control = self.control(partition)
        if control is None:
            return []  # the next order follows soon
        # One view serves orders of different regions, as they share no device.
        newest = {order.region: order for order in orders}
        for order in newest.values():
            control.orders.expect(order)
        view = control.pool.view_at(self._context.now_ms(), self._alerts.values())
        frames = [f for order in newest.values() for f in control.orders.carry_out(order, view)]
        self._count(control)
        return frames

    async def cycle_for_ever(self) -> None:
        """Run a cycle each half second, or less often where cycles take long."""
        while True:
            self._pace.begin()
            await self.cycle()
            await asyncio.sleep(self._pace.rest_s())

    async def cycle(self) -> None:
        """Check which devices follow, end leases, charge for storms, publish supplies."""
        if not self._alerts_known.is_set():
            return
        partials: list[SupplyPartial] = []
        for control in list(self._controls.values()):
            if not control.ready or control.rests(self._context.now_ms()):
                continue
            with self._pace.work():
                events, frames, partials_here = self._cycle_of(control)
            partials += partials_here
            await self._send_events(control.rows.partition, events)
            await self._send_frames(frames)
            await asyncio.sleep(0)  # orders and telemetry go first
        await self._send_supplies(partials)  # together, as above

    def _cycle_of(
        self, control: Control
    ) -> tuple[list[CommandEvent], list[CommandFrame], list[SupplyPartial]]:
        """One partition's cycle without an await: a view is valid until another task may run."""
        now_ms = control.cycled_ms = self._context.now_ms()
        view = control.pool.view_at(now_ms, self._alerts.values())
        control.pool.observe(view)
        events = control.rows.expire(now_ms)
        frames = control.orders.fill_for_storms(view, self._alerts.values())
        frames += control.orders.release_excluded(view)
        partials = supplies(control.pool, view, control.orders.applied_ms)
        self._count(control)
        return events, frames, partials

    def _count(self, control: Control) -> None:
        self._context.health.counters.update(control.rows.counts)
        control.rows.counts.clear()

    async def _send_frames(self, frames: Iterable[CommandFrame]) -> None:
        # In the audit trail before any device acts on it, so that a successor can end it for us.
        both = topics.COMMANDS, topics.GATEWAY_OUT
        for frame in frames:
            with tracing.following("fleet: setpoints", self._traces.get(frame.request_id)):
                await self._context.outlet.send_to_each(both, frame)
            self._context.health.counters["commands"] += len(frame.rows)

    async def _send_events(self, partition: int, events: list[CommandEvent]) -> None:
        if events:
            frame = CommandEvents(
                source=self._context.health.process_id, partition=partition, events=tuple(events)
            )
            await self._context.outlet.send(topics.COMMAND_EVENTS, frame)

    async def _send_supplies(self, partials: Iterable[SupplyPartial]) -> None:
        for partial in partials:
            await self._context.outlet.send(topics.REGION_PARTIALS, partial)
