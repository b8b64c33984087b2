"""Role ``ingest``: raw device frames to canonical telemetry; unreadable ones to dead letters.

Stateless: a crash re-emits frames, and the fleet role counts each reading once. Backfill is
read with lower priority, so that a region back from an outage does not delay the live fleet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import faust
import pyarrow as pa
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from agents.context import AgentContext
from agents.faust_seam import LogChannel, Membership, membership_of, run_beside_agents
from agents.in_flight import InFlight, position_of
from schemas.bounds import PARTITIONS
from schemas.encoding import BACKFILL, HEADER_STREAM_TIME, LIVE, SOURCE_HEARTBEAT, frame_headers
from schemas.raw_frames import has_columns
from schemas.telemetry import SCHEMA_NAME, TELEMETRY_V1
from tables.group import Share
from tables.log_reader import GATHER_BYTES, Deliver, LogReader, Position, Records
from vpp_streams.domain.telemetry.canonical import (
    Canonical,
    Source,
    canonicalize,
    canonicalize_columns,
)
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.clients import administering

SETTLE_S = 0.05
COMMIT_S = 1.0
HEARTBEAT_S = 1.0
HEARTBEAT_MARGIN_MS = 1000
"""A heartbeat stays behind the clock by the time a reading may take from the gateway to us."""
BACKFILL_PATIENCE_S = 0.25
"""Longest time that a backfill frame waits for the live lane: it is slow, never starved."""

_NO_READINGS = pa.RecordBatch.from_pylist([], schema=TELEMETRY_V1)


class IngestWorker:
    """The raw partitions that this worker reads, on two lanes, and the frames made from them."""

    def __init__(self, context: AgentContext, membership: Membership) -> None:
        self._context = context
        self._membership = membership
        self._group = context.group("ingest")
        self._in_flight = InFlight(membership)
        self._live_names = tuple(context.clients.full(t) for t in topics.LIVE_RAW)
        self._names = (*self._live_names, context.clients.full(topics.RAW_BACKFILL))
        self._readers: dict[str, LogReader] = {}
        self.room: Callable[[], Awaitable[None]] | None = None
        """Waits, for a moment at most, for the reader of what is written; None = nobody does."""
        context.health.gauges["lag"] = self.lag
        self._placed = context.health.probes.need("its raw partitions")

    async def run(self, live: Deliver, backfill: Deliver) -> None:
        """Read what the group assigns to this worker, for ever; the lanes receive the records.

        Raises what makes it impossible to go on.
        """
        context = self._context
        await context.registry_ready.wait()
        lanes = [
            LogReader(context.clients, deliver, gather_bytes=GATHER_BYTES)
            for deliver in (live, backfill)
        ]
        self._readers = dict.fromkeys(self._live_names, lanes[0]) | {self._names[-1]: lanes[1]}
        for lane in lanes:
            lane.on_other_log = self._in_flight.begins_again
            lane.applied = partial(self._applied_of, lane)
        context.watch_readers(*lanes)
        async with context.sending(), asyncio.TaskGroup() as group:
            for work in (
                *(lane.run() for lane in lanes),
                self._follow_group(),
                self._settle_for_ever(),
                self._commit_for_ever(),
                self._heartbeat_for_ever(),
            ):
                group.create_task(work)

    async def _follow_group(self) -> None:
        last: Share | None = None
        async for share in self._membership.shares():
            if share is last:
                continue
            if not share.follows(last):
                self._read({})  # others may have had it in between
            last = share
            self._read(await self._committed(share))
            self._placed()

    def _read(self, positions: Mapping[TopicPartition, Position]) -> None:
        self._in_flight.start(positions)
        for lane in set(self._readers.values()):
            mine = {tp: at for tp, at in positions.items() if self._readers[tp.topic] is lane}
            lane.read(mine)

    async def _committed(self, share: Share) -> dict[TopicPartition, Position]:
        """Where reading continues in each of our partitions: at the group's last commit."""
        ours = [TopicPartition(name, p) for name in self._names for p in share.partitions]
        async with administering(self._context.clients) as admin:
            found: Mapping[TopicPartition, OffsetAndMetadata]
            found = await admin.list_consumer_group_offsets(self._group)
        return {tp: position_of(found[tp]) if tp in found else Position() for tp in ours}

    async def apply(self, records: Records, lane: bytes) -> None:
        """Make canonical frames of raw frames that follow each other."""
        if not self._in_flight.takes(records):
            at = self._in_flight.positions().get(records.tp)
            if at is not None:
                self._readers[records.tp.topic].go_back(records.tp, Position(at))
            return
        for record in records.records:
            if self.room is not None:
                await self.room()
            with tracing.handling("ingest", record.headers):
                outputs = await self._ingest(record, lane)
            await self._in_flight.add(records.tp, record, outputs)
            await asyncio.sleep(0)  # who waits for the loop goes first

    async def _ingest(self, record: ConsumerRecord, lane: bytes) -> list[Awaitable[object]]:
        source = Source(record.topic, record.partition, record.offset, record.timestamp)
        read = canonicalize_columns if has_columns(record.headers) else canonicalize
        found = read(record.value or b"", source, self._context.registry, PARTITIONS)
        readings = sum(batch.num_rows for batch in found.batches.values())
        counters = self._context.health.counters
        counters["readings_in"] += readings + len(found.rejected)
        counters["canonical"] += readings
        counters["rejected"] += len(found.rejected)
        for letter in found.rejected:
            counters[f"reading_rejected:{letter.reason}"] += 1
        for what, rows in found.not_believed.items():
            counters[f"not_believed_{what}"] += rows
        return await self._send(found, source, lane)

    async def _send(self, found: Canonical, source: Source, lane: bytes) -> list[Awaitable[object]]:
        """Send the outcome of a raw frame; the futures are done when Kafka has it."""
        outlet = self._context.outlet
        sent: list[Awaitable[object]] = []
        origin = f"{source.topic}/{source.partition}"
        for partition, batch in found.batches.items():
            frame_id = f"{source.topic}-{source.partition}-{source.offset}-{partition}"
            headers = frame_headers(SCHEMA_NAME, origin, frame_id, lane)
            sent.append(
                await outlet.send(topics.TELEMETRY, batch, partition=partition, headers=headers)
            )
        return sent + [await outlet.send(topics.TELEMETRY_REJECTED, r) for r in found.rejected]

    def partitions(self) -> int:
        """Number of partitions that this worker reads."""
        return len({tp.partition for tp in self._in_flight.positions()})

    def lag(self) -> int:
        """Number of raw records of our partitions that are in the log and were not applied."""
        return self._lag(*self._names)

    def _applied_of(self, lane: LogReader) -> dict[TopicPartition, int]:
        positions = self._in_flight.positions()
        return {tp: at for tp, at in positions.items() if self._readers[tp.topic] is lane}

    def _lag(self, *names: str, partition: int | None = None) -> int:
        """Number of records of these topics that are in the log and were not applied."""
        return sum(
            self._readers[tp.topic].lag(tp, at)
            for tp, at in self._in_flight.positions().items()
            if tp.topic in names and partition in (None, tp.partition)
        )

    async def wait_for_live(self) -> None:
        """Let the live lane go first, for a moment at most."""
        waited_s = 0.0
        while self._lag(*self._live_names) and waited_s < BACKFILL_PATIENCE_S:
            await asyncio.sleep(0.01)
            waited_s += 0.01

    async def _settle_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_S)
            await self._in_flight.settle()

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._in_flight.commit(self._look)

    async def _look(self) -> None:
        for lane in set(self._readers.values()):
            await lane.look()

    async def _heartbeat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for partition in sorted({tp.partition for tp in self._in_flight.positions()}):
                read_up_to_ms = self._read_up_to_ms(partition)
                if read_up_to_ms is not None:
                    await self._heartbeat(partition, read_up_to_ms - HEARTBEAT_MARGIN_MS)

    def _read_up_to_ms(self, partition: int) -> int | None:
        """When Kafka last confirmed that all live readings were applied; None if they are not."""
        seen_ms = self._context.now_ms()
        positions = self._in_flight.positions()
        for name in self._live_names:
            tp = TopicPartition(name, partition)
            seen = self._readers[name].seen(tp)
            if seen is None or tp not in positions or positions[tp] < seen[0]:
                return None
            seen_ms = min(seen_ms, seen[1])
        return seen_ms

    async def _heartbeat(self, partition: int, stream_time_ms: int) -> None:
        """State to a partition that all readings received up to then are in its log."""
        headers = frame_headers(SCHEMA_NAME, SOURCE_HEARTBEAT, f"{partition}-{stream_time_ms}")
        headers[HEADER_STREAM_TIME] = str(stream_time_ms).encode()
        await self._context.outlet.send(
            topics.TELEMETRY, _NO_READINGS, partition=partition, headers=headers
        )


class IngestAgents:
    """The Faust agents of the two lanes."""

    def __init__(self, app: faust.App, worker: IngestWorker) -> None:
        self._worker = worker
        self.live, self.backfill = LogChannel(app), LogChannel(app)
        """Where the worker's readers deliver."""
        app.agent(self.live, name="live")(self.apply_live)
        app.agent(self.backfill, name="backfill")(self.apply_backfill)

    async def apply_live(self, stream: faust.StreamT) -> None:
        """Apply everything that the live lane delivers."""
        async for records in stream:
            await self._worker.apply(records, LIVE)

    async def apply_backfill(self, stream: faust.StreamT) -> None:
        """Apply everything that the backfill lane delivers, after what is live."""
        async for records in stream:
            await self._worker.wait_for_live()
            await self._worker.apply(records, BACKFILL)

    async def run(self) -> None:
        """Run the worker, which delivers to the agents."""
        await self._worker.run(self.live.put, self.backfill.put)


def register(app: faust.App, context: AgentContext) -> None:
    """Add the live and the backfill agent, and the work beside them, to an app."""
    worker = IngestWorker(context, membership_of(app, topics.SEATS_INGEST, context))
    context.health.figures.append(lambda: [("vpp_partitions_owned", (), worker.partitions())])
    run_beside_agents(app, IngestAgents(app, worker).run)
