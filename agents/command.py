"""In the fleet role, beside the twins: a region's orders become leases of its devices.

The orders come as a stream (topic ``dispatch``). What devices hold and did is a fold of three
topics (`agents.control_feed`), storms one of a fourth; what the partition can give goes out
twice a second. Nothing here is snapshotted: leases end by themselves, and a worker that takes
over reads what its predecessor asked.
"""

import asyncio
from collections.abc import Iterable

import faust
import msgspec
import structlog
from aiokafka import ConsumerRecord

from agents.context import AgentContext
from agents.control_feed import ControlFeed
from agents.in_order import InOrder
from agents.snapshots import Snapshots
from schemas.commands import CommandEvent, CommandEvents, CommandFrame
from schemas.dispatch import Dispatch, SupplyPartial
from schemas.grid import Alert
from schemas.presence import Presence
from tables.commands import CommandRows
from tables.fleet import FleetPartition
from tables.orders import Orders
from tables.pool import Pool
from tables.supplies import supplies
from vpp_streams import topics
from vpp_streams.codecs import decode_json, encode_json
from vpp_streams.domain.lease import LeasePolicy
from vpp_streams.kafka import read_to_end_then_follow
from vpp_streams.topics import Topic

log = structlog.get_logger()

CYCLE_S = 0.5
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Control:
    """One partition's devices as they are commanded."""

    def __init__(self, fleet: FleetPartition, policy: LeasePolicy) -> None:
        self.rows = CommandRows(fleet.partition, fleet.twins, policy)
        self.pool = Pool(fleet, self.rows)
        self.orders = Orders(self.pool)
        self.ready = False
        """Whether what went before is known; until then nobody is commanded."""


class CommandAgent:
    """The partitions that this worker commands, and what it publishes."""

    def __init__(self, app: faust.App, context: AgentContext) -> None:
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
        self._feed = ControlFeed(settings, self._on_record, self._on_ready)
        self._commands = context.topic(app, topics.COMMANDS)
        self._events = context.topic(app, topics.COMMAND_EVENTS)
        self._gateways = context.topic(app, topics.GATEWAY_OUT)
        self._partials = context.topic(app, topics.REGION_PARTIALS)

    def control(self, partition: int) -> Control | None:
        """A partition's control, or None where another worker has it or it is not whole yet."""
        control = self._controls.get(partition)
        return control if control is not None and control.ready else None

    def hold(self, partitions: dict[int, FleetPartition]) -> None:
        """These partitions are ours from now on, and no others."""
        self._controls = {p: Control(fleet, self._policy) for p, fleet in partitions.items()}
        self._feed.follow(frozenset(partitions))

    async def follow(self) -> None:
        """Keep what is known of devices and storms current, for ever."""
        await asyncio.gather(
            self._feed.run(),
            read_to_end_then_follow(
                self._context.settings, topics.GRID_ALERTS, self._on_alert, self._alerts_known
            ),
        )

    def _on_ready(self, partition: int) -> None:
        if partition in self._controls:
            self._controls[partition].ready = True

    def _on_record(self, topic: Topic, record: ConsumerRecord) -> None:
        control = self._controls.get(record.partition)
        if control is None or record.value is None:
            return
        try:
            if topic is topics.PRESENCE:
                control.rows.presence(decode_json(record.value, Presence), record.offset)
            elif topic is topics.COMMANDS:
                control.rows.apply_frame(decode_json(record.value, CommandFrame))
            else:
                for event in decode_json(record.value, CommandEvents).events:
                    control.rows.apply_event(event)
        except UNREADABLE as error:
            self._context.health.counters["bad_records"] += 1
            log.warning(
                "a record that cannot be read was left out",
                topic=topic.name,
                offset=record.offset,
                error=str(error),
            )

    def _on_alert(self, _key: bytes | None, value: bytes | None, offset: int) -> None:
        if value is None:
            return
        try:
            alert = decode_json(value, Alert)
        except UNREADABLE as error:
            self._context.health.counters["bad_records"] += 1
            log.warning(
                "an alert that cannot be read was left out", offset=offset, error=str(error)
            )
            return
        self._alerts[alert.alert_id] = alert

    async def carry_out(self, partition: int, order: Dispatch) -> None:
        """Make and send the commands that an order calls for."""
        control = self.control(partition)
        if control is None:
            return  # the next order finds us ready
        view = control.pool.look(self._context.now_ms(), self._alerts.values())
        await self._send_frames(control.orders.carry_out(order, view))
        self._count(control)

    async def cycle(self) -> None:
        """See who follows and whose lease is over, fill for storms, tell what can be given."""
        if not self._alerts_known.is_set():
            return
        for control in list(self._controls.values()):
            if not control.ready:
                continue
            now_ms = self._context.now_ms()
            view = control.pool.look(now_ms, self._alerts.values())
            control.pool.observe(view)
            # All of it before the first send: a view is true until something else may run.
            events = control.rows.expire(now_ms)
            frames = control.orders.fill_for_storms(view, self._alerts.values())
            partials = supplies(control.pool, view, control.orders.applied_ms)
            self._count(control)
            await self._send_events(control.rows.partition, events)
            await self._send_frames(frames)
            await self._send_supplies(partials)
            await asyncio.sleep(0)  # orders and telemetry go first

    def _count(self, control: Control) -> None:
        self._context.health.counters.update(control.rows.counts)
        control.rows.counts.clear()

    async def _send_frames(self, frames: Iterable[CommandFrame]) -> None:
        for frame in frames:
            value, key = encode_json(frame), frame.region.encode()
            await self._gateways.send(key=key, value=value, partition=frame.slot)
            await self._commands.send(key=key, value=value, partition=frame.partition)
            self._context.health.counters["commands"] += len(frame.rows)

    async def _send_events(self, partition: int, events: list[CommandEvent]) -> None:
        if events:
            frame = CommandEvents(
                source=self._context.health.process_id, partition=partition, events=tuple(events)
            )
            await self._events.send(key=None, value=encode_json(frame), partition=partition)

    async def _send_supplies(self, partials: Iterable[SupplyPartial]) -> None:
        for partial in partials:
            await self._partials.send(
                key=partial.region.encode(), value=encode_json(partial), partition=0
            )


def register_commands(
    app: faust.App,
    context: AgentContext,
    snapshots: Snapshots[FleetPartition],
    in_order: InOrder,
) -> CommandAgent:
    """Add the command agent and its timer to an app."""
    agent = CommandAgent(app, context)
    snapshots.on_change = agent.hold

    @app.agent(context.topic(app, topics.DISPATCH))
    async def dispatch(stream: faust.StreamT) -> None:
        async for event in stream.noack().events():
            if not await in_order.admit(event):
                continue
            in_order.done(event)  # an order that is lost is followed by the next
            try:
                order = decode_json(event.message.value or b"", Dispatch)
            except UNREADABLE as error:
                context.health.counters["bad_records"] += 1
                log.warning("an order that cannot be read was left out", error=str(error))
                continue
            await agent.carry_out(event.message.partition, order)

    @app.task
    async def follow_control() -> None:
        await agent.follow()

    @app.timer(CYCLE_S)
    async def command_cycle() -> None:
        await agent.cycle()

    return agent
