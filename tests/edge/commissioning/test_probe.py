"""What `vpp edge probe` says of an inverter, and of what is none."""

from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.commissioning.probe import Found, found_at, is_consistent, options_of, report_of
from edge.driver import Capabilities
from edge.drivers.sunspec import Options
from edge.drivers.sunspec_map import Place
from tests.support.modbus_world import modbus_world
from vpp_streams.cli.edge import app
from vpp_streams.process.ports import free_port


async def probed(make: Any, power_w: float, **options: float) -> Found:
    async with modbus_world(make, **options) as world:
        await world.driver.identify()
        await world.driver.apply(power_w, world.now_ms + 60_000)
        at = world.driver.link.address
        return await found_at(Options(host=at.host, port=at.port), samples=2, pause_s=0)


@pytest.mark.parametrize(
    ("make", "model"), [("der", "  model 704: DER AC Controls"), ("hybrid", "  model 124: Storage")]
)
async def test_a_battery_that_is_charged_from_the_grid_shows_both_signs(
    make: Any, model: str
) -> None:
    found = await probed(make, -3000.0)
    lines = report_of(found)
    assert lines[0].endswith(f"unit 1: VPP simulated {make}, firmware 1.0")
    assert model in lines
    assert (
        "Battery: 13500 Wh, charges with 5000 W at most, discharges with 5000 W" in lines
    )  # fmt: skip
    assert "  battery_w: -3000 W" in lines
    assert any(line.startswith("  load_w: ") and "derived" in line for line in lines)
    assert any(line.startswith("The meter counts + = import: with -3000 W out") for line in lines)
    assert any("plus battery -3000 W (+ = discharge)" in line for line in lines)
    assert lines[-1] == "It can be commanded: its own timer ends a power that was set."
    assert is_consistent(found)


async def test_a_meter_that_counts_the_other_way_is_named_with_what_to_do() -> None:
    found = await probed("der", -3000.0)
    turned = Found(
        where=found.where,
        identity=found.identity,
        places=found.places,
        can=found.can,
        readings=found.readings,
        powers=tuple(
            type(p)(p.ac_w, p.solar_w, p.battery_w, p.battery_quality, -(p.grid_w or 0.0))
            for p in found.powers
        ),
    )
    assert not is_consistent(turned)
    (line,) = [line for line in report_of(turned) if line.startswith("The meter")]
    assert line.startswith("The meter counts + = export")
    assert line.endswith('Set meter = "export" in [driver].')


@pytest.mark.parametrize(
    ("power_w", "words"),
    [(3000.0, "The meter's sign does not show now"), (0.0, "The battery's sign does not show now")],
)
async def test_a_sign_that_does_not_show_is_not_guessed(power_w: float, words: str) -> None:
    found = await probed("hybrid", power_w)
    assert [line for line in report_of(found) if line.startswith(words)]
    assert is_consistent(found)


@pytest.mark.parametrize(
    ("models", "words"), [((123,), "It can be limited (model 123)"), ((), "It has no power sett")]
)
async def test_an_inverter_that_can_only_be_limited_is_measured_only(
    models: tuple[int, ...], words: str
) -> None:
    found = await probed("der", 0.0)
    places = tuple(Place(model_id, 40_100, 24) for model_id in models)
    can = Capabilities(measure=found.can.measure)
    line = report_of(replace(found, can=can, places=places))[-1]
    assert line.startswith(words)
    assert line.endswith("the home is measured only.")


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("10.0.0.5", "10.0.0.5", 502), ("inverter:1502", "inverter", 1502), ("[::1]:99", "::1", 99)],
)
def test_addresses(address: str, host: str, port: int) -> None:
    options = options_of(address, 1)
    assert (options.host, options.port) == (host, port)


@pytest.mark.parametrize("address", ["inverter:", "inverter:x", "inverter:70000", ":502"])
def test_an_address_that_is_none_is_one_clear_line(address: str) -> None:
    result = CliRunner().invoke(app, ["probe", address])
    assert result.exit_code == 2
    assert "give" in result.output
    assert len(result.output.splitlines()) == 1


def test_nobody_there_is_said_with_what_to_try() -> None:
    result = CliRunner().invoke(app, ["probe", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 1
    assert "it does not answer" in result.output
    assert "Is Modbus TCP enabled" in result.output
