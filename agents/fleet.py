"""Role ``fleet``: canonical telemetry to twins, site windows and region partials."""

import asyncio
from collections.abc import Awaitable
from functools import partial

import faust
from aiokafka import ConsumerRecord

from agents.command import CommandAgent
from agents.context import AgentContext
from agents.faust_seam import Membership, seats_of
from agents.fleet_pages import FleetPages
from agents.holders import Holders
from agents.log_agent import LogAgent
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
from tables.log_reader import Deliver, LogReader, Records
from tables.partitions import Partitions, Slot
from tables.state_store import StateStore
from vpp_streams.domain.fleet.partition import FleetPartition, Frame, Outputs, Policy
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import producing
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
    return Frame(
        offset=record.offset,
        batch=Batch.of(decode_frame(record.value or b"")),
        live=headers.get(HEADER_LANE) != BACKFILL,
        stream_time_ms=_int(headers.get(HEADER_STREAM_TIME)),
        watermark_ms=_int(headers.get(HEADER_WATERMARK)),
        record_time_ms=record.timestamp if told_by_us else None,
    )


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


class FleetWorker:
    """The partitions of the fleet that this worker holds, and what it publishes of them."""

    def __init__(self, context: AgentContext, membership: Membership) -> None:
        self._context = context
        source = context.clients.full(topics.TELEMETRY)
        policy = policy_of(context.settings)

        def new_partition(number: int) -> FleetPartition:
            return FleetPartition(number, source, context.registry, policy)

        store = StateStore(
            context.clients, context.clients.full(topics.STATE_FLEET), context.group("fleet")
        )
        self.partitions: Partitions[FleetPartition] = Partitions(
            source, membership, store, new_partition
        )
        self.windows = WindowsPublisher(context)
        self.commands = CommandAgent(context)
        self.holders = Holders(context)
        self.partitions.on_change = self._on_change
        gauges = context.health.gauges
        gauges["lag"] = self.partitions.lag
        gauges["devices"] = lambda: sum(len(p.twins.device_ids) for p in self.partitions.states())
        gauges["rebuilt_partitions"] = lambda: self.partitions.rebuilt
        gauges["not_believed"] = lambda: sum(p.not_believed() for p in self.partitions.states())
        gauges["clock_skew_ms"] = lambda: max(
            (p.skew_ms for p in self.partitions.states()), default=0
        )

    def _on_change(self, states: dict[int, FleetPartition]) -> None:
        self.commands.hold(states)
        self.holders.hold(frozenset(states))

    async def run(self, deliver: Deliver) -> None:
        """Hold what the group gives us, for ever; ``deliver`` receives what is read of it.

        Raises what makes it impossible to go on.
        """
        context = self._context
        await context.registry_ready.wait()
        async with producing(context.clients) as context.producer:
            reader = LogReader(context.clients, deliver)
            self.partitions.reader = reader
            context.watch_readers(reader)
            async with asyncio.TaskGroup() as group:
                for work in (
                    self.partitions.run(),
                    reader.run(),
                    self.partitions.flush_for_ever(context.settings.snapshot_ms / 1000),
                    self.windows.run(),
                    self.commands.run(),
                    self.holders.run(),
                ):
                    group.create_task(work)

    async def apply(self, records: Records) -> None:
        """Apply records of a partition that follow each other, each once."""
        slot = self.partitions.slot_for(records)
        if slot is None:
            return
        for record in records.records:
            if not self.partitions.holds(slot):
                return  # its new owner reads them
            await self._apply(slot, record)
            if self.partitions.waiting() > MAX_WAITING:
                await self.partitions.flush()
            await asyncio.sleep(0)  # who waits for the loop goes first

    async def _apply(self, slot: Slot[FleetPartition], record: ConsumerRecord) -> None:
        try:
            frame = read_frame(record)
        except ValueError as error:
            frame, why = None, str(error)
        async with slot.changing:
            if frame is None:
                now_ms = self._context.now_ms()
                out = slot.state.refuse(record.offset, record.value, why, now_ms)
            else:
                out = slot.state.apply(frame)
            self._context.health.counters.update(out.counts)
            slot.applied(record)
            ours = partial(self.partitions.holds, slot)
            slot.outputs += [self.windows.publish(s, slot.partition, ours) for s in out.sums]
            slot.outputs += await self._send(out)

    async def _send(self, out: Outputs) -> list[Awaitable[object]]:
        """Hand all but site windows to the producer; the futures are done when Kafka has it."""
        outlet = self._context.outlet
        sent = [await outlet.send(topics.REGION_PARTIALS, partial) for partial in out.partials]
        return sent + [await outlet.send(topics.TELEMETRY_REJECTED, r) for r in out.rejected]


def register(app: faust.App, context: AgentContext) -> None:
    """Add the fleet role to an app."""
    membership = Membership(app, seats_of(app, topics.SEATS_FLEET, context.settings.namespace))
    worker = FleetWorker(context, membership)
    agent = LogAgent(app, "fleet", worker.apply)
    FleetPages(context, worker.partitions, worker.commands, worker.holders).add_to(app)

    @app.task
    async def run() -> None:
        await worker.run(agent.deliver)
