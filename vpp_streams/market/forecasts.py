"""The optimizer's forecasts of each region's load and solar power, every quarter of an hour."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import structlog

from schemas.forecast import RegionForecast
from schemas.windows import RegionWindow
from vpp_streams.domain.market.forecast.region import HISTORY_DAYS, forecast_region
from vpp_streams.domain.market.forecast.track import RegionTrack
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.awards import Send
from vpp_streams.process.duty import Begin, at_once
from vpp_streams.process.health import HealthReporter

log = structlog.get_logger()

READ_BACK_MS: dict[Topic[Any], int] = {
    topics.REGION_WINDOWS: HISTORY_DAYS * DAY_MS,
    # The first forecasts of the last day's slots are a day older than the slots; plus an hour.
    topics.REGION_FORECASTS: 2 * DAY_MS + HOUR_MS,
}
AGAIN_S = 60.0
"""Pause before forecasts start again after a failure."""


class RegionForecaster:
    """A forecast of a region as soon as its newest slot is measured.

    Its state is in topics, so that a successor publishes the same forecasts, and none twice.
    """

    def __init__(
        self,
        follower: Follower,
        health: HealthReporter,
        send: Send,
        now_ms: Callable[[], int],
        begin: Begin = at_once,
    ) -> None:
        self._follower = follower
        self._counters = health.counters
        self._send = send
        self._now_ms = now_ms
        self._begin = begin
        self._tracks: dict[str, RegionTrack] = defaultdict(RegionTrack)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow what is measured and forecast, for ever."""
        now_ms = self._now_ms()
        feeds = [
            Feed(topic, self.take, since_ms=now_ms - back_ms)
            for topic, back_ms in READ_BACK_MS.items()
        ]
        async with asyncio.TaskGroup() as group:
            # Earlier forecasts must be known, or they would be published again.
            await self._follower.follow_in(group, *feeds)
            await self._begin()
            while True:
                self._wake.clear()
                for region in list(self._tracks):
                    await self.publish(region)
                await self._wake.wait()

    def take(self, read: Read[RegionWindow | RegionForecast]) -> None:
        """Apply a record of an input topic."""
        track = self._tracks[read.record.region]
        match read.record:
            case RegionForecast():
                track.published(read.record)
            case RegionWindow():
                track.measured(read.record)
                self._wake.set()

    async def publish(self, region: str) -> None:
        """Publish a region's next forecast if one is due; a failed one is left out."""
        track, known_at_ms = self._tracks[region], self._now_ms()
        due = track.due()
        if due is None:
            return
        try:
            # Tens of milliseconds, which no bid should wait for.
            made = await asyncio.to_thread(
                forecast_region, region, due.start_ms, known_at_ms, due.load, due.solar
            )
        except Exception:  # a bug, and seen; the next slot and other regions go on
            self._counters["forecasts_failed"] += 1
            log.exception("a forecast failed", region=region, start_ms=due.start_ms)
            return
        if made is None:
            return
        await self._send(topics.REGION_FORECASTS, made)
        track.published(made)
        self._counters["forecasts"] += 1


async def forecast_for_ever(
    make: Callable[[], RegionForecaster], counters: Counter[str], again_s: float = AGAIN_S
) -> None:
    """Run forecasters, one after the other: no bid needs them, and none may end with one."""
    while True:
        try:
            await make().run()
        except Exception:  # of any kind: it is logged and counted, and bids go on
            counters["forecasters_failed"] += 1
            log.exception("forecasts stopped; they begin again", in_s=again_s)
        await asyncio.sleep(again_s)
