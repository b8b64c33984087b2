"""The complete loop on one machine: what `vpp up` starts, registers and measures."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import httpx
import msgspec

from schemas.assets import Site
from schemas.windows import RegionLive
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed, assets_into
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.local.drill import DrillReport, drill
from vpp_streams.local.loop_check import Expected, Report, Summary, is_warm, judge
from vpp_streams.local.supervisor import Spec, Supervisor
from vpp_streams.process.connection import onlooker
from vpp_streams.process.ports import free_port, is_free, is_loopback
from vpp_streams.settings import Settings
from vpp_streams.web.operators import access_file, make_demo_operator, read_access

DEMO_NAMESPACE = "demo"
MARKET_INTERVAL_S, MARKET_GATE_S = 60, 10.0
"""The demo's market times, unless the environment sets them: short, so that it trades soon."""
WARM_UP_S = 90.0
DRILL_S = 20.0
"""How long the dispatch drill of a check lasts at most."""
_POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFleet:
    """How many sites of each kind are simulated, and the seed of their differences."""

    homes: int
    solar: int
    megapacks: int
    seed: int


def with_free_ports(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings with each port that is taken replaced by a free one, and a message for each."""
    changed: dict[str, int] = {}
    for name in ("gateway_port", "web_port", "worker_port"):
        wanted = getattr(settings, name)
        if not is_free(settings.host, wanted):
            changed[name] = free_port()
    messages = [
        f"port {getattr(settings, name)} is taken: {name.removesuffix('_port')} is on {port}"
        for name, port in changed.items()
    ]
    return settings.model_copy(update=changed), messages


def with_a_quick_market(settings: Settings) -> Settings:
    """The settings with the demo's market times, where the environment sets none."""
    quick = {"market_interval_s": MARKET_INTERVAL_S, "market_gate_s": MARKET_GATE_S}
    chosen = settings.model_fields_set & quick.keys()
    return settings if chosen else settings.model_copy(update=quick)


@contextmanager
def demo_operator(settings: Settings) -> Iterator[tuple[Settings, str | None]]:
    """Let a person on this machine send requests during the block.

    Yields the settings with the operators' file, and the token of operator ``demo``. Where
    VPP_OPERATORS names a file, that file is used and the token is None.
    """
    if settings.operators is not None:
        yield settings, None
        return
    url = web_url(settings)
    path, access = make_demo_operator(settings.state_dir, settings.namespace, url)
    try:
        yield settings.model_copy(update={"operators": path}), access.token
    finally:
        path.unlink(missing_ok=True)
        if read_access(settings.state_dir) == access:
            access_file(settings.state_dir).unlink(missing_ok=True)


def specs(settings: Settings, fleet: DemoFleet) -> list[Spec]:
    """Every process of the loop, as the command line starts it."""
    environment = _environment(settings)
    # The demo's devices run here and their tokens are public: no other machine may connect.
    devices_host = settings.host if is_loopback(settings.host) else "127.0.0.1"
    commands = {
        "ingest": ("worker", "ingest"),
        "fleet": ("worker", "fleet", "--port", str(settings.worker_port)),
        "region": ("worker", "region"),
        "market": ("market", "--seed", str(fleet.seed)),
        "optimizer": ("worker", "optimizer"),
        "gateway": ("gateway", "--port", str(settings.gateway_port), "--slot", "0"),
        "web": ("web", "--port", str(settings.web_port)),
        "sim": (
            *("sim", "--homes", str(fleet.homes), "--solar", str(fleet.solar)),
            *("--megapacks", str(fleet.megapacks), "--seed", str(fleet.seed)),
            *("--url", f"ws://{devices_host}:{settings.gateway_port}", "--health"),
        ),
    }
    vpp = (sys.executable, "-m", "vpp_streams")
    special = {"gateway": {"VPP_HOST": devices_host}}
    return [
        Spec(name, (*vpp, *words), environment | special.get(name, {}))
        for name, words in commands.items()
    ]


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
        "VPP_MARKET_INTERVAL_S": str(settings.market_interval_s),
        "VPP_MARKET_GATE_S": str(settings.market_gate_s),
        "VPP_FLEET_URL": f"http://{settings.host}:{settings.worker_port}",
        **({"VPP_OPERATORS": str(settings.operators)} if settings.operators else {}),
        "PYTHONUNBUFFERED": "1",
    }


async def register(settings: Settings, sites: Sequence[Site]) -> None:
    """Create the topics and register the demo's sites.

    In the demo's own namespace, sites of an earlier demo that are not in this one are removed:
    they would count as silent for ever.
    """
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    registry = Registry()
    async with onlooker(clients).following(assets_into(registry)):
        known = {site.site_id: site for site in registry.sites()}
    records = [site for site in sites if known.get(site.site_id) != site]
    if settings.namespace == DEMO_NAMESPACE:
        gone = known.keys() - {site.site_id for site in sites}
        records += [msgspec.structs.replace(known[site_id], removed=True) for site_id in gone]
    async with producing(clients) as producer:
        outlet = Outlet(producer, settings.namespace)
        await asyncio.gather(*[await outlet.send(topics.ASSETS, site) for site in records])


async def read_summary(client: httpx.AsyncClient) -> Summary | None:
    """The web process's summary; None while it does not answer."""
    try:
        response = await client.get("/api/v1/summary")
        response.raise_for_status()
        return msgspec.json.decode(response.content, type=Summary)
    except (httpx.HTTPError, msgspec.DecodeError):
        return None


@asynccontextmanager
async def loop_running(supervisor: Supervisor) -> AsyncIterator[asyncio.Event]:
    """Run the processes during the block; all have ended after it.

    Yields the event that a first Ctrl-C or SIGTERM sets: the block should return then.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    running = asyncio.create_task(supervisor.run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await running
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def pause(stopping: asyncio.Event, seconds: float = _POLL_S) -> bool:
    """Wait for ``seconds`` or until ``stopping`` is set; False once it is."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
    return not stopping.is_set()


async def measure(
    settings: Settings,
    supervisor: Supervisor,
    expected: Expected,
    sites: Sequence[Site],
    stopping: asyncio.Event,
) -> Report:
    """Wait until the loop is warm (at most `WARM_UP_S`), measure it, run a drill, and judge it."""
    nothing = Summary(0, 0, 0, 0, 0)
    async with httpx.AsyncClient(base_url=web_url(settings), timeout=5.0) as client:
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
        restarts=supervisor.restarts,
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
        waited_s += _POLL_S
    return first


async def _collect_ages(settings: Settings, ages: Counter[int]) -> None:
    """Count the ages (ms) of the readings that regions report from now on."""

    def add(read: Read[RegionLive]) -> None:
        for age_ms, count in read.record.fresh_ages_ms:
            ages[age_ms] += count

    await onlooker(KafkaClients(settings)).follow(Feed(topics.REGION_LIVE, add, since_ms=None))


def web_url(settings: Settings) -> str:
    """URL of the dashboard."""
    return f"http://{settings.host}:{settings.web_port}"
