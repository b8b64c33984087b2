"""The complete loop on one machine: what `vpp up` starts and registers."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass

from schemas.assets import Site
from schemas.programs import Enrolment, Program, Rate, Tariff
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.accounts.people import Account
from vpp_streams.accounts.sessions import MOST_TOKEN_DAYS, Sessions
from vpp_streams.domain.access.rights import PLANT, Grant, Role
from vpp_streams.domain.registry.states import continued, in_state
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.local.edge_homes import prepared
from vpp_streams.local.site_import import read_registry
from vpp_streams.local.supervisor import Spec, Supervisor
from vpp_streams.process.ports import free_port, is_free, is_loopback
from vpp_streams.serving.operators import access_file, make_demo_operator, read_access
from vpp_streams.settings import Settings

DEMO_NAMESPACE = "demo"
MARKET_INTERVAL_S, MARKET_GATE_S = 60, 10.0
"""The demo's market times, unless the environment sets them: short, so that it trades soon."""
POLL_S = 1.0
STATUS_PORT = "VPP_STATUS_PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFleet:
    """How many sites of each kind are simulated, and the seed of their differences."""

    homes: int
    solar: int
    megapacks: int
    seed: int
    edge: int = 0
    """Homes beside them whose agents are processes of their own; see `edge_homes`."""


def with_free_ports(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings with each port that is taken replaced by a free one, and a message for each."""
    changed: dict[str, int] = {}
    for name in ("gateway_port", "web_port", "worker_port", "rpc_port"):
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


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """How the person who started a demo, and `vpp up` itself, get into its web process."""

    link: str
    """Address that signs one browser in, once, as account ``demo``."""
    reader: str
    """Token with which `vpp up` reads the summary."""


@contextmanager
def demo_account(settings: Settings, role: Role) -> Iterator[DemoKeys]:
    """Let a browser of this machine sign in as account ``demo`` during the block.

    Its role applies to the complete plant. After the block its sessions and tokens have ended; the
    other accounts of the file stay.
    """
    accounts = Accounts(accounts_file(settings))
    people, sessions = accounts.people, accounts.sessions
    grant = Grant(role, PLANT)
    with closing(accounts):
        account = people.find("name", "demo")
        if account is None:
            account = people.add("demo", [grant], at_ms=clock.now_ms())
        for other in account.grants:
            people.take(account, other)
        people.grant(account, grant)
        _end_all(sessions, account)
        reader = sessions.add_token(
            account, "vpp up", ("read_region",), now_ms=clock.now_ms(), days=MOST_TOKEN_DAYS
        )
        word = sessions.add_link(account, "sign_in", clock.now_ms())
        try:
            yield DemoKeys(f"{web_url(settings)}/sign-in.html#link={word}", reader)
        finally:
            _end_all(sessions, account)


def _end_all(sessions: Sessions, account: Account) -> None:
    sessions.end_all(account)
    for token in sessions.tokens(account, clock.now_ms()):
        sessions.end_token(account, token.key)


STANDBYS = ("region", "market", "optimizer", "settlement", "incidents")
"""Roles of which one instance works, and others may stand by."""


def specs(
    settings: Settings,
    fleet: DemoFleet,
    *,
    standby: bool = False,
    gateways: int = 1,
    split: bool = False,
) -> list[Spec]:
    """Every process of the loop, as the command line starts it.

    With ``standby``, two of each role of `STANDBYS`. Several ``gateways`` share one port, and each
    has a slot of its own. With ``split``, ingest and fleet are two workers instead of one (flow).
    """
    environment = _environment(settings)
    # The demo's devices run here and their tokens are public: no other machine may connect.
    devices_host = settings.host if is_loopback(settings.host) else "127.0.0.1"
    gateway = f"ws://{devices_host}:{settings.gateway_port}"
    commands = {
        **_hot_path(settings.worker_port, split=split),
        "region": ("worker", "region"),
        "market": ("market", "--seed", str(fleet.seed)),
        "optimizer": ("worker", "optimizer"),
        "settlement": ("settlement", "run"),
        "historian": ("worker", "historian"),
        **_gateways(settings.gateway_port, gateways),
        "incidents": ("incidents", "run"),
        "web": ("web", "--port", str(settings.web_port)),
        "rpc": ("rpc", "--port", str(settings.rpc_port)),
        "sim": (
            *("sim", "--homes", str(fleet.homes), "--solar", str(fleet.solar)),
            *("--megapacks", str(fleet.megapacks), "--seed", str(fleet.seed)),
            *("--url", gateway, "--health"),
        ),
    }
    if standby:
        commands |= {f"{name}-standby": commands[name] for name in STANDBYS}
    vpp = (sys.executable, "-m", "vpp_streams")
    # The gRPC services of the demo speak no TLS: tokens must not leave this machine.
    here = {"VPP_HOST": devices_host}
    ports = status_ports(settings, list(commands))
    return [
        Spec(
            name,
            (*vpp, *words),
            environment | (here if words[0] in ("gateway", "rpc") else {}) | ports.get(name, {}),
        )
        for name, words in commands.items()
    ] + [
        spec for home in prepared(settings, fleet.edge, gateway) for spec in home.specs(environment)
    ]


def _hot_path(port: int, *, split: bool) -> dict[str, tuple[str, ...]]:
    """The commands from raw frames to twins and windows, by name; twins are served on the port."""
    pages = ("--port", str(port))
    if split:
        return {"ingest": ("worker", "ingest"), "fleet": ("worker", "fleet", *pages)}
    return {"flow": ("worker", "flow", *pages)}


def _gateways(port: int, count: int) -> dict[str, tuple[str, ...]]:
    """The commands of gateways on one port, by name; the kernel spreads connections over them."""
    share = ("--share-port",) if count > 1 else ()
    return {
        f"gateway-{slot + 1}" if slot else "gateway": (
            *("gateway", "--port", str(port), "--slot", str(slot)),
            *share,
        )
        for slot in range(count)
    }


def status_ports(settings: Settings, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The variable with the status port of each process: one after another from the setting's."""
    first = settings.status_port
    if first is None:
        return {}
    return {name: {STATUS_PORT: str(first + n if first else 0)} for n, name in enumerate(names)}


def status_line(specs: Sequence[Spec]) -> str:
    """The status ports of processes, for a person."""
    ports = {spec.name: spec.environment.get(STATUS_PORT) for spec in specs}
    named = (f"{name} {port}" for name, port in ports.items() if port)
    return f"status ports (/livez, /readyz, /metrics): {', '.join(named)}"


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
        "VPP_MARKET_INTERVAL_S": str(settings.market_interval_s),
        "VPP_MARKET_GATE_S": str(settings.market_gate_s),
        "VPP_MARKET_METERED_AT": settings.market_metered_at,
        "VPP_HISTORY": str(settings.history_dir),
        "VPP_FLEET_URL": f"http://{settings.host}:{settings.worker_port}",
        **({"VPP_INCIDENTS": str(settings.incidents)} if settings.incidents else {}),
        **({"VPP_OPERATORS": str(settings.operators)} if settings.operators else {}),
        "VPP_ACCOUNTS": str(accounts_file(settings)),
        "PYTHONUNBUFFERED": "1",
    }


async def register(settings: Settings, sites: Sequence[Site]) -> None:
    """Create the topics and register the demo's sites. Raises `BrokerError`.

    In the demo's own namespace, sites of an earlier demo that are not in this one are retired:
    they would count as silent for ever.
    """
    registry, since_ms = await read_registry(settings), clock.now_ms()
    known = {site.site_id: site for site in registry.sites()}
    made = [
        continued(site, registry.record(site.site_id), None, since_ms=since_ms) for site in sites
    ]
    records = [site for site in made if known.get(site.site_id) != site]
    if settings.namespace == DEMO_NAMESPACE:
        gone = known.keys() - {site.site_id for site in sites}
        reason = "not in this demo"
        records += [in_state(known[site_id], "retired", since_ms, reason) for site_id in gone]
    clients = KafkaClients(settings)
    await write_many(clients, topics.ASSETS, records)
    await write_many(clients, topics.PROGRAMS, [FIRST_PROGRAM, PROGRAM])
    await write_many(clients, topics.TARIFFS, [TARIFF])
    batteries = [
        site for site in made if any(device.rated_energy_wh > 0 for device in site.devices)
    ]
    await write_many(clients, topics.ENROLMENTS, [_enrolled(site) for site in batteries])


PROGRAM = Program(
    program_id="demo-share",
    version=2,
    name="Demo: 60 % of what the home earned, and for events and standing ready",
    currency="USD",
    effective_from_ms=1_767_312_000_000,  # 2 January 2026
    owner_share=0.6,
    per_event_micros=2_000,
    per_kw_hour_micros=500,
)
"""What owners of the demo are paid by."""
ENROLLED_FROM_MS = 1_767_225_600_000
"""1 January 2026."""
FIRST_PROGRAM = Program(
    program_id=PROGRAM.program_id,
    version=1,
    name="Demo: 60 % of what the home earned",
    currency="USD",
    effective_from_ms=ENROLLED_FROM_MS,
    owner_share=0.6,
)
"""The terms when homes were enrolled: an enrolment that begins without terms cannot be ended."""

TARIFF = Tariff(
    tariff_id="demo-tariff",
    version=1,
    currency="USD",
    time_zone="UTC",
    effective_from_ms=ENROLLED_FROM_MS,
    buy=(Rate(from_="00:00", until="24:00", per_kwh_micros=300_000),),
    sell=(Rate(from_="00:00", until="24:00", per_kwh_micros=80_000),),
)
"""What homes of the demo pay for energy; statements state by it what storms cost."""


def _enrolled(site: Site) -> Enrolment:
    return Enrolment(
        site_id=site.site_id,
        program_id=PROGRAM.program_id,
        effective_from_ms=ENROLLED_FROM_MS,
        tariff_id=TARIFF.tariff_id,
    )


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


async def pause(stopping: asyncio.Event, seconds: float = POLL_S) -> bool:
    """Wait for ``seconds`` or until ``stopping`` is set; False once it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    return not stopping.is_set()


def web_url(settings: Settings) -> str:
    """URL of the dashboard."""
    return f"http://{settings.host}:{settings.web_port}"
