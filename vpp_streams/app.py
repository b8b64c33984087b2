"""The composition root: a Faust app for a role, with its agents and nothing else."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, Literal, get_args

import faust
import structlog

from agents.context import AgentContext
from agents.faust_seam import credentials_of, run_beside_agents
from schemas.bounds import PARTITIONS
from vpp_streams import clock
from vpp_streams.domain import kernels
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.follower import assets_into, preferences_into
from vpp_streams.kafka.topic_ids import LOOK_S
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import connected_role
from vpp_streams.process.duty import Duty
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.lean_arrow import use_arrow_without_pandas
from vpp_streams.process.logs import set_up_logs
from vpp_streams.process.private_files import private_directory
from vpp_streams.process.status_server import serving_status
from vpp_streams.process.traces import tracing_role
from vpp_streams.settings import Settings

FaustRole = Literal["ingest", "fleet", "flow"]
Role = FaustRole | Literal["region", "optimizer", "historian"]
ROLES: tuple[Role, ...] = (*get_args(FaustRole), "region", "optimizer", "historian")

log = structlog.get_logger()

STOP_S = 20.0
"""Time in which a worker must stop, s: below the 30 s that Kubernetes gives a container."""
COLLECT_AFTER = 10_000
"""New objects between two collections; frames of readings are few objects, large ones."""

_WITH_PAGES: frozenset[FaustRole] = frozenset({"fleet", "flow"})
_GROUPS: dict[FaustRole, str] = {"ingest": "ingest", "fleet": "fleet", "flow": "ingest"}
"""The consumer group that a role joins."""


def create_app(
    role: FaustRole, settings: Settings, health: HealthReporter | None = None
) -> faust.App:
    """A Faust app that runs one role and reports to ``health``. Two apps in a process share
    nothing.
    """
    context = _context(settings, health or HealthReporter(role))
    app = faust.App(
        context.group(_GROUPS[role]), **_options(context), web_enabled=role in _WITH_PAGES
    )
    _end_in_time(app)
    _follow_registry(app, context)
    _publish_health(app, context)
    _keep_registry_from_collector(app, context)
    # A worker loads the agents of its own role only.
    import_module(f"agents.{role}").register(app, context)
    return app


def _context(settings: Settings, health: HealthReporter) -> AgentContext:
    return AgentContext(
        settings=settings,
        clients=KafkaClients(settings),
        registry=Registry(),
        health=health,
        letters=DeadLetters(health.process_id, health.counters),
        now_ms=clock.now_ms,
    )


def _options(context: AgentContext) -> dict[str, Any]:
    """Options of a Faust app that only forms the group: it has no state and reads no records."""
    settings = context.settings
    return {
        "broker": [f"kafka://{server}" for server in settings.kafka.split(",")],
        "broker_credentials": credentials_of(context.clients.security),
        "autodiscover": False,
        "store": "memory://",
        "datadir": settings.state_dir / "workers",  # the default litters the working directory
        "topic_partitions": PARTITIONS,
        "topic_allow_declare": False,  # `ensure_topics` made them; a role may not
        "topic_disable_leader": True,
        "stream_wait_empty": False,
        "table_standby_replicas": 0,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.session_timeout_s / 4,
        # The group assigns nothing while its topic of seats is deleted, and only this shows it
        # that the topic is there again.
        "consumer_metadata_max_age_ms": int(LOOK_S * 1000),
        "web_host": settings.host,
        "web_bind": settings.pages_host,
        "web_port": settings.worker_port,
    }


def _end_in_time(app: faust.App) -> None:
    """End a worker that was requested to stop, also where Kafka is away and clients wait for it."""

    def end() -> None:
        log.error("the worker did not stop in time and is ended", patience_s=STOP_S)
        os._exit(1)  # its successor reads again what is not in Kafka yet

    async def begin(*_args: object, **_kwargs: object) -> None:
        deadline = threading.Timer(STOP_S, end)
        deadline.daemon = True  # one that stops sooner does not wait for it
        deadline.start()

    app.on_before_shutdown.connect(begin, weak=False)


def _follow_registry(app: faust.App, context: AgentContext) -> None:
    async def follow_registry() -> None:
        # A registry that falls behind would reject good readings as unknown, so an error here
        # ends the worker (its supervisor starts it again) instead of being swallowed.
        await _registry_for_ever(context)

    run_beside_agents(app, follow_registry)


async def _registry_for_ever(context: AgentContext) -> None:
    feeds = assets_into(context.registry), preferences_into(context.registry)
    await context.follower.follow(*feeds, caught_up=context.registry_ready)


def _publish_health(app: faust.App, context: AgentContext) -> None:
    async def publish_health() -> None:
        async with producing(context.clients) as producer, asyncio.TaskGroup() as group:
            group.create_task(context.letters.run(context.clients))
            group.create_task(context.health.publish_for_ever(context.settings, producer))

    run_beside_agents(app, publish_health)


def _keep_registry_from_collector(app: faust.App, context: AgentContext) -> None:
    async def freeze() -> None:
        await _freeze_registry(context)

    run_beside_agents(app, freeze)


async def _freeze_registry(context: AgentContext) -> None:
    """Exempt a million lasting objects from collection: each full one would stop the worker."""
    await context.registry_ready.wait()
    _ = context.registry.columns  # or the first frame would wait for them
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 100)


async def _run_region(settings: Settings) -> None:
    from agents.region import DutyGroup, RegionWorker

    clients, health = KafkaClients(settings), HealthReporter("region")
    async with connected_role(clients, health) as kafka:
        context = AgentContext(
            settings=settings,
            clients=clients,
            registry=Registry(),
            health=health,
            letters=kafka.letters,
            now_ms=clock.now_ms,
        )
        context.duty = duty = Duty("region", clients, context.follower, health)
        worker = RegionWorker(context, DutyGroup(context, duty))

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(_registry_for_ever(context))
                group.create_task(_freeze_registry(context))
                group.create_task(worker.run(worker.apply))

        await run_until_stopped(duty.run(), work())


async def _run_optimizer(settings: Settings) -> None:
    from vpp_streams.market.optimizer import run_optimizer

    await run_optimizer(settings)


async def _run_historian(settings: Settings) -> None:
    from vpp_streams.history.historian import run_historian

    await run_historian(settings)


_NO_FAUST_APP: dict[Role, Callable[[Settings], Coroutine[None, None, None]]] = {
    "region": _run_region,
    "optimizer": _run_optimizer,
    "historian": _run_historian,
}
"""The reason is in each role's module."""


def run_worker(role: Role, settings: Settings) -> None:
    """Run one worker of a role in this process until it is requested to stop."""
    import uvloop

    use_arrow_without_pandas()
    # Also for the thread that Faust fetches in.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if role not in ("ingest", "fleet", "flow"):
        set_up_logs(settings)
        asyncio.run(_NO_FAUST_APP[role](settings))
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    private_directory(settings.state_dir)
    health = HealthReporter(role)
    with serving_status(settings, health, loop), tracing_role(settings, role):
        app = create_app(role, settings, health)
        log.info("the worker starts", role=role, innermost_loops=kernels.which())
        worker = faust.Worker(app, loop=loop, loglevel=settings.log_level, redirect_stdouts=False)
        worker.execute_from_commandline()


__all__ = ["ROLES", "FaustRole", "Role", "create_app", "run_worker"]
