"""The check of a device against the agent of a home: every obligation is met."""

from pathlib import Path

import pytest

from edge.drivers.simulated import Options
from tests.support.conformance import (
    INTERVAL_MS,
    failed,
    quick_gateway,
    running_agent,
    verdicts_on_device,
)
from vpp_streams.conformance.command_scenarios import LEASE
from vpp_streams.conformance.device_check import SCENARIOS
from vpp_streams.conformance.stage import Scenario

HOME = Options(solar_w=0.0, load_w=500.0)


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.BEAT_MS", INTERVAL_MS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
async def test_an_agent_meets_its_obligations(tmp_path: Path, scenario: Scenario) -> None:
    async with quick_gateway() as player, running_agent(player.url, tmp_path, HOME):
        verdicts = await verdicts_on_device(player, [scenario])
    assert failed(verdicts) == {}
    passed = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "pass"}
    assert set(scenario.tries) - passed <= {"D-22"}


async def test_an_agent_without_a_battery_to_command_rejects_setpoints(tmp_path: Path) -> None:
    home = Options(can_set_power=False)
    async with quick_gateway() as player, running_agent(player.url, tmp_path, home):
        verdicts = await verdicts_on_device(player, [LEASE])
    assert failed(verdicts) == {}
    assert verdicts["D-22"].outcome == "pass"
    assert verdicts["D-21"].seen == "it takes no setpoint (measures_only)"
