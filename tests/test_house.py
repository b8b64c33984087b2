"""What holds the house together: names, packages, the lock, the command line."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

import agents
import device_sim
import edge
import schemas
import tables
import vpp as generated
from schemas.bounds import PARTITIONS
from vpp_streams.cli import build_app
from vpp_streams.errors import SettingsError
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.local.kafka_process import kafka_version, single_node
from vpp_streams.settings import load_settings

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(get_command(build_app()).commands)  # type: ignore[attr-defined]  # it is a group


def test_topic_names_are_unique() -> None:
    names = [topic.name for topic in topics.ALL]
    assert len(set(names)) == len(names)


def test_every_topic_is_in_the_list_of_all() -> None:
    declared = {value for value in vars(topics).values() if isinstance(value, Topic)}
    assert declared == {*topics.ALL, *topics.INTERNAL}


def test_site_keyed_topics_have_the_same_partitions() -> None:
    by_site = (*topics.LIVE_RAW, topics.RAW_BACKFILL, topics.TELEMETRY, topics.TELEMETRY_REJECTED)
    for topic in (*by_site, topics.ASSETS, topics.SITE_WINDOWS):
        assert topic.partitions == PARTITIONS


@pytest.mark.parametrize("package", [agents, tables, schemas, edge, device_sim, generated])
def test_our_packages_are_the_ones_imported(package: ModuleType) -> None:
    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / package.__name__


def imports_of(folder: str) -> Iterator[tuple[Path, str]]:
    """Yield each Python file under a folder with each name that it imports, as a dotted path."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def test_no_test_imports_a_test() -> None:
    for path, name in imports_of("tests"):
        words = name.split(".")
        in_tests = words[0] == "tests" and any(word.startswith("test_") for word in words)
        assert not in_tests, f"{path}: what tests share belongs in tests/support, not in {name}"


@pytest.mark.parametrize(
    "folder", ["vpp_streams", "agents", "tables", "schemas", "edge", "device_sim", "benchmarks"]
)
def test_only_tests_import_tests(folder: str) -> None:
    importers = {str(path) for path, name in imports_of(folder) if name.split(".")[0] == "tests"}
    assert importers == set()


def test_the_lock_names_versions_only() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        name, _, version = line.partition("==")
        assert name
        assert version
        assert not set(line) & set("/@: "), line


def test_the_kafka_streams_that_is_compared_with_is_of_the_same_version() -> None:
    pom = (ROOT / "benchmarks" / "peers" / "kafka_streams" / "pom.xml").read_text()
    assert f"<kafka.version>{kafka_version()}</kafka.version>" in pom


def test_the_container_is_the_kafka_that_java_runs() -> None:
    kafka = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]
    assert kafka["image"] == f"apache/kafka:{kafka_version()}"
    wanted = {
        "KAFKA_" + name.upper().replace(".", "_"): value
        for name, value in single_node("0.0.0.0", 9092, 19093).items()
    }
    # One listener more, for the other containers.
    told = {
        name: re.sub(r",CONTAINERS:[^,]*$", "", value.replace("${VPP_KAFKA_PORT:-9092}", "9092"))
        for name, value in kafka["environment"].items()
    }
    assert told | wanted == told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(build_app(), [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def vpp(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vpp_streams", *words],
        capture_output=True,
        text=True,
        env={"PATH": "", "HOME": "/nonexistent", **environment},
        check=False,
        timeout=60,
    )


def test_help_needs_none_of_the_heavy_libraries() -> None:
    script = (
        "import sys; sys.argv = ['vpp', '--help']\n"
        "from vpp_streams.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'faust', 'pandas', 'pyarrow', 'aiokafka', 'fastapi', 'numpy'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "First steps" in result.stdout


@pytest.mark.parametrize(
    ("command", "given", "found"),
    [("backtest", None, "1"), ("backtest", "2", "2"), ("explain", None, None)],
)
def test_only_a_backtest_limits_the_threads_of_linear_algebra(
    command: str, given: str | None, found: str | None
) -> None:
    """A user's own number of threads is kept. numpy, which reads it, is not imported before."""
    script = (
        f"import os, sys; sys.argv = ['vpp', {command!r}, '--help']\n"
        "from vpp_streams.__main__ import main\n"
        "assert 'numpy' not in sys.modules\n"
        "try: main()\n"
        "except SystemExit: print('threads:', os.environ.get('OPENBLAS_NUM_THREADS'))\n"
    )
    environment = {name: v for name, v in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if given is not None:
        environment["OPENBLAS_NUM_THREADS"] = given
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.splitlines()[-1] == f"threads: {found}"


def test_a_wrong_setting_is_one_line_and_names_the_variable() -> None:
    result = vpp("doctor", VPP_WEB_PORT="eighty")
    assert result.returncode == SettingsError.exit_code
    assert result.stderr.count("\n") == 1
    assert "VPP_WEB_PORT" in result.stderr
    assert "eighty" in result.stderr


def test_a_broker_that_does_not_answer_is_one_line_with_the_way_out() -> None:
    result = vpp("worker", "ingest", VPP_KAFKA="localhost:1")
    assert result.returncode == 3
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("vpp: no Kafka answers at localhost:1")
    assert "vpp broker start" in result.stderr


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPP_WEB_PORT", "70000")
    monkeypatch.setenv("VPP_NAMESPACE", "Not Allowed")
    with pytest.raises(SettingsError, match=r"VPP_NAMESPACE.*VPP_WEB_PORT|VPP_WEB_PORT.*NAMESPACE"):
        load_settings()


def test_make_alone_lists_every_target() -> None:
    told = subprocess.run(
        ["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("setup", "demo", "test", "check", "broker", "clean"):
        assert f"make {target} " in told


@pytest.mark.parametrize("as_json", [True, False])
def test_our_logs_and_the_libraries_come_in_one_format(as_json: bool) -> None:
    script = (
        "import logging, structlog\n"
        "from vpp_streams.process.logs import set_up_logs\n"
        "from vpp_streams.settings import Settings\n"
        "set_up_logs(Settings())\n"
        "structlog.get_logger('ours').warning('a device was refused', device_id='pw-1')\n"
        "logging.getLogger('theirs').warning('a library says %s', 'so')\n"
        "logging.getLogger('theirs').debug('not at level INFO')\n"
    )
    environment = {"VPP_LOG_JSON": str(as_json).lower(), "NO_COLOR": "1"}
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stderr
    ours, theirs = told.splitlines()
    if as_json:
        assert json.loads(ours)["device_id"] == "pw-1"
        assert json.loads(theirs)["event"] == "a library says so"
    else:
        assert "a device was refused" in ours
        assert "device_id=pw-1" in ours
        assert "a library says so" in theirs
