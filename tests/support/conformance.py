"""The check of ``vpp.v1`` with short times, and the software that it is tried on."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from edge.agent import Agent, ReplacedError, Setup
from edge.drivers.simulated import Options, SimulatedHome
from edge.session import Patience
from tests.support.edge_ring import file_ring
from vpp_streams.conformance.device_check import check_device
from vpp_streams.conformance.gateway_player import GatewayPlayer, Manners, playing_gateway
from vpp_streams.conformance.stage import Scenario
from vpp_streams.conformance.timing import DeviceTiming
from vpp_streams.conformance.verdicts import Line, Verdict

INTERVAL_MS = 50
QUICK = DeviceTiming(
    interval_ms=INTERVAL_MS,
    first_connection_ms=5000,
    connection_ms=3000,
    hello_delay_ms=200,
    answer_ms=2000,
    refused_again_ms=2000,
    backfill_ms=5000,
    backfill_delay_ms=(50, 100),
    rows_per_s=20,
    lease_ms=800,
    status_slack_ms=300,
    away_ms=200,
    drain_ms=(100, 200),
    leave_ms=1000,
    soon_ms=500,
    shun_ms=100,
    gone_ms=400,
)

PATIENCE = Patience(reconnect_first_ms=50, reconnect_most_ms=250, refused_ms=100)


@asynccontextmanager
async def quick_gateway() -> AsyncIterator[GatewayPlayer]:
    """Play a gateway on a free port of loopback."""
    async with playing_gateway("127.0.0.1", 0, Manners()) as player:
        yield player


@asynccontextmanager
async def running_agent(url: str, folder: Path, options: Options) -> AsyncIterator[Agent]:
    """Run the agent of a simulated home; it ends by itself where another takes its place."""
    setup = Setup(
        url=url, device_id="home-1", token="secret", tls=None, backup_reserve=0.2,
        patience=PATIENCE,
    )  # fmt: skip
    ring = file_ring(folder / "ring.db", boots="b1")
    agent = Agent(setup, SimulatedHome(options), ring, random.Random(1))
    task = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.stop()
        with suppress(ReplacedError):
            await task


async def verdicts_on_device(
    player: GatewayPlayer,
    scenarios: Sequence[Scenario],
    *,
    timing: DeviceTiming = QUICK,
    rated_w: float | None = 5000.0,
) -> dict[str, Verdict]:
    """Play scenarios to the device that connects; returns the verdicts by obligation."""
    async with asyncio.timeout(60):
        lines = await check_device(player, timing, rated_w=rated_w, scenarios=scenarios)
    return by_id(lines)


def by_id(lines: Sequence[Line]) -> dict[str, Verdict]:
    """Return a report's verdicts by obligation."""
    return {line.obligation.id: line.verdict for line in lines}


def failed(verdicts: dict[str, Verdict]) -> dict[str, str]:
    """Return what was seen instead, by obligation that failed."""
    return {id_: v.seen for id_, v in verdicts.items() if v.outcome == "fail"}
