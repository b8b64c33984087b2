"""Agents for tests: in this process, and as a process of their own."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.agent import Agent, Setup
from edge.driver import Driver
from edge.drivers.simulated import Options, SimulatedHome
from edge.identity.login import TokenLogin
from tests.support.edge_ring import file_ring
from tests.support.paths import ROOT
from tests.support.small_gateway import QUICK, SmallGateway

DEVICE_ID = "home-1"
OPTIONS = Options(solar_w=0.0, load_w=500.0)


def agent_at(gateway: SmallGateway, folder: Path, driver: Driver | None = None) -> Agent:
    """Return an agent with a simulated inverter, which reports as fast as the gateway wants."""
    setup = Setup(
        url=gateway.url,
        device_id=DEVICE_ID,
        login=TokenLogin("secret", None),
        backup_reserve=0.2,
        patience=QUICK,
    )
    ring = file_ring(folder / "ring.db")
    return Agent(setup, driver or SimulatedHome(OPTIONS), ring, random.Random(1))


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[Agent]:
    """Run an agent during the body, and stop it after it; what ends it early is raised."""
    task = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.stop()
        await task


def agent_process(
    folder: Path, gateway: SmallGateway, driver: str = 'name = "simulated"'
) -> subprocess.Popen[str]:
    """Start ``vpp-edge run``, on a simulated inverter if nothing else is given.

    Its files are in ``folder``; ``driver`` is its section ``[driver]``.
    """
    (folder / "token").write_text("secret\n")
    (folder / "edge.toml").write_text(
        f"""
[gateway]
url = "{gateway.url}"
device_id = "{DEVICE_ID}"
token_file = "token"
[home]
backup_reserve = 0.2
[driver]
{driver}
[storage]
path = "ring.db"
[health]
port = 0
"""
    )
    command = [sys.executable, "-m", "edge", "run", str(folder / "edge.toml")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
