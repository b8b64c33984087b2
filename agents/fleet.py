"""Role ``fleet``: canonical telemetry to twins, site windows and region partials."""

import asyncio
from collections.abc import Awaitable
from functools import partial

import faust
from aiokafka import ConsumerRecord

from agents.command import CommandAgent
from agents.context import AgentContext
from agents.faust_seam import membership_of, run_beside_agents
from agents.fleet_pages import FleetPages
from agents.holders import Holders
from agents.stateful_role import RoleLogs, StatefulAgent, StatefulRole
from agents.window_publisher import WindowsPublisher
from schemas.encoding import (
    BACKFILL,
    HEADER_LANE,
    HEADER_SOURCE,
    HEADER_STREAM_TIME,
    HEADER_WATERMARK,
    SOURCE_HEARTBEAT,
    decode_frame,
)
from tables.echoes import Echoes
from tables.group import Group
from tables.log_reader import GATHER_BYTES, Deliver, Records
from tables.partitions import Slot
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.echo import EchoedRecord
from vpp_streams.settings import Settings

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


def read_frame(record: ConsumerRecord) -> Frame:
    """A Kafka record as a frame. Raises `ValueError` where it is none."""
    headers = dict(record.headers or ())
    # A replay's times are its data's own, whatever the broker's clock says.
    source = (headers.get(HEADER_SOURCE) or b"").decode(errors="replace")
    told_by_us = source == SOURCE_HEARTBEAT or "/" in source  # ingest names a partition
    ours = isinstance(record, EchoedRecord)
    return Frame(
        offset=record.offset,
        batch=Batch.of(record.content if ours else decode_frame(record.value or b"")),
        live=headers.get(HEADER_LANE) != BACKFILL,
        stream_time_ms=_int(headers.get(HEADER_STREAM_TIME)),
        watermark_ms=_int(headers.get(HEADER_WATERMARK)),
        record_time_ms=record.timestamp if told_by_us else None,
    )


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


class FleetWorker:
    """The fleet partitions that this worker holds, and what it publishes about them."""

    def __init__(self, context: AgentContext, group: Group) -> None:
        self._context = context
        self._policy = policy_of(context.settings)
        logs = RoleLogs(
            role="fleet",
            source=topics.TELEMETRY,
            changelog=topics.STATE_FLEET,
            snapshot_s=context.settings.snapshot_ms / 1000,
            gather_bytes=GATHER_BYTES,
        )
        self._role = StatefulRole(context, group, logs, self._new_partition)
        self.partitions = self._role.partitions
        self.windows = WindowsPublisher(context)
        self.commands = CommandAgent(context)
        self.holders = Holders(context)
        self._traces: dict[int, bytes] = {}
        """By partition: the newest traced frame that no share of its region includes yet."""
        self.partitions.on_change = self._on_change
        self._publish_gauges()

    def _new_partition(self, number: int) -> FleetPartition:
        source = self._context.clients.full(topics.TELEMETRY)
        return FleetPartition(number, source, self._context.registry, self._policy)

    def _publish_gauges(self) -> None:
        states = self.partitions.states
        self._context.health.gauges |= {
            "devices": lambda: sum(len(p.twins.device_ids) for p in states()),
            "rebuilt_partitions": lambda: self.partitions.rebuilt,
            "not_believed": lambda: sum(p.not_believed() for p in states()),
            "clock_skew_ms": lambda: max((p.skew_ms for p in states()), default=0),
        }

    def _on_change(self, states: dict[int, FleetPartition]) -> None:
        self.commands.hold(states)
        self.holders.hold(frozenset(states))

    def listen_to(self, echoes: Echoes) -> None:
        """Apply what this process writes to the topic of telemetry without fetching it."""
        self._role.echoes = echoes

    async def run(self, deliver: Deliver) -> None:
        """Hold what the group assigns to this worker, for ever; ``deliver`` receives the records.

        Raises what makes it impossible to go on.
        """
        await self._role.run(deliver, self.windows.run, self.commands.run, self.holders.run)

    async def apply(self, records: Records) -> None:
        """Apply consecutive records of a partition, each once."""
        await self._role.apply(records, self._apply_and_flush)

    async def _apply_and_flush(self, slot: Slot[FleetPartition], record: ConsumerRecord) -> None:
        await self._apply(slot, record)
        if self.partitions.waiting() > MAX_WAITING:
            await self.partitions.flush()

    async def _apply(self, slot: Slot[FleetPartition], record: ConsumerRecord) -> None:
        with tracing.handling("fleet: apply a frame", record.headers):
            await self._apply_frame(slot, record)

    async def _apply_frame(self, slot: Slot[FleetPartition], record: ConsumerRecord) -> None:
        try:
            frame = read_frame(record)
        except ValueError as error:
            frame, why = None, str(error)
        async with slot.changing:
            out = Outputs()
            if frame is None:
                now_ms = self._context.now_ms()
                out = slot.state.refuse(record.offset, record.value, why, now_ms)
            else:
                for _ in slot.state.steps(frame, out):
                    await asyncio.sleep(0)  # other tasks of the loop go first
            self._context.health.counters.update(out.counts)
            slot.applied(record)
            ours = partial(self.partitions.holds, slot)
            slot.outputs += [self.windows.publish(s, slot.partition, ours) for s in out.sums]
            if (trace := tracing.here()) is not None:
                self._traces[slot.partition] = trace
            slot.outputs += await self._send(out, slot.partition)

    async def _send(self, out: Outputs, partition: int) -> list[Awaitable[object]]:
        """Hand all but site windows to the producer; the futures are done when Kafka has it."""
        outlet = self._context.outlet
        trace = self._traces.pop(partition, None) if out.partials else None
        with tracing.following("fleet: share of regions", trace):
            sent = [await outlet.send(topics.REGION_PARTIALS, partial) for partial in out.partials]
        return sent + [await outlet.send(topics.TELEMETRY_REJECTED, r) for r in out.rejected]


def register(app: faust.App, context: AgentContext) -> None:
    """Add the fleet agent, the work beside it and its pages to an app."""
    worker = FleetWorker(context, membership_of(app, topics.SEATS_FLEET, context))
    run_beside_agents(app, StatefulAgent(app, "fleet", worker).run)
    add_pages(app, context, worker)


def add_pages(app: faust.App, context: AgentContext, worker: FleetWorker) -> None:
    """Serve the pages of the sites whose partitions the worker holds."""
    FleetPages(context, worker.partitions, worker.commands, worker.holders).add_to(app)
