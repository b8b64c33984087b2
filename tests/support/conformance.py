"""The check of ``vpp.v1`` in virtual time, and the software that it is tried on."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from edge.agent import Agent, ReplacedError, Setup
from edge.drivers.simulated import Options, SimulatedHome
from edge.identity.login import TokenLogin
from edge.session import Patience
from tests.support.edge_ring import file_ring
from tests.support.memory_gateway import DEVICE_ID, TOKEN
from tests.support.virtual_time import in_virtual_time
from vpp_streams.conformance.device_check import check_device
from vpp_streams.conformance.device_player import DevicePlayer, Login
from vpp_streams.conformance.gateway_check import check_gateway
from vpp_streams.conformance.gateway_player import Manners, playing_gateway
from vpp_streams.conformance.gateway_stage import GatewayScenario
from vpp_streams.conformance.stage import Scenario
from vpp_streams.conformance.timing import DeviceTiming, GatewayTiming
from vpp_streams.conformance.verdicts import Line, Verdict

HOME = Options(solar_w=0.0, load_w=500.0)
RATED_W = 5000.0
_HANGS_S = 7200
"""Of virtual time."""


@asynccontextmanager
async def running_agent(url: str, folder: Path, options: Options) -> AsyncIterator[Agent]:
    """Run the agent of a simulated home; it ends by itself where another takes its place."""
    setup = Setup(
        url=url, device_id="home-1", login=TokenLogin("secret", None), backup_reserve=0.2,
        patience=Patience(),
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


def verdicts_on_agent(
    folder: Path, scenarios: Sequence[Scenario], home: Options = HOME
) -> dict[str, Verdict]:
    """Play scenarios to the agent of a home; returns the verdicts by obligation."""

    async def checked() -> list[Line]:
        async with (
            asyncio.timeout(_HANGS_S),
            playing_gateway("127.0.0.1", 0, Manners()) as player,
            running_agent(player.url, folder, home),
        ):
            return await check_device(player, DeviceTiming(), rated_w=RATED_W, scenarios=scenarios)

    return by_id(in_virtual_time(checked()))


def by_id(lines: Sequence[Line]) -> dict[str, Verdict]:
    """Return a report's verdicts by obligation."""
    return {line.obligation.id: line.verdict for line in lines}


def failed(verdicts: dict[str, Verdict]) -> dict[str, str]:
    """Return what was seen instead, by obligation that failed."""
    return {id_: v.seen for id_, v in verdicts.items() if v.outcome == "fail"}


async def verdicts_on_gateway(url: str, scenarios: Sequence[GatewayScenario]) -> dict[str, Verdict]:
    """Play scenarios to a gateway; returns the verdicts by obligation."""
    player = DevicePlayer(Login(url=url, device_id=DEVICE_ID, token=TOKEN))
    async with asyncio.timeout(_HANGS_S):
        lines = await check_gateway(player, GatewayTiming(), boot="b7", scenarios=scenarios)
    return by_id(lines)
