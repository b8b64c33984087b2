"""The check of a device: plays its gateway, scenario by scenario, and reports per obligation."""

import asyncio
from collections.abc import Callable, Sequence

from vpp_streams.conformance.adverse_scenarios import ALONE, CLOCK, LIMITS
from vpp_streams.conformance.command_scenarios import LEASE, SUCCESSION
from vpp_streams.conformance.end_scenarios import DRAIN, REPLACED, SHUNNED, SOON
from vpp_streams.conformance.gateway_player import GatewayPlayer
from vpp_streams.conformance.judge_readings import judge_always
from vpp_streams.conformance.obligations import DEVICE
from vpp_streams.conformance.reading_scenarios import BOOT_USED, OUTAGE, PACE, STRANGERS
from vpp_streams.conformance.stage import Scenario, Stage
from vpp_streams.conformance.timing import DeviceTiming
from vpp_streams.conformance.transcript import Opened
from vpp_streams.conformance.verdicts import Line, Verdict, not_tried, report

SCENARIOS: tuple[Scenario, ...] = (
    PACE,
    STRANGERS,
    OUTAGE,
    LEASE,
    SUCCESSION,
    LIMITS,
    ALONE,
    CLOCK,
    BOOT_USED,
    DRAIN,
    SOON,
    SHUNNED,
    REPLACED,
)
_SCENARIO_S = 600
"""Each wait in a scenario has its own deadline; this one is for a device that reads nothing."""


async def check_device(
    player: GatewayPlayer,
    timing: DeviceTiming,
    *,
    rated_w: float | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
    on_scenario: Callable[[str], None] = lambda _: None,
) -> list[Line]:
    """Check the device that connects to this gateway; ``on_scenario`` is told what comes next."""
    stage = Stage(player, timing, rated_w)
    stage.reset()
    player.behave(hello_delay_ms=timing.hello_delay_ms)
    on_scenario("waiting for the device")
    verdicts: list[Verdict] = []
    if await player.connection(-1, timing.first_connection_ms):
        for scenario in scenarios:
            on_scenario(scenario.name)
            verdicts += await _play(scenario, stage)
    paths = [event.path for event in stage.events if isinstance(event, Opened)]
    always = judge_always(stage.events, (paths or [""])[0], player.journal.utc_ahead_ms())
    return report(DEVICE, [*verdicts, *always])


async def _play(scenario: Scenario, stage: Stage) -> list[Verdict]:
    stage.reset()
    if not await stage.connected():
        return not_tried(scenario.tries, "it was not connected")
    try:
        async with asyncio.timeout(_SCENARIO_S):
            return await scenario.play(stage)
    except TimeoutError:
        return not_tried(scenario.tries, f"the scenario did not end within {_SCENARIO_S} s")
