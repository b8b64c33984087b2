"""Measures the complete loop on one machine, from the web process's answers and from Kafka."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec

from schemas.assets import Site
from schemas.windows import RegionLive
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.local.demo import POLL_S, pause, web_url
from vpp_streams.local.drill import DrillReport, drill
from vpp_streams.local.loop_check import Expected, Report, Summary, is_warm, judge
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

WARM_UP_S = 90.0
DRILL_S = 20.0
"""How long the dispatch drill of a check lasts at most."""


async def measure(
    settings: Settings,
    restarts: Callable[[], Mapping[str, int]],
    expected: Expected,
    sites: Sequence[Site],
    *,
    stopping: asyncio.Event,
    token: str,
) -> Report:
    """Wait until the loop is warm (at most `WARM_UP_S`), measure it, run a drill, and judge it.

    ``restarts`` gives how often each process has been started again, by its name. ``token`` reads
    the web process's summary.
    """
    nothing = Summary(0, 0, 0, 0, 0)
    async with summary_client(settings, token) as client:
        first = await _until_warm(client, expected, stopping)
        ages: Counter[int] = Counter()
        collecting = asyncio.create_task(_collect_ages(settings, ages))
        try:
            await pause(stopping, expected.seconds)
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
        last = await read_summary(client)
    dispatch = None
    if not stopping.is_set():
        dispatch = await _drill_all(settings, sites, min(expected.seconds, DRILL_S))
    return judge(
        first or nothing,
        last or nothing,
        ages=ages,
        expected=expected,
        restarts=restarts(),
        dispatch=dispatch,
    )


async def _drill_all(settings: Settings, sites: Sequence[Site], seconds: float) -> DrillReport:
    """Drill every region that has a battery."""
    region_of = {device.device_id: site.region for site in sites for device in site.devices}
    with_batteries = {s.region for s in sites if any(d.rated_energy_wh for d in s.devices)}
    return await drill(settings, with_batteries, region_of, seconds)


async def _until_warm(
    client: httpx.AsyncClient, expected: Expected, stopping: asyncio.Event
) -> Summary | None:
    """The first summary, once the loop is warm or `WARM_UP_S` are over."""
    first: Summary | None = None
    waited_s = 0.0
    while waited_s < WARM_UP_S and await pause(stopping):
        summary = await read_summary(client)
        first = first or summary
        if summary and is_warm(summary, expected):
            break
        waited_s += POLL_S
    return first


async def _collect_ages(settings: Settings, ages: Counter[int]) -> None:
    """Count the ages (ms) of the readings that regions report from now on."""

    def add(read: Read[RegionLive]) -> None:
        for age_ms, count in read.record.fresh_ages_ms:
            ages[age_ms] += count

    await onlooker(KafkaClients(settings)).follow(Feed(topics.REGION_LIVE, add, since_ms=None))


def summary_client(settings: Settings, token: str) -> httpx.AsyncClient:
    """A client of the demo's web process, for `read_summary`."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=web_url(settings), timeout=5.0, headers=headers)


async def read_summary(client: httpx.AsyncClient) -> Summary | None:
    """The web process's summary; None while it does not answer."""
    try:
        response = await client.get("/api/v1/summary")
        response.raise_for_status()
        return msgspec.json.decode(response.content, type=Summary)
    except (httpx.HTTPError, msgspec.DecodeError):
        return None
