"""Runs the agent of a configuration until it is stopped."""

import asyncio
import logging
import random
import secrets
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from edge.agent import Agent, ReplacedError, Setup
from edge.config import Config, ConfigError, read_config
from edge.driver_calls import DriverStuckError
from edge.drivers import module_of
from edge.durable_ring import DurableRing
from edge.identity.login import AgentLogin
from edge.identity.logins import login_of
from edge.loop_watch import watching
from edge.session import Patience
from edge.store import InUseError

DAY_MS = 86_400_000
WRONG_CONFIG, REPLACED, STUCK = 2, 4, 5
"""Exit codes. After `REPLACED` a supervisor must not start it again: two would take turns."""
_log = logging.getLogger(__name__)


def run(path: Path) -> int:
    """Run the agent of a configuration file; returns the exit code, and reports a mistake."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
        force=True,  # in place of the handler by which `vpp` keeps libraries quiet
    )
    logging.getLogger("websockets").setLevel(logging.WARNING)
    try:
        config = read_config(path)
        with ExitStack() as stack:
            agent = agent_of(config)
            stack.enter_context(watching(lambda: agent.beats))
            if config.health is not None:
                from edge.health import serving  # noqa: PLC0415 - only who wants it needs its library

                try:
                    stack.enter_context(serving(agent, config.health.port))
                except OSError as error:
                    raise ConfigError(f"[health] port {config.health.port}: {error}") from None
            return asyncio.run(_run(agent))
    except (ConfigError, InUseError) as error:
        print(f"vpp edge: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return WRONG_CONFIG


def agent_of(config: Config) -> Agent:
    """The agent of a configuration. Raises `ConfigError` and `InUseError`."""
    rng = random.Random()
    setup = setup_of(config, login_of(config, rng))
    ring = ring_of(config)
    driver = module_of(config.driver_name).driver(config.driver_options)
    return Agent(setup, driver, ring, rng)


def setup_of(config: Config, login: AgentLogin) -> Setup:
    """The owner's configuration as the agent takes it."""
    return Setup(
        url=config.gateway.url,
        device_id=config.gateway.device_id,
        login=login,
        backup_reserve=config.home.backup_reserve,
        export_limit_w=config.home.export_limit_w,
        import_limit_w=config.home.import_limit_w,
        tariff=config.tariff,
        learnt=config.file(config.storage.path + ".learnt"),
        patience=Patience(),
    )


def ring_of(config: Config) -> DurableRing:
    """The storage of a configuration. Raises `ConfigError` and `InUseError`."""
    storage = config.file(config.storage.path)
    if not storage.parent.is_dir():
        raise ConfigError(f"[storage] path: there is no folder {storage.parent}; create it")
    keep_ms = round(config.storage.keep_days * DAY_MS)
    return DurableRing(
        storage,
        capacity=max(keep_ms // 1000, 1),
        keep_ms=keep_ms,
        new_boot=lambda: secrets.token_hex(4),
    )


async def _run(agent: Agent) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, agent.stop)
    try:
        await agent.run()
    except ReplacedError as error:
        _log.critical("%s; this one stops. Give each home its own device_id", error)
        return REPLACED
    except DriverStuckError as error:
        _log.critical("%s; the agent ends, to be restarted", error)
        return STUCK
    return 0
