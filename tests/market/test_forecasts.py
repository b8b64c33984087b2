"""The forecaster in the optimizer: what fails in it is seen, and costs neither others nor bids."""

import asyncio
from collections import Counter
from typing import Any, cast

import msgspec
import pytest

from schemas.encoding import encode_json
from schemas.forecast import RegionForecast
from tests.support.kafka_raw import Raw, take
from tests.support.web_records import NOW_MS, region_window
from vpp_streams.domain.market.forecast.region import SLOT_MS, forecast_region
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market import forecasts as region_forecasts
from vpp_streams.market.forecasts import RegionForecaster, forecast_for_ever
from vpp_streams.process.connection import onlooker
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

START_MS = NOW_MS - NOW_MS % SLOT_MS


class Told:
    """A forecaster, and what it sent."""

    def __init__(self) -> None:
        self.health = HealthReporter("optimizer")
        self.sent: list[RegionForecast] = []
        self.forecaster = RegionForecaster(
            onlooker(KafkaClients(Settings())), self.health, self._send, lambda: NOW_MS
        )

    async def _send(self, topic: Topic, record: msgspec.Struct) -> None:
        assert topic is topics.REGION_FORECASTS
        assert isinstance(record, RegionForecast)
        self.sent.append(record)

    def read(self, topic: Topic, value: bytes | None) -> None:
        feed = Feed(topic, self.forecaster.take)
        take(feed, Raw(value), self.health.counters)

    async def slot(self, number: int, *regions: str) -> None:
        for region in regions:
            window = region_window(region, START_MS + number * SLOT_MS)
            self.read(topics.REGION_WINDOWS, encode_json(window))
        for region in regions:
            await self.forecaster.publish(region)


@pytest.fixture
def told() -> Told:
    return Told()


async def test_each_region_is_told_of_once_with_what_is_known_when(told: Told) -> None:
    await told.slot(0, "north", "south")
    await told.forecaster.publish("north")
    assert [made.region for made in told.sent] == ["north", "south"]
    assert {(made.start_ms, made.known_at_ms) for made in told.sent} == {
        (START_MS + SLOT_MS, NOW_MS)
    }
    assert told.health.counters["forecasts"] == 2
    await told.slot(1, "north")
    accuracy = told.sent[-1].load.accuracy
    assert accuracy is not None, "also before the topic has brought it back"
    assert accuracy.slots == 1


async def test_what_another_told_is_not_told_again(told: Told) -> None:
    await told.slot(0, "north")
    successor = Told()
    successor.read(topics.REGION_FORECASTS, encode_json(told.sent[0]))
    await successor.slot(0, "north")
    assert successor.sent == []
    await successor.slot(1, "north")
    accuracy = successor.sent[0].load.accuracy
    assert accuracy is not None
    assert accuracy.slots == 1


async def test_a_forecast_that_fails_is_counted_and_the_others_go_on(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = forecast_region

    def fails_in_north_once(region: str, start_ms: int, *known: Any) -> RegionForecast | None:
        if region == "north" and start_ms == START_MS + SLOT_MS:
            raise ZeroDivisionError
        return make(region, start_ms, *known)

    monkeypatch.setattr(region_forecasts, "forecast_region", fails_in_north_once)
    await told.slot(0, "north", "south")
    await told.forecaster.publish("north")
    assert [made.region for made in told.sent] == ["south"]
    assert told.health.counters["forecasts_failed"] == 1, "not tried again with the same slots"
    await told.slot(1, "north")
    assert told.sent[-1].start_ms == START_MS + 2 * SLOT_MS


async def test_a_record_that_cannot_be_read_is_counted_and_left_out(told: Told) -> None:
    for value in (b"{", b'{"region": 5}', None):
        told.read(topics.REGION_WINDOWS, value)
        told.read(topics.REGION_FORECASTS, value)
    assert told.health.counters["records_rejected"] == 6
    await told.slot(0, "north")
    assert len(told.sent) == 1


async def test_a_forecaster_that_ends_is_counted_and_followed_by_another() -> None:
    counters: Counter[str] = Counter()
    started, third = [], asyncio.Event()

    class Ends:
        async def run(self) -> None:
            started.append(self)
            if len(started) < 3:
                raise OSError("no broker")
            third.set()
            await asyncio.Event().wait()

    work = asyncio.create_task(forecast_for_ever(cast(Any, Ends), counters, again_s=0))
    waiting = asyncio.create_task(third.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert not work.done(), "nothing that fails in it reaches who bids"
    assert counters["forecasters_failed"] == 2
    assert len(set(started)) == 3, "each begins anew with what the topics say"
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
