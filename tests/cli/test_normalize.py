"""``vpp normalize``: a person sees what we make of a payload, or why not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vpp_streams.cli import build_app
from vpp_streams.errors import InputError

SOE = {"percentage": 52.5, "site": {"instant_power": -700, "frequency": 0}}


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "soe.json"
    path.write_text(json.dumps(SOE))
    return path


@pytest.fixture
def settings_page(tmp_path: Path) -> Path:
    path = tmp_path / "api.operation.json"
    path.write_text('{"real_mode": "backup"}')
    return path


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), ["normalize", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.exit_code, result.output


def test_a_reading_is_shown_with_what_is_not_measured(payload: Path) -> None:
    code, shown = run(payload)
    assert code == 0
    assert "tesla_gateway" in shown
    assert "-700.0 W" in shown
    assert "50.0 %" in shown
    assert "not measured" in shown


def test_json_has_null_for_not_measured(payload: Path) -> None:
    code, shown = run("--json", payload)
    found = json.loads(shown)
    assert (code, found["vendor"]) == (0, "tesla_gateway")
    assert (found["reading"]["grid_w"], found["reading"]["frequency_hz"]) == (-700, None)


def test_a_document_without_power_says_what_it_is(settings_page: Path) -> None:
    code, shown = run(settings_page)
    assert code == 1
    assert "This is the gateway's operation mode" in " ".join(shown.split())


def test_the_named_vendor_is_taken(payload: Path) -> None:
    code, shown = run("--vendor", "fronius", payload)
    assert (code, "not_telemetry" in shown) == (1, True)


def test_a_native_body_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_text('{"t":1763855001000,"p":1200.5,"soc":0.5}')
    code, shown = run(path)
    assert (code, "native" in shown, "1,200.5 W" in shown) == (0, True, True)


def test_summary_counts_by_vendor(payload: Path, settings_page: Path) -> None:
    _, shown = run("--summary", payload, settings_page)
    assert "| tesla_gateway | 2 | 1 | not_telemetry 1 |" in shown


def test_mistakes_are_one_line(tmp_path: Path, payload: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*nowhere.json: No such file") as missing:
        run(tmp_path / "nowhere.json")
    assert missing.value.exit_code == 2
    with pytest.raises(InputError, match="choose one of native, tesla_fleet"):
        run("--vendor", "acme", payload)
    unknown = tmp_path / "x.json"
    unknown.write_text('{"a": 1}')
    code, shown = run(unknown)
    assert (code, "--vendor names one to try" in " ".join(shown.split())) == (1, True)
