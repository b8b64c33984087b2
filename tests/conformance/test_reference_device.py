"""The check of a device against the agent of a home: every obligation is met."""

from pathlib import Path

import pytest

from edge.drivers.simulated import Options
from tests.support.conformance import failed, verdicts_on_agent
from vpp_streams.conformance.command_scenarios import LEASE
from vpp_streams.conformance.device_check import SCENARIOS
from vpp_streams.conformance.stage import Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_an_agent_meets_its_obligations(tmp_path: Path, scenario: Scenario) -> None:
    verdicts = verdicts_on_agent(tmp_path, [scenario])
    assert failed(verdicts) == {}
    passed = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "pass"}
    assert set(scenario.tries) - passed <= {"D-22"}


def test_the_scenarios_follow_one_another(tmp_path: Path) -> None:
    verdicts = verdicts_on_agent(tmp_path, SCENARIOS)
    assert failed(verdicts) == {}
    untried = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "not tried"}
    assert untried == {"D-22", "D-40", "D-41", "D-42", "D-43"}


def test_an_agent_without_a_battery_to_command_rejects_setpoints(tmp_path: Path) -> None:
    verdicts = verdicts_on_agent(tmp_path, [LEASE], Options(can_set_power=False))
    assert failed(verdicts) == {}
    assert verdicts["D-22"].outcome == "pass"
    assert verdicts["D-21"].seen == "it takes no setpoint (measures_only)"
