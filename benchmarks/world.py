"""A namespace of its own on the broker: topics and registry, deleted at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import pyarrow as pa
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.assets import Site
from schemas.bounds import PARTITIONS
from schemas.encoding import (
    HEADER_STREAM_TIME,
    HEADER_WATERMARK,
    encode_frame,
    encode_json,
    frame_headers,
)
from schemas.telemetry import SCHEMA_NAME, TELEMETRY_V1
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.settings import Settings

WHOLE_MS = 900_000
"""The longest window."""


@asynccontextmanager
async def world(settings: Settings, keep: bool = False) -> AsyncIterator[AIOKafkaProducer]:
    """A namespace with its topics and a producer; its topics are deleted after the block."""
    # The topics are new, and aiokafka logs each repeated request for their metadata.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    try:
        async with producing(clients) as producer:
            yield producer
    finally:
        if not keep:
            await delete_topics(settings)


async def delete_topics(settings: Settings) -> None:
    """Delete every topic of the namespace, including those of workers that ran in it."""
    if not settings.namespace:
        raise ValueError("the live namespace is not ours to delete")
    admin = KafkaClients(settings).admin()
    await admin.start()
    try:
        there = await admin.list_topics()
        await admin.delete_topics([n for n in there if n.startswith(f"{settings.namespace}.")])
    finally:
        await admin.close()


async def import_sites(producer: AIOKafkaProducer, settings: Settings, sites: Iterable[Site],
                       partitions: Iterable[int]) -> None:  # fmt: skip
    """Write sites to topic ``assets`` in batches, because a future per site is expensive."""
    name = topics.ASSETS.full(settings.namespace)
    builders: dict[int, BatchBuilder] = {}
    futures = []
    for site, partition in zip(sites, partitions, strict=True):
        builder = builders.get(partition)
        key, value = site.site_id.encode(), encode_json(site)
        if builder is None or not builder.append(key=key, value=value, timestamp=None):
            if builder is not None:
                futures.append(await producer.send_batch(builder, name, partition=partition))
            builder = builders[partition] = producer.create_batch()
            builder.append(key=key, value=value, timestamp=None)
    for partition, builder in builders.items():
        futures.append(await producer.send_batch(builder, name, partition=partition))
    await asyncio.gather(*futures)


async def close_windows(producer: AIOKafkaProducer, settings: Settings, until_ms: int) -> None:
    """Announce to every partition that nothing older follows, as a replay does at its end."""
    end_ms = -(-until_ms // WHOLE_MS) * WHOLE_MS
    headers = frame_headers(SCHEMA_NAME, "benchmark", "end")
    headers |= {HEADER_STREAM_TIME: b"%d" % until_ms, HEADER_WATERMARK: b"%d" % end_ms}
    empty = encode_frame(pa.RecordBatch.from_pylist([], schema=TELEMETRY_V1))
    for partition in range(PARTITIONS):
        await producer.send_and_wait(
            topics.TELEMETRY.full(settings.namespace), empty, partition=partition,
            headers=list(headers.items()),
        )  # fmt: skip


async def make_topics(
    settings: Settings, *names: str, config: Mapping[str, str] | None = None
) -> None:
    """Topics of 8 partitions that are not the project's own (full names)."""
    admin = KafkaClients(settings).admin()
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in names]
        )
    finally:
        await admin.close()


async def committed(settings: Settings, group: str, topic: str) -> int:
    """Number of records of a topic that a group has committed, over its partitions."""
    admin = KafkaClients(settings).admin()
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:
        return 0  # no group has used this broker yet
    finally:
        await admin.close()
    return sum(max(meta.offset, 0) for tp, meta in found.items() if tp.topic == topic)
