"""The check of a device against the agent of a home: every obligation is met."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from device_sim.fleet import demo_sites
from device_sim.runner import SimOptions, running_fleet
from edge.drivers.simulated import Options
from tests.support.conformance import by_id, failed, verdicts_on_agent
from tests.support.virtual_time import in_virtual_time
from vpp_streams.conformance.command_scenarios import LEASE
from vpp_streams.conformance.device_check import SCENARIOS, check_device
from vpp_streams.conformance.gateway_player import Manners, playing_gateway
from vpp_streams.conformance.stage import Scenario
from vpp_streams.conformance.timing import DeviceTiming
from vpp_streams.conformance.verdicts import Line, Verdict


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


def verdicts_on_simulated_home(scenarios: Sequence[Scenario]) -> dict[str, Verdict]:
    """It has noisy meters, a household that changes every second, and a clock that is off."""
    site = next(each for each in demo_sites(homes=40) if each.export_limit_w is None)

    async def checked() -> list[Line]:
        async with playing_gateway("127.0.0.1", 0, Manners()) as player:
            options = SimOptions(url=player.url, vendor_share=0.0)
            async with running_fleet([site], options):
                rated_w = site.devices[0].rated_discharge_w
                return await check_device(
                    player, DeviceTiming(), rated_w=rated_w, scenarios=scenarios
                )

    return by_id(in_virtual_time(checked()))


def test_a_home_of_the_simulated_fleet_follows_a_lease() -> None:
    verdicts = verdicts_on_simulated_home([LEASE])
    assert failed(verdicts) == {}
    assert verdicts["D-23"].outcome == verdicts["D-30"].outcome == "pass"


@pytest.mark.nightly
def test_a_home_of_the_simulated_fleet_meets_its_obligations() -> None:
    verdicts = verdicts_on_simulated_home(SCENARIOS)
    assert failed(verdicts) == {}
    untried = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "not tried"}
    assert untried == {"D-22", "D-40", "D-41", "D-42", "D-43"}


def test_an_agent_without_a_battery_to_command_rejects_setpoints(tmp_path: Path) -> None:
    verdicts = verdicts_on_agent(tmp_path, [LEASE], Options(can_set_power=False))
    assert failed(verdicts) == {}
    assert verdicts["D-22"].outcome == "pass"
    assert verdicts["D-21"].seen == "it takes no setpoint (measures_only)"
