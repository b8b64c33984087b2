"""`vpp edge probe --driver`: an Enphase gateway, a Fronius inverter, and wrong commands."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.commissioning.probe_driver import probed
from tests.support.enphase_documents import home
from tests.support.enphase_gateway import TOKEN, enphase_gateway
from tests.support.http_device import answer, http_device
from vpp_streams.cli.edge import app

Outcome = tuple[int, list[str]]


async def probe(name: str, address: str, *options: str) -> Outcome:
    return await asyncio.to_thread(probed, name, address, options)


async def test_an_enphase_gateway(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with enphase_gateway(home(), tmp_path) as gateway:
        code, lines = await probe("enphase", gateway.host, f"token_file={tmp_path / 'token'}")
    assert code == 0
    assert lines[0] == f"{gateway.host}: Enphase IQ Gateway, firmware 8.2.4286"
    assert lines[1] == "Battery: 10000 Wh, of a power that the device does not tell"
    assert "  battery_w: -1700 W" in lines
    assert "  load_w: 800 W (derived, not measured)" in lines
    assert "Not measured: temperature_c" in lines
    assert "Balance: not tried, load_w is not measured" in lines
    assert lines[-1].endswith("the home is measured only.")


def fronius_pages(**site: Any) -> dict[str, bytes]:
    def told(data: Any) -> bytes:
        head = {"Status": {"Code": 0}}
        return answer(json.dumps({"Head": head, "Body": {"Data": data}}).encode())

    api = "/solar_api/v1"
    return {
        f"{api}/GetPowerFlowRealtimeData.fcgi": told({"Site": {"Mode": "meter", **site}}),
        f"{api}/GetStorageRealtimeData.cgi": told({}),
        f"{api}/GetInverterInfo.cgi": told({}),
    }


@pytest.mark.parametrize(
    ("grid_w", "code", "line"),
    [
        (500, 0, "Balance: ok, load 800 W, solar + battery + grid 800 W, within 100 W"),
        (-500, 1, "Balance: failed, load 800 W, solar + battery + grid -200 W, expected within"),
    ],
)
async def test_powers_that_do_not_fit_each_other_are_a_failure(
    grid_w: float, code: int, line: str
) -> None:
    pages = fronius_pages(P_Akku=-200, P_Grid=grid_w, P_PV=500, P_Load=-800)
    async with http_device(pages) as port:
        found, lines = await probe("fronius", f"127.0.0.1:{port}")
    assert found == code
    assert [each for each in lines if each.startswith(line)]


async def test_nothing_at_the_address_is_said_and_nothing_measured_is_a_failure() -> None:
    async with http_device({}) as port:
        code, lines = await probe("fronius", f"127.0.0.1:{port}")
        assert (code, len(lines)) == (1, 1)
        assert "404" in lines[0]
    async with http_device(fronius_pages()) as port:
        code, lines = await probe("fronius", f"127.0.0.1:{port}")
    assert code == 1
    assert "Balance: not tried, load_w, solar_w, battery_w, grid_w is not measured" in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--driver", "enphas"], "enphas is no driver. There are simulated, fronius"),
        (["--driver", "simulated"], "driver simulated has no address to probe; try `vpp edge"),
        (["--driver", "enphase", "--option", "token"], "give KEY=VALUE; there are host, token_"),
        (["--driver", "enphase", "--option", "a=b"], "give KEY=VALUE; there are host, token_file"),
        (["--driver", "enphase", "--option", "token_file=/no"], "there is no file /no; get a tok"),
        (["--driver", "fronius", "--option", "modbus_unit=x"], "modbus_unit"),
        (["--option", "a=b"], "--option is for drivers other than sunspec"),
    ],
)
def test_a_command_that_does_not_fit_is_a_line(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["probe", "192.0.2.1", *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1
