"""The region role on a real Kafka: shares in, regions out, whatever is killed when."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.assets import Site
from schemas.encoding import decode_json, encode_json
from schemas.health import Health
from schemas.windows import RegionLive, RegionPartial, RegionWindow, RegionWindowPartial
from tests.support.kafka_world import read_all, until
from tests.support.region_shares import live_share, window_share
from tests.support.waiting import PATIENCE_S
from vpp_streams import clock
from vpp_streams.domain.fleet.regions import expected_sites
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

T = TypeVar("T")
GIVE_UP_S = 60


class Worker:
    """A region worker in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        environment = {
            **os.environ,
            "VPP_KAFKA": settings.kafka,
            "VPP_NAMESPACE": settings.namespace,
            "VPP_SESSION_TIMEOUT_S": "6",
        }
        command = [sys.executable, "-m", "vpp_streams", "worker", "region"]
        self._process = subprocess.Popen(command, env=environment)

    def kill(self) -> None:
        """Kill -9: nothing is flushed, nothing is committed."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start_worker(topics_ready: Settings) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(topics_ready))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


class Region:
    """The topics around the role, from the outside."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, home: list[int]) -> None:
        self._settings = settings
        self._producer = producer
        self.partitions = home
        """Two partitions in which region north has a site."""

    async def put(self, value: RegionPartial | RegionWindowPartial | bytes | None) -> None:
        data = value if value is None or isinstance(value, bytes) else encode_json(value)
        topic = topics.REGION_PARTIALS.full(self._settings.namespace)
        await self._producer.send_and_wait(topic, data, key=b"north", partition=0)

    async def until(self, topic: Topic, kind: type[T], wanted: Callable[[T], bool]) -> list[T]:
        """All records of a topic from its start up to the first wanted one."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.kafka)
        await consumer.start()
        try:
            tp = TopicPartition(topic.full(self._settings.namespace), 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            seen: list[T] = []
            give_up = time.monotonic() + GIVE_UP_S
            while time.monotonic() < give_up:
                for record in (await consumer.getmany(timeout_ms=200)).get(tp, []):
                    seen.append(decode_json(record.value, kind))
                    if wanted(seen[-1]):
                        return seen
        finally:
            await consumer.stop()
        raise AssertionError(f"not seen on {topic.name} in {GIVE_UP_S} s, only {seen}")

    async def counted(self, **least: int) -> None:
        """Wait until a worker says that it has counted so many."""
        await self.until(
            topics.HEALTH,
            Health,
            lambda health: all(health.counters.get(n, 0) >= count for n, count in least.items()),
        )


@pytest_asyncio.fixture
async def region(topics_ready: Settings) -> AsyncIterator[Region]:
    sites = [Site("home-1", region="north")]
    registry = Registry(sites)
    i = 2
    while len(home := sorted(expected_sites(registry)["north"])) < 2:
        sites.append(Site(f"home-{i}", region="north"))
        registry.apply(sites[-1])
        i += 1
    producer = KafkaClients(topics_ready).producer()
    await producer.start()
    try:
        for site in sites:
            await producer.send_and_wait(
                topics.ASSETS.full(topics_ready.namespace),
                encode_json(site),
                key=site.site_id.encode(),
            )
        yield Region(topics_ready, producer, home)
    finally:
        await producer.stop()


JUNK: list[Any] = [
    b"\xff\xfe not json",
    b"{}",
    b"",
    None,
    b'{"type":"window","region":"north"}',
    encode_json(window_share(0)).replace(b'"partition":0', b'"partition":99'),
    encode_json(msgspec.structs.replace(window_share(0), size_s=0)),
]


async def test_live_and_windows_come_out_and_junk_costs_nobody_anything(
    region: Region, start_worker: Callable[[], Worker]
) -> None:
    first, second = region.partitions
    for junk in JUNK:
        await region.put(junk)
    for partition in (first, second):
        await region.put(window_share(partition))
    start_worker()

    (*_, window) = await region.until(
        topics.REGION_WINDOWS, RegionWindow, lambda window: window.sums.readings == 3600
    )
    assert (window.window_id, window.coverage) == (f"north|900|{window.start_ms}", 0.75)
    # Once the worker runs: how long that takes is how busy the machine is, and shares grow old.
    now_ms = clock.now_ms()
    for partition in (first, second):
        await region.put(live_share(partition, now_ms, fresh=((now_ms - 200, 5),)))
    told = await region.until(
        topics.REGION_LIVE, RegionLive, lambda live: live.partitions_reporting == 2
    )
    assert told[-1].aggregate.battery_w == 2_000.0
    assert sum(count for live in told for _, count in live.fresh_ages_ms) == 10
    await region.counted(records_rejected=len(JUNK), partials_in=4, live_out=1, windows_out=1)
    silent = await region.until(
        topics.REGION_LIVE, RegionLive, lambda live: live.partitions_reporting == 0
    )
    assert silent[-1].coverage == 0.0


async def test_killed_between_two_shares_the_next_worker_completes_the_window(
    region: Region, start_worker: Callable[[], Worker]
) -> None:
    first, second = region.partitions
    await region.put(window_share(first))
    worker = start_worker()
    await region.counted(partials_in=1)
    worker.kill()

    await region.put(window_share(second))
    start_worker()
    windows = await region.until(
        topics.REGION_WINDOWS, RegionWindow, lambda window: window.sums.readings == 3600
    )
    assert len(windows) == 1, "a window that lacks a share waits for it"

    await region.put(window_share(first, revision=1, energy_wh=80.0))
    (*_, corrected) = await region.until(
        topics.REGION_WINDOWS, RegionWindow, lambda window: window.sums.battery.energy_wh == 200.0
    )
    assert corrected.revision == windows[0].revision + 1


async def test_a_share_that_is_acked_is_in_the_table_even_with_nobody_to_read_it_again(
    region: Region, start_worker: Callable[[], Worker], topics_ready: Settings
) -> None:
    """As above, but the first share is in the changelog before the kill."""
    first, second = region.partitions
    await region.put(window_share(first))
    worker = start_worker()
    await _until_saved(topics_ready)
    worker.kill()

    await region.put(window_share(second))
    start_worker()
    await region.until(
        topics.REGION_WINDOWS, RegionWindow, lambda window: window.sums.readings == 3600
    )


async def test_a_second_worker_takes_over(
    region: Region, start_worker: Callable[[], Worker]
) -> None:
    first, second = region.partitions
    await region.put(window_share(first))
    one = start_worker()
    await region.counted(partials_in=1)
    start_worker()
    one.end()
    await region.put(window_share(second))
    await region.until(
        topics.REGION_WINDOWS, RegionWindow, lambda window: window.sums.readings == 3600
    )


async def _until_saved(settings: Settings) -> None:
    async def saved() -> bool:
        return bool(await read_all(settings, topics.STATE_REGION.full(settings.namespace)))

    await until(saved, "a snapshot")
