"""Topics that are deleted and made again under a running fleet worker, on real Kafka (K5).

It ends up exact for the new log, or ends with the reason and is exact after it was started again.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import HEADER_STREAM_TIME, encode_frame, encode_json, frame_headers
from schemas.telemetry import SCHEMA_NAME
from tests.support.kafka_groups import wait_for_group
from tests.support.kafka_world import Worker, make_again, until, workers
from tests.support.telemetry_factory import make_batch
from tests.support.waiting import PATIENCE_S
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.gateway.server import running_gateway
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

T0 = 1_800_000_000_000
MINUTE_MS = 60_000
WH = 3600.0 * 1 / 3600
"""Of a reading: 3600 W for a second."""

Windows = dict[int, tuple[int, float]]
"""Start -> readings, and the battery's energy in Wh."""


def site_in(partition: int) -> str:
    return next(s for i in range(1000) if partition_of(s := f"home-{i}", 8) == partition)


SITES = [site_in(partition) for partition in range(PARTITIONS)]


async def register(settings: Settings) -> None:
    """Write every site to ``assets``."""
    name = topics.ASSETS.full(settings.namespace)
    async with producing(KafkaClients(settings)) as producer:
        for partition, site_id in enumerate(SITES):
            site = Site(site_id, "north", (Device(f"{site_id}-pw", "powerwall"),))
            await producer.send_and_wait(
                name, encode_json(site), key=site_id.encode(), partition=partition
            )


async def feed(settings: Settings, minute: int, readings: int) -> None:
    """Write so many readings of each site in a minute, a frame each."""
    name = topics.TELEMETRY.full(settings.namespace)
    async with producing(KafkaClients(settings)) as producer:
        for partition, site_id in enumerate(SITES):
            for second in range(readings):
                at_ms = T0 + minute * MINUTE_MS + second * 1000
                row = {
                    "device_id": f"{site_id}-pw",
                    "site_id": site_id,
                    "seq": minute * 100 + second,
                    "measured_at_ms": at_ms,
                    "received_at_ms": at_ms,
                    "battery_w": 3600.0,
                }
                headers = frame_headers(SCHEMA_NAME, "test/0", f"{minute}-{second}")
                headers[HEADER_STREAM_TIME] = str(at_ms).encode()
                await producer.send(
                    name,
                    encode_frame(make_batch([row])),
                    partition=partition,
                    headers=list(headers.items()),
                )
        await producer.flush()


async def windows_of(worker: Worker, site_id: str) -> Windows:
    page = await worker.get(f"/sites/{site_id}/windows?size_s=60")
    return {
        w["start_ms"]: (w["readings"], round(w["battery"]["energy_wh"], 6)) for w in page["windows"]
    }


def expected(**readings: int) -> Windows:
    """What ``m0=3, m1=5`` readings in minutes 0 and 1 are as windows."""
    return {
        T0 + int(minute[1:]) * MINUTE_MS: (count, round(count * WH, 6))
        for minute, count in readings.items()
    }


async def until_all_show(worker: Worker, wanted: Windows) -> None:
    """Wait until the worker's pages show these windows of every site, and no others."""

    async def shown() -> bool:
        for site_id in SITES:
            if not await worker.answers(f"/sites/{site_id}/windows?size_s=60"):
                return False
            if await windows_of(worker, site_id) != wanted:
                return False
        return True

    await until(shown, f"windows of every site to be {wanted}")


async def until_ended(worker: Worker) -> None:
    async def ended() -> bool:
        return worker.process.poll() is not None

    await until(ended, "the worker to end")


@pytest.mark.parametrize(
    "readings",
    [pytest.param(2, marks=pytest.mark.nightly, id="shorter"), pytest.param(5, id="longer")],
)
async def test_telemetry_made_again_while_it_is_read(
    topics_ready: Settings, tmp_path: Path, readings: int
) -> None:
    """The worker is stopped meanwhile, so that the new log may be longer when it looks again."""
    await register(topics_ready)
    await feed(topics_ready, minute=0, readings=3)
    with workers(topics_ready, tmp_path) as start:
        worker = start("fleet")
        await until_all_show(worker, expected(m0=3))
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
        worker.freeze()
        await make_again(topics_ready, topics.TELEMETRY)
        await feed(topics_ready, minute=1, readings=readings)
        worker.thaw()
        await until_all_show(worker, expected(m0=3, m1=readings))
        await feed(topics_ready, minute=2, readings=4)
        await until_all_show(worker, expected(m0=3, m1=readings, m2=4))
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
        worker.kill()
        await until_all_show(start("fleet"), expected(m0=3, m1=readings, m2=4))


async def test_seats_made_again_are_shared_out_again(
    topics_ready: Settings, tmp_path: Path
) -> None:
    """Without them the group gives nobody anything: for five minutes all stood still."""
    await register(topics_ready)
    await feed(topics_ready, minute=0, readings=3)
    with workers(topics_ready, tmp_path) as start:
        worker = start("fleet")
        await until_all_show(worker, expected(m0=3))
        await make_again(topics_ready, topics.SEATS_FLEET)
        await feed(topics_ready, minute=1, readings=5)
        await until_all_show(worker, expected(m0=3, m1=5))


async def test_a_gateway_ends_where_nobody_knows_its_connections_any_more(
    topics_ready: Settings,
) -> None:
    """Its devices stayed connected, and could not be commanded until they came again."""
    settings = topics_ready.model_copy(update={"gateway_port": 0})
    async with running_gateway(settings) as gateway:
        await make_again(settings, topics.PRESENCE)
        ended, _ = await asyncio.wait(
            gateway.background, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
    reasons = [str(task.exception()) for task in ended]
    assert len(reasons) == 1
    assert "presence was deleted and made again" in reasons[0]


async def nothing(_settings: Settings) -> None:
    """What is written to a topic anew, where nothing is."""


@pytest.mark.parametrize(
    ("topic", "refill"),
    [
        (topics.STATE_FLEET, nothing),
        (topics.ASSETS, register),
        (topics.COMMANDS, nothing),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_a_worker_ends_where_what_it_knows_was_made_again(
    topics_ready: Settings,
    tmp_path: Path,
    topic: Topic[Any],
    refill: Callable[[Settings], Any],
) -> None:
    await register(topics_ready)
    await feed(topics_ready, minute=0, readings=3)
    with workers(topics_ready, tmp_path) as start:
        first = start("fleet")
        await until_all_show(first, expected(m0=3))
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
        await make_again(topics_ready, topic)
        await refill(topics_ready)
        await feed(topics_ready, minute=1, readings=5)
        await until_ended(first)
        assert f"{topic.full(topics_ready.namespace)} was deleted and made again" in first.why()
        second = start("fleet")
        await until_all_show(second, expected(m0=3, m1=5))
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
        second.kill()
        await until_all_show(start("fleet"), expected(m0=3, m1=5))
