"""Exact on real Kafka, whatever dies: every reading counts once in the windows, every malformed
row is a dead letter once, and the state comes back from the compacted changelog."""

import base64
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
import pandas as pd
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import HEADER_WATERMARK, decode_json, encode_frame, encode_json, frame_headers
from schemas.telemetry import SCHEMA_NAME, Rejected
from schemas.windows import SiteWindow
from tests.support.kafka_groups import progress, wait_for_group
from tests.support.kafka_world import Worker, read_all, until, workers
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

SITES = 300
T0 = 1_800_000_000_000
HOUR_MS = 3_600_000
FRAME_ROWS = 500


def sites() -> list[Site]:
    return [
        Site(f"home-{i:03}", f"region-{i % 3}",
             (Device(f"home-{i:03}-pw", "powerwall", rated_energy_wh=13_500),))
        for i in range(SITES)
    ]  # fmt: skip


def readings(rng: random.Random, seconds: int) -> pd.DataFrame:
    """What the devices measured, in the order in which it arrives: 20 % out of order, 5 % late."""
    n = SITES * seconds
    frame = pd.DataFrame(
        {
            "site": [i // seconds for i in range(n)],
            "seq": [i % seconds for i in range(n)],
            "battery_w": [rng.uniform(-5000, 5000) for _ in range(n)],
            "soc": [rng.random() for _ in range(n)],
            "measured_at_ms": [T0 + i % seconds * 1000 + rng.randrange(900) for i in range(n)],
        }
    )
    late = [rng.random() < 0.05 for _ in range(n)]
    frame.loc[late, "measured_at_ms"] -= [
        rng.randrange(HOUR_MS, 3 * HOUR_MS) for _ in range(sum(late))
    ]
    frame["received_at_ms"] = T0 + frame.seq * 1000 + 1000
    disorder = pd.Series([rng.uniform(0, 20) if rng.random() < 0.2 else 0 for _ in range(n)])
    frame["at"] = frame.seq + disorder
    again = frame.sample(frac=0.1, random_state=rng.randrange(2**31)).assign(
        at=lambda f: f["at"] + 3
    )
    return pd.concat([frame, again]).sort_values("at", kind="stable").reset_index(drop=True)


def raw_frames(
    arrivals: pd.DataFrame, rng: random.Random
) -> tuple[list[tuple[int, bytes]], list[bytes]]:
    """(partition, NDJSON frame) in order of arrival, and the 1 % of malformed lines in them."""
    by_partition: dict[int, list[bytes]] = {p: [] for p in range(PARTITIONS)}
    frames: list[Any] = []
    malformed: list[Any] = []
    for row in arrivals.itertuples():
        site_id = f"home-{row.site:03}"
        partition = partition_of(site_id, PARTITIONS)
        lines = by_partition[partition]
        body = {"t": row.measured_at_ms, "p": row.battery_w, "soc": row.soc}
        line = {"device_id": f"{site_id}-pw", "received_at_ms": row.received_at_ms,
                "boot": "a1", "seq": row.seq, "body": body}  # fmt: skip
        lines.append(orjson.dumps(line))
        if rng.random() < 0.01:
            bad = b'{"device_id":"%s","seq":%d,"oops' % (site_id.encode(), len(malformed))
            malformed.append(bad)
            lines.append(bad)
        if len(lines) >= FRAME_ROWS:
            frames.append((partition, b"\n".join(lines)))
            by_partition[partition] = []
    frames += [(p, b"\n".join(lines)) for p, lines in by_partition.items() if lines]
    return frames, malformed


def expected_windows(arrivals: pd.DataFrame, size_s: int) -> pd.DataFrame:
    """The same by pandas: dedupe, split at the window's end, group."""
    size = size_s * 1000
    frame = arrivals.drop_duplicates(["site", "seq"]).copy()
    frame["start_ms"] = frame.measured_at_ms // size * size
    frame["n"], frame["ms"] = 1, (frame.start_ms + size - frame.measured_at_ms).clip(upper=1000)
    rest = frame[frame.ms < 1000].assign(
        n=0, ms=lambda f: 1000 - f.ms, start_ms=lambda f: f.start_ms + size
    )
    both = pd.concat([frame, rest])
    both["wh"] = both.battery_w * both.ms / 3.6e6
    return both.groupby(["site", "start_ms"]).agg(
        n=("n", "sum"), wh=("wh", "sum"), ms=("ms", "sum"), low=("battery_w", "min"),
        high=("battery_w", "max"), soc_low=("soc", "min"), soc_high=("soc", "max"),
    )  # fmt: skip


class World:
    """The producer's side of the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = KafkaClients(settings).producer()

    def name(self, topic: Topic) -> str:
        return topic.full(self.settings.namespace)

    async def import_assets(self) -> None:
        for site in sites():
            partition = partition_of(site.site_id, PARTITIONS)
            await self.producer.send(
                self.name(topics.ASSETS),
                encode_json(site),
                key=site.site_id.encode(),
                partition=partition,
            )
        await self.producer.flush()

    async def feed(self, frames: list[tuple[int, bytes]]) -> None:
        for partition, frame in frames:
            await self.producer.send(self.name(topics.RAW_POWERWALL), frame, partition=partition)
        await self.producer.flush()

    async def close_windows(self) -> None:
        """What a replay sends at its end: nothing older follows."""
        headers = frame_headers(SCHEMA_NAME, "test", "end")
        headers[HEADER_WATERMARK] = str(T0 + HOUR_MS).encode()
        for partition in range(PARTITIONS):
            await self.producer.send_and_wait(
                self.name(topics.TELEMETRY), encode_frame(make_batch([])), partition=partition,
                headers=list(headers.items()),
            )  # fmt: skip

    async def windows(self) -> dict[str, SiteWindow]:
        """Each window at its newest revision."""
        newest: dict[str, SiteWindow] = {}
        for record in await read_all(self.settings, self.name(topics.SITE_WINDOWS)):
            window = decode_json(record.value, SiteWindow)
            if window.revision >= getattr(newest.get(window.window_id), "revision", 0):
                newest[window.window_id] = window
        return newest

    async def rejected(self) -> list[Rejected]:
        records = await read_all(self.settings, self.name(topics.TELEMETRY_REJECTED))
        return [decode_json(record.value, Rejected) for record in records]


async def feed_through_crashes(
    world: World, parts: list[list[tuple[int, bytes]]], start: Callable[..., Worker]
) -> Worker:
    """Feed everything, killing fleet workers -9 after most of the parts.

    One joins and leaves; meanwhile the first is frozen for longer than its session, and wakes up
    when the other has gone on with its partitions.
    """
    fleet = start("fleet")
    second: Worker | None = None
    for i, part in enumerate(parts):
        await world.feed(part)
        if i == 2:
            second = start("fleet")
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
            before = await progress(world.settings, "fleet", topics.TELEMETRY)
            await until(partial(fleet_beyond, world, before), "the fleet to go on")
            fleet.kill()
            fleet = start("fleet")
    return fleet


async def fleet_beyond(world: World, n: int) -> bool:
    return await progress(world.settings, "fleet", topics.TELEMETRY) > n


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
    ("seconds", "kills"), [(150, 2), pytest.param(1000, 5, marks=pytest.mark.nightly)]
)
async def test_exact_through_crashes_rebalances_and_compaction(
    topics_ready: Settings, tmp_path: Path, seconds: int, kills: int
) -> None:
    rng = random.Random(42)
    arrivals = readings(rng, seconds)
    frames, malformed = raw_frames(arrivals, rng)
    cuts = sorted(rng.sample(range(1, len(frames)), kills + 2))
    parts = [frames[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    world = World(topics_ready)
    await world.producer.start()
    try:
        with workers(topics_ready, tmp_path) as start:
            await world.import_assets()
            start("ingest")
            fleet = await feed_through_crashes(world, parts, start)
            await wait_for_group(topics_ready, "ingest", *topics.LIVE_RAW)
            await world.close_windows()
            await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
            check_windows(await world.windows(), arrivals)
            check_rejected(await world.rejected(), malformed)
            # Compacted while its worker runs: a segment is closed by the next write only.
            await compact(topics_ready, topics.STATE_FLEET.full(topics_ready.namespace))
            before = await snapshot_of(fleet)
            fleet.stop()
            fresh = start("fleet")
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


def check_windows(windows: dict[str, SiteWindow], arrivals: pd.DataFrame) -> None:
    for size_s in (60, 900):
        expected = expected_windows(arrivals, size_s)
        got = {w.window_id: w for w in windows.values() if w.size_s == size_s}
        assert len(got) == len(expected)
        for key, row in expected.iterrows():
            site, start_ms = cast(tuple[int, int], key)
            window = got[f"home-{site:03}|{size_s}|{start_ms}"]
            assert window.readings == row.n
            assert window.battery is not None
            assert window.battery.energy_wh == pytest.approx(row.wh, rel=1e-9, abs=1e-9)
            assert (window.battery.min_w, window.battery.max_w) == (row.low, row.high)
            assert window.coverage == pytest.approx(min(row.ms / 1000 / size_s, 1.0))
            assert window.soc is not None
            assert window.soc.min == pytest.approx(row.soc_low, rel=1e-12)
            assert window.soc.max == pytest.approx(row.soc_high, rel=1e-12)
        readings_in_all = SITES * arrivals.seq.nunique()
        assert sum(w.readings for w in got.values()) == readings_in_all


def check_rejected(rejected: list[Rejected], malformed: list[bytes]) -> None:
    originals = {r.rejected_id: base64.b64decode(r.original_base64) for r in rejected}
    assert sorted(originals.values()) == sorted(malformed)
    assert {r.reason for r in rejected} == {"bad_json"}
