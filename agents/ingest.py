"""Role ``ingest``: raw device frames to canonical telemetry; what cannot be read to dead letters.

Stateless: a crash re-emits frames, and the fleet role counts each reading once. Backfill is
read with lower priority, so that a region back from an outage does not delay the live fleet.
"""

import asyncio
from collections.abc import Awaitable

import faust
import pyarrow as pa

from agents.context import AgentContext
from agents.flow import InFlight, lag
from agents.in_order import InOrder
from schemas.telemetry import SCHEMA_NAME, TELEMETRY_V1
from vpp_streams import topics
from vpp_streams.codecs import (
    BACKFILL,
    HEADER_STREAM_TIME,
    LIVE,
    SOURCE_HEARTBEAT,
    encode_frame,
    encode_json,
    frame_headers,
)
from vpp_streams.domain.canonical import Canonical, Source, canonicalize

SETTLE_S = 0.05
HEARTBEAT_S = 1.0
HEARTBEAT_MARGIN_MS = 1000
"""A heartbeat stays behind the clock by what a reading may take from the gateway to us."""
BACKFILL_PATIENCE_S = 0.25
"""Longest that a backfill frame waits for the live lane: it is slow, never starved."""

_EMPTY_FRAME = encode_frame(pa.RecordBatch.from_pylist([], schema=TELEMETRY_V1))


class Publisher:
    """Sends canonical frames and dead letters; the futures are done when Kafka has them."""

    def __init__(self, app: faust.App, context: AgentContext) -> None:
        self._telemetry = context.topic(app, topics.TELEMETRY)
        self._rejected = context.topic(app, topics.TELEMETRY_REJECTED)

    async def send(self, found: Canonical, source: Source, lane: bytes) -> list[Awaitable[object]]:
        """Send what a raw frame gave."""
        sent: list[Awaitable[object]] = []
        origin = f"{source.topic}/{source.partition}"
        for partition, batch in found.batches.items():
            frame_id = f"{source.topic}-{source.partition}-{source.offset}-{partition}"
            sent.append(
                await self._telemetry.send(
                    value=encode_frame(batch),
                    partition=partition,
                    headers=frame_headers(SCHEMA_NAME, origin, frame_id, lane),
                )
            )
        for rejected in found.rejected:
            key = rejected.rejected_id.encode()
            sent.append(
                await self._rejected.send(
                    key=key, value=encode_json(rejected), partition=source.partition
                )
            )
        return sent

    async def heartbeat(self, partition: int, stream_time_ms: int) -> None:
        """Tell a partition that all readings received up to then are in its log."""
        headers = frame_headers(SCHEMA_NAME, SOURCE_HEARTBEAT, f"{partition}-{stream_time_ms}")
        headers[HEADER_STREAM_TIME] = str(stream_time_ms).encode()
        await self._telemetry.send(value=_EMPTY_FRAME, partition=partition, headers=headers)


def register(app: faust.App, context: AgentContext) -> None:
    """Add the live and the backfill agent, and the heartbeat, to an app."""
    publisher = Publisher(app, context)
    in_order = InOrder(app, context.settings, context.registry_ready.is_set)
    in_flight = InFlight(in_order)
    live_names = tuple(t.full(context.settings.namespace) for t in topics.LIVE_RAW)
    backfill_name = topics.RAW_BACKFILL.full(context.settings.namespace)
    counters = context.health.counters

    async def ingest(event: faust.EventT, lane: bytes) -> None:
        if not await in_order.admit(event):
            return
        message = event.message
        source = Source(
            message.topic, message.partition, message.offset, int(message.timestamp * 1000)
        )
        found = canonicalize(message.value or b"", source, context.registry, topics.PARTITIONS)
        readings = sum(batch.num_rows for batch in found.batches.values())
        counters["readings_in"] += readings + len(found.rejected)
        counters["canonical"] += readings
        counters["rejected"] += len(found.rejected)
        for what, rows in found.not_believed.items():
            counters[f"not_believed_{what}"] += rows
        await in_flight.add(event, await publisher.send(found, source, lane))

    @app.agent(context.topic(app, *topics.LIVE_RAW))
    async def live(stream: faust.StreamT) -> None:
        await context.registry_ready.wait()
        async for event in stream.noack().events():
            await ingest(event, LIVE)

    @app.agent(context.topic(app, topics.RAW_BACKFILL))
    async def backfill(stream: faust.StreamT) -> None:
        await context.registry_ready.wait()
        async for event in stream.noack().events():
            waited_s = 0.0
            while lag(app, *live_names) and waited_s < BACKFILL_PATIENCE_S:
                await asyncio.sleep(0.01)
                waited_s += 0.01
            await ingest(event, BACKFILL)

    @app.task
    async def settle() -> None:
        while not app.should_stop:
            await asyncio.sleep(SETTLE_S)
            await in_flight.settle()

    @app.timer(HEARTBEAT_S)
    async def heartbeat() -> None:
        held = {tp.partition for tp in app.consumer.assignment() if tp.topic == live_names[0]}
        for partition in sorted(held):
            if not lag(app, *live_names, partition=partition):
                await publisher.heartbeat(partition, context.now_ms() - HEARTBEAT_MARGIN_MS)

    context.health.gauges["lag"] = lambda: lag(app, *live_names, backfill_name)
