"""A configuration is checked completely, and each mistake says where it is and what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import EXAMPLE, Config, ConfigError, read_config
from edge.drivers.simulated import Options
from edge.planning.tariff import Rate
from tests.support.paths import ROOT


def written(folder: Path, text: str) -> Path:
    (folder / "token").write_text("secret\n")
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def mistakes(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """The lines of the error that a changed example makes, without the file's name."""
    text = EXAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        read_config(written(folder, text))
    return [line.removeprefix(f"{folder / 'edge.toml'}") for line in str(caught.value).split("\n")]


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, EXAMPLE))
    assert isinstance(config, Config)
    assert (config.gateway.device_id, config.home.backup_reserve) == ("home-0001", 0.2)
    assert config.home.export_limit_w == float("inf")
    assert (config.driver_name, config.driver_options) == ("simulated", Options(energy_wh=13500))
    assert config.file("readings.db") == tmp_path / "readings.db"


def test_the_health_section_may_be_left_out(tmp_path: Path) -> None:
    text = EXAMPLE.partition("[health]")[0]
    assert read_config(written(tmp_path, text)).health is None


def with_tariff(text: str) -> str:
    """The example with its section [tariff], which is a comment there."""
    begins = text.index("# [tariff]")
    section, rest = text[begins:].split("\n\n", 1)
    lines = (line.removeprefix("# ") for line in section.split("\n"))
    return "\n".join([text[:begins], *lines, "", rest])


def test_the_examples_tariff_is_one(tmp_path: Path) -> None:
    terms = read_config(written(tmp_path, with_tariff(EXAMPLE))).tariff
    assert terms is not None
    assert terms.buy == (Rate(from_="06:00", per_kwh=0.34), Rate(from_="22:00", per_kwh=0.22))
    assert (terms.sell, terms.market_tax, terms.wear_per_mwh) == (0.08, 0.19, 10)
    assert read_config(written(tmp_path, EXAMPLE)).tariff is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Europe/Berlin", "Europe/Atlantis", "there is no time_zone 'Europe/Atlantis'"),
        ("Europe/Berlin", "../../etc/passwd", "there is no time_zone '../../etc/passwd'"),
        ('from = "06:00"', 'from = "24:00"', "Expected `str` matching regex"),
        ("per_kwh = 0.34", 'per_kwh = "dear"', "Expected `float`, got `str`"),
        ("sell = 0.08", 'sell = "spot"', "Invalid enum value 'spot'"),
    ],
)
def test_a_mistake_in_the_tariff_is_reported(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = written(tmp_path, with_tariff(EXAMPLE).replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        read_config(path)
    assert ", line 1" in str(caught.value) or ", line 2" in str(caught.value)


def test_a_driver_whose_library_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'aiomqtt'", name="aiomqtt")

    monkeypatch.setattr("edge.config.module_of", missing)
    (mistake,) = mistakes(tmp_path, ('name = "simulated"', 'name = "mqtt"'))
    assert mistake.endswith(": driver mqtt needs aiomqtt: pip install aiomqtt")


def test_every_mistake_is_reported_with_its_line_and_the_keys(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        ("backup_reserve", "backup_reserv"),
        ("energy_wh = 13500", "energy_wh = -5"),
        ("port = 9109", "port = 'x'"),
        ("[storage]", "[store]"),
        ('"wss://vpp.example.org:8400"', '"https://vpp.example.org"'),
    )
    known = "backup_reserve, export_limit_w, import_limit_w"
    reserve = f"backup_reserv is unknown in [home]: did you mean backup_reserve? There are {known}"
    assert f", line 14: {reserve}" in found
    assert ", line 13: backup_reserve is missing in [home]" in found
    assert ", line 33: energy_wh = -5 does not fit: Expected `float` > 0.0" in found
    assert ", line 40: port = 'x' does not fit: Expected `int`, got `str`" in found
    assert ": section [storage] is missing; its keys: path, keep_days" in found
    sections = "gateway, home, tariff, storage, health, driver"
    section = f"store is unknown as a section: did you mean storage? There are {sections}"
    assert f", line 35: {section}" in found
    assert any(line.startswith(", line 4: url = 'https://vpp.example.org'") for line in found)
    assert len(found) == 7


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('token_file = "token"', "", "give either token_file, or certificate_file and key_file"),
        ("# certificate_file", "certificate_file", "give either token_file"),
        ('"token"', '"tokn"', "there is no file"),
        ('"simulated"', '"tesla"', "There are simulated: a battery"),
        ("backup_reserve = 0.2", "backup_reserve = 20", "Expected `float` <= 1.0"),
        ("energy_wh", "energy", "did you mean energy_wh?"),
    ],
)
def test_a_mistake(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert any(words in line for line in mistakes(tmp_path, (old, new)))


def test_a_file_that_is_not_toml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not TOML: .*at line 1"):
        read_config(written(tmp_path, "gateway\n"))
    with pytest.raises(ConfigError, match=r"vpp edge example-config"):
        read_config(tmp_path / "missing.toml")


def test_a_mistake_is_one_line_on_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, EXAMPLE.replace('path = "readings.db"', 'path = "no/readings.db"'))
    for command in (["-m", "edge", "run"], ["-m", "vpp_streams", "edge", "run"]):
        done = subprocess.run(
            [sys.executable, *command, str(path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        folder = tmp_path / "no"
        assert done.stderr == f"vpp edge: [storage] path: there is no folder {folder}; create it\n"


def test_the_agent_needs_none_of_the_libraries_of_the_cloud() -> None:
    script = (
        "import sys, edge.run, edge.config, edge.drivers.simulated, edge.health\n"
        "ours = {'vpp_streams', 'agents', 'tables', 'device_sim'}\n"
        "heavy = {'faust', 'pandas', 'pyarrow', 'aiokafka', 'fastapi', 'typer', 'rich',\n"
        "         'pydantic', 'structlog', 'uvloop', 'yaml', 'httpx'}\n"
        "sys.exit(', '.join(sorted((ours | heavy) & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
