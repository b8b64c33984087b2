"""``vpp doctor``: what it finds, and that it only looks."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from schemas.bounds import PARTITIONS
from tests.support.kafka_world import until
from vpp_streams.cli import build_app
from vpp_streams.kafka import topics
from vpp_streams.local import doctor
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings


def by_name(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in doctor.examine(settings)}


def test_packages_at_other_versions_are_named() -> None:
    there = {"good": "1.0", "old": "0.9"}
    check = doctor.packages("good==1.0\nold==1.0\ngone==2.0\n", there.get)
    assert not check.ok
    assert check.needed
    assert check.found == "old 0.9 (locked 1.0), gone missing (locked 2.0)"


def test_this_environment_is_the_locked_one(settings: Settings) -> None:
    assert by_name(settings)["packages"].ok


def test_without_tools_each_lack_says_how_to_get_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    checks = by_name(settings)
    for name in ("java", "maven"):
        assert not checks[name].ok
        assert checks[name].needed
        assert checks[name].get_it.startswith("apt-get install")
    assert not checks["docker"].needed
    assert not checks["chromium"].ok


def test_a_port_that_is_taken_is_told(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = by_name(settings.model_copy(update={"web_port": port}))["web port"]
    assert not check.ok
    assert str(port) in check.found


def test_no_broker_is_told_and_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("VPP_KAFKA", f"127.0.0.1:{port}")
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(build_app(), ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert not checks["kafka"]["ok"]
    lacking = [c["name"] for c in checks.values() if c["needed"] and not c["ok"]]
    assert result.exit_code == (1 if lacking else 0)


@pytest.mark.kafka
async def test_it_only_looks(kafka: str, settings: Settings) -> None:
    checks = await asyncio.to_thread(by_name, settings)
    assert checks["kafka"].ok
    assert checks["topics"].ok
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        there = await admin.list_topics()
        assert not [name for name in there if name.startswith(settings.namespace)]
        name = topics.TELEMETRY.full(settings.namespace)
        await admin.create_topics([NewTopic(name, PARTITIONS + 1, 1)])

        async def listed() -> bool:
            return name in await admin.list_topics()

        await until(listed, "the broker to list the topic")
    finally:
        await admin.close()
    check = (await asyncio.to_thread(by_name, settings))["topics"]
    assert not check.ok
    assert f"topic {name} has {PARTITIONS + 1} partitions" in check.found
