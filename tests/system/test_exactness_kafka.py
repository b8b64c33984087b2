"""Exact on real Kafka, whatever dies: every reading counts once in the windows, every malformed
row is a dead letter once, and the state comes back from the compacted changelog."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.bounds import PARTITIONS
from tests.support.exact_readings import (
    SITES,
    ReadingsWorld,
    check_rejected,
    check_windows,
    raw_frames,
    readings,
    sites,
)
from tests.support.kafka_groups import group_offsets, wait_for_group
from tests.support.kafka_world import Worker, read_all, until, workers
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


@dataclass(frozen=True)
class Layout:
    """Which roles do the work: the one that holds state, and those beside it."""

    holder: str
    beside: tuple[str, ...]
    group: str
    """The group to which the holder commits how far its state is."""


SPLIT, FLOW = Layout("fleet", ("ingest",), "fleet"), Layout("flow", (), "ingest")


async def feed_through_crashes(
    world: ReadingsWorld,
    parts: list[list[tuple[int, bytes]]],
    start: Callable[..., Worker],
    layout: Layout,
) -> Worker:
    """Feed everything, killing the workers that hold state -9 after most of the parts.

    One joins and leaves; meanwhile the first is frozen for longer than its session, and wakes up
    when the other has gone on with its partitions.
    """
    fleet = start(layout.holder)
    second: Worker | None = None
    for i, part in enumerate(parts):
        await world.feed(part)
        if i == 2:
            second = start(layout.holder)
            await until(partial(holds_every_site, second), "the second worker to take part")
        elif second and i == 3:
            fleet.freeze()
        elif second and i == 4:
            await until(partial(holds_every_site, second), "the second worker to take over")
            fleet.thaw()
            await until(partial(holds_every_site, fleet), "the first to be one of them again")
            second.stop()
            second = None
        elif i < len(parts) - 1:
            await until_it_goes_on(world, layout)
            fleet.kill()
            fleet = start(layout.holder)
    return fleet


async def until_it_goes_on(world: ReadingsWorld, layout: Layout) -> None:
    """Wait until the group has committed more than now."""
    async with group_offsets(world.settings, layout.group, topics.TELEMETRY) as offsets:
        before = sum(await offsets.committed())

        async def beyond() -> bool:
            return sum(await offsets.committed()) > before

        await until(beyond, "the fleet to go on")


async def compact(settings: Settings, changelog: str) -> None:
    """Make the broker compact the changelog now, and wait until it has."""
    newest: dict[tuple[int, bytes], int] = {}
    records = await read_all(settings, changelog)
    newest.update({(r.partition, r.key): r.offset for r in records})
    superseded = {
        (r.partition, r.offset) for r in records if newest[r.partition, r.key] != r.offset
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        config = {
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.001",
            "max.compaction.lag.ms": "1",
        }
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, changelog, config)])
    finally:
        await admin.close()

    async def cleaned() -> bool:
        there = {(r.partition, r.offset) for r in await read_all(settings, changelog)}
        return len(superseded & there) < len(superseded) / 2

    await until(cleaned, "the broker to compact the changelog")


async def snapshot_of(worker: Worker) -> list[object]:
    """The state of some sites as the worker's pages show it, but for its time, which goes on."""
    pages = [
        await worker.get(f"/sites/home-{i:03}/{page}")
        for i in range(0, SITES, 25)
        for page in ("twin", "windows?size_s=900", "windows?size_s=60")
    ]
    return [
        {key: value for key, value in page.items() if key != "stream_time_ms"} for page in pages
    ]


@pytest.mark.parametrize(
    "layout",
    # Its two halves lose a broker in test_three_brokers.py, and die in the simulation.
    [pytest.param(SPLIT, marks=pytest.mark.nightly, id="split"), pytest.param(FLOW, id="flow")],
)
@pytest.mark.parametrize(
    ("seconds", "kills"), [(150, 2), pytest.param(1000, 5, marks=pytest.mark.nightly)]
)
async def test_exact_through_crashes_rebalances_and_compaction(
    topics_ready: Settings, tmp_path: Path, seconds: int, kills: int, layout: Layout
) -> None:
    rng = random.Random(42)
    arrivals = readings(rng, seconds)
    frames, malformed = raw_frames(arrivals, rng)
    cuts = sorted(rng.sample(range(1, len(frames)), kills + 2))
    parts = [frames[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    world = ReadingsWorld(topics_ready)
    await world.producer.start()
    try:
        with workers(topics_ready, tmp_path) as start:
            await world.import_assets()
            for role in layout.beside:
                start(role)
            fleet = await feed_through_crashes(world, parts, start, layout)
            await wait_for_group(topics_ready, "ingest", *topics.LIVE_RAW)
            await world.close_windows()
            await wait_for_group(topics_ready, layout.group, topics.TELEMETRY)
            check_windows(await world.windows(), arrivals)
            check_rejected(await world.rejected(), malformed)
            # Compacted while its worker runs: a segment is closed by the next write only.
            await compact(topics_ready, topics.STATE_FLEET.full(topics_ready.namespace))
            before = await snapshot_of(fleet)
            fleet.stop()
            fresh = start(layout.holder)
            await until(lambda: holds_every_site(fresh), "the fresh worker to recover")
            # It reads the earlier commands after the state, from another topic.
            await until(lambda: commands_every_site(fresh), "the fresh worker to know all commands")
            assert await snapshot_of(fresh) == before
    finally:
        await world.producer.stop()


async def holds_every_site(worker: Worker) -> bool:
    """Whether it answers for one site of each partition, by itself or through another worker."""
    return all([await worker.answers(f"/sites/{site_id}/twin") for site_id in one_of_each()])


async def commands_every_site(worker: Worker) -> bool:
    """Whether each partition's worker may command its devices."""
    return all([(await worker.get(f"/sites/{s}/twin"))["commanded"] for s in one_of_each()])


def one_of_each() -> list[str]:
    """One site of each partition."""
    return list({partition_of(s.site_id, PARTITIONS): s.site_id for s in sites()}.values())
