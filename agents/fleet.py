"""Role ``fleet``: canonical telemetry to twins, site windows and region partials."""

import asyncio
from collections.abc import Awaitable
from functools import partial

import faust

from agents.command import register_commands
from agents.context import AgentContext
from agents.fleet_pages import register_pages
from agents.flow import lag
from agents.in_order import InOrder
from agents.snapshots import Snapshots
from agents.windows import WindowsPublisher
from tables.fleet import FleetPartition, Frame, Outputs, Policy
from tables.twins import Batch
from vpp_streams import topics
from vpp_streams.codecs import (
    BACKFILL,
    HEADER_LANE,
    HEADER_SOURCE,
    HEADER_STREAM_TIME,
    HEADER_WATERMARK,
    SOURCE_HEARTBEAT,
    decode_frame,
    encode_json,
)
from vpp_streams.settings import Settings

TABLE = "fleet-v3"
"""Of the state. Its form has a number: what an older version wrote cannot be taken over."""
MAX_WAITING = 5000
"""Frames that may wait for a snapshot before we stop reading."""


def policy_of(settings: Settings) -> Policy:
    """The window and liveness policy that settings ask for."""
    return Policy(
        lateness_ms=int(settings.allowed_lateness_s * 1000),
        retention_ms=settings.window_retention_s * 1000,
        tick_ms=settings.tick_ms,
        silent_after_ms=int(settings.silent_after_s * 1000),
    )


def read_frame(event: faust.EventT) -> Frame:
    """A Kafka record as a frame. Raises `ValueError` where it is none."""
    headers = dict(event.message.headers or {})
    # A replay's times are its data's own, whatever the broker's clock says.
    source = (headers.get(HEADER_SOURCE) or b"").decode(errors="replace")
    told_by_us = source == SOURCE_HEARTBEAT or "/" in source  # ingest names a partition
    return Frame(
        offset=event.message.offset,
        batch=Batch.of(decode_frame(event.message.value or b"")),
        live=headers.get(HEADER_LANE) != BACKFILL,
        stream_time_ms=_int(headers.get(HEADER_STREAM_TIME)),
        watermark_ms=_int(headers.get(HEADER_WATERMARK)),
        record_time_ms=int(event.message.timestamp * 1000) if told_by_us else None,
    )


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


class Publisher:
    """Sends what a frame gives rise to; the snapshot awaits the futures."""

    def __init__(self, app: faust.App, context: AgentContext) -> None:
        self._partials = context.topic(app, topics.REGION_PARTIALS)
        self._rejected = context.topic(app, topics.TELEMETRY_REJECTED)

    async def send(self, out: Outputs, partition: int) -> list[Awaitable[object]]:
        """Hand all but site windows to the producer; the futures are done when Kafka has it."""
        sent = [
            await self._partials.send(key=p.region.encode(), value=encode_json(p), partition=0)
            for p in out.partials
        ]
        sent += [
            await self._rejected.send(
                key=r.rejected_id.encode(), value=encode_json(r), partition=partition
            )
            for r in out.rejected
        ]
        return sent


def register(app: faust.App, context: AgentContext) -> None:
    """Add the fleet agent, its table, its snapshot timer and its pages to an app."""
    source = context.topic(app, topics.TELEMETRY)
    name = topics.TELEMETRY.full(context.settings.namespace)
    policy = policy_of(context.settings)

    def new_partition(partition: int) -> FleetPartition:
        return FleetPartition(partition, name, context.registry, policy)

    in_order = InOrder(
        app,
        context.settings,
        lambda: bool(snapshots.states()) and context.registry_ready.is_set(),
    )
    snapshots: Snapshots[FleetPartition] = Snapshots(app, TABLE, name, in_order, new_partition)
    publisher = Publisher(app, context)
    windows = WindowsPublisher(app, context)
    counters = context.health.counters

    async def apply(event: faust.EventT) -> None:
        slot = await snapshots.admit(event)
        if slot is None:
            return
        message = event.message
        try:
            frame = read_frame(event)
        except ValueError as error:
            frame, why = None, str(error)
        async with slot.changing:
            if frame is None:
                out = slot.state.refuse(message.offset, message.value, why, context.now_ms())
            else:
                out = slot.state.apply(frame)
            counters.update(out.counts)
            slot.applied(event)
            ours = partial(snapshots.holds, message.partition, slot)
            slot.outputs += [windows.publish(s, message.partition, ours) for s in out.sums]
            slot.outputs += await publisher.send(out, message.partition)

    @app.agent(source)
    async def fleet(stream: faust.StreamT) -> None:
        await context.registry_ready.wait()
        async for event in stream.noack().events():
            try:
                await apply(event)
            except Exception as error:
                # Our own mistake, and half a frame may be applied: end the worker, whose
                # successor starts from the last snapshot, instead of going on with that.
                await app.crash(error)
                raise
            if snapshots.waiting() > MAX_WAITING:
                await snapshots.flush()

    @app.task
    async def snapshot() -> None:
        while not app.should_stop:
            await asyncio.sleep(context.settings.snapshot_ms / 1000)
            await snapshots.flush()

    context.health.gauges["lag"] = lambda: lag(app, name)
    context.health.gauges["devices"] = lambda: sum(
        len(p.twins.device_ids) for p in snapshots.states()
    )
    context.health.gauges["not_believed"] = lambda: sum(
        p.not_believed() for p in snapshots.states()
    )
    context.health.gauges["clock_skew_ms"] = lambda: max(
        (p.skew_ms for p in snapshots.states()), default=0
    )
    commands = register_commands(app, context, snapshots)
    register_pages(app, context, snapshots, commands)
