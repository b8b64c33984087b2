"""The optimizer as a process on a real Kafka: windows of regions in, their forecasts out, once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from schemas.encoding import encode_json
from schemas.forecast import RegionForecast
from schemas.windows import RegionWindow
from tests.support.kafka_world import read_all, until
from tests.support.market_world import Processes
from tests.support.web_records import region_window
from vpp_streams import clock
from vpp_streams.domain.market.forecast.region import SLOT_MS, SLOT_S, SLOTS, forecast_region
from vpp_streams.domain.market.forecast.track import RegionTrack
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

REGIONS = ("north", "south")
KNOWN = 2 * SLOTS
"""Slots that are measured before the optimizer starts."""
START_MS = (clock.now_ms() // SLOT_MS - KNOWN - 4) * SLOT_MS


@pytest.fixture
def processes(topics_ready: Settings, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(topics_ready, tmp_path)
    yield made
    made.kill_all()


async def write(settings: Settings, *values: bytes) -> None:
    producer = KafkaClients(settings).producer()
    await producer.start()
    try:
        name = topics.REGION_WINDOWS.full(settings.namespace)
        sent = [await producer.send(name, value, partition=0) for value in values]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def told(settings: Settings) -> list[RegionForecast]:
    records = await read_all(settings, topics.REGION_FORECASTS.full(settings.namespace))
    return [msgspec.json.decode(record.value, type=RegionForecast) for record in records]


async def until_told(settings: Settings, slots: int, *regions: str) -> None:
    """Until the newest windows of regions, those of so many slots, were forecast from."""

    async def all_told() -> bool:
        newest = {made.region: made.start_ms for made in await told(settings)}
        return all(newest.get(r) == START_MS + slots * SLOT_MS for r in regions)

    await until(all_told, f"forecasts of {', '.join(regions)} after {slots} slots")


def windows(slot: int, *regions: str) -> list[RegionWindow]:
    load_w = 20_000.0 + 100.0 * (slot % SLOTS) + (7.0 if slot >= KNOWN else 0.0)
    return [
        region_window(r, START_MS + slot * SLOT_MS, SLOT_S, mean_load_w=load_w, coverage=1.0)
        for r in regions or REGIONS
    ]


def as_a_fold_would(measured: list[RegionWindow], before: list[RegionForecast]) -> RegionTrack:
    track = RegionTrack()
    for window in measured:
        track.measured(window)
    for made in before:
        track.published(made)
    return track


async def test_each_slot_is_forecast_from_once_whatever_is_killed(
    topics_ready: Settings, processes: Processes
) -> None:
    measured = [window for slot in range(KNOWN) for window in windows(slot)]
    minutes = (region_window(r, START_MS + KNOWN * SLOT_MS, 60) for r in REGIONS)
    await write(topics_ready, b"no window", *map(encode_json, [*measured, *minutes]))
    processes.start("optimizer")
    await until_told(topics_ready, KNOWN, *REGIONS)
    for slot in (KNOWN, KNOWN + 1):
        await write(topics_ready, *map(encode_json, windows(slot)))
        measured += windows(slot)
        await until_told(topics_ready, slot + 1, *REGIONS)
        processes.kill("optimizer")
        # The successor comes to a new region last: what else it has to say is in the topic then.
        new = windows(slot, f"new-{slot}")
        await write(topics_ready, *map(encode_json, new))
        processes.start("optimizer")
        await until_told(topics_ready, slot + 1, f"new-{slot}")
    await write(topics_ready, *map(encode_json, windows(KNOWN + 2)))
    measured += windows(KNOWN + 2)
    await until_told(topics_ready, KNOWN + 3, *REGIONS)
    every = await told(topics_ready)
    for region in REGIONS:
        mine = [made for made in every if made.region == region]
        starts = [START_MS + slot * SLOT_MS for slot in range(KNOWN, KNOWN + 4)]
        assert [made.start_ms for made in mine] == starts
        assert {made.load.by for made in mine} == {"profile"}
        accuracy = mine[-1].load.accuracy
        assert accuracy is not None
        assert (accuracy.slots, accuracy.error_w) == (3, pytest.approx(7.0, abs=0.06))
        track = as_a_fold_would([w for w in measured if w.region == region], mine[:-1])
        due = track.due()
        assert due is not None
        again = forecast_region(region, due.start_ms, mine[-1].known_at_ms, due.load, due.solar)
        assert again == mine[-1]
    assert np.isclose(every[0].load.mean_w[1], 20_100.0)
