"""``vpp incidents run`` on a real Kafka: killed at any moment, it opens and notifies once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.assets import Site
from schemas.encoding import decode_json
from schemas.health import Health
from schemas.incidents import Acknowledgement, Incident, IncidentRecord
from tests.support.kafka_world import read_all, until, write
from tests.support.paths import ROOT
from tests.support.web_records import NOW_MS, site
from vpp_streams.domain.registry.states import in_state
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
RULES = """
[[rule]]
id = "silent"
kind = "region_silent"
severity = "critical"
above = 0.5
"""


@contextmanager
def watching(settings: Settings, rules: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "vpp_streams", "incidents", "run"]
    environment = {
        **os.environ, "VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace,
        "VPP_INCIDENTS": str(rules),
    }  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def records_of(settings: Settings) -> list[IncidentRecord]:
    records: Any = IncidentRecord
    return [
        decode_json(record.value, records)
        for record in await read_all(settings, topics.INCIDENTS.full(settings.namespace))
    ]


async def steps_of(settings: Settings, pid: int) -> int:
    """How often the watch of a process has measured."""
    name = topics.HEALTH.full(settings.namespace)
    reports = [decode_json(record.value, Health) for record in await read_all(settings, name)]
    mine = [one.counters for one in reports if one.process_id.endswith(f"-{pid}")]
    return max((counters.get("steps", 0) for counters in mine), default=0)


async def test_a_silent_region_is_one_incident_however_often_the_watch_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    (rules := tmp_path / "rules.toml").write_text(RULES)
    home: Site = site(1)
    await ensure_topics(KafkaClients(settings))
    await write(settings, topics.ASSETS, home)

    for _ in range(2):
        with watching(settings, rules, tmp_path / "log") as process:

            async def measured(pid: int = process.pid) -> bool:
                return await steps_of(settings, pid) >= 3

            await until(measured, "the watch has measured three times")
    (first,) = await records_of(settings)
    assert isinstance(first, Incident)
    assert (first.subject, first.closed_at_ms) == (home.region, 0)
    await write(
        settings,
        topics.INCIDENTS,
        Acknowledgement(incident_id=first.incident_id, by="operator:ann", at_ms=NOW_MS),
    )
    retired = in_state(home, "retired", NOW_MS)
    await write(settings, topics.ASSETS, retired)

    async def closed() -> bool:
        found = await records_of(settings)
        return any(isinstance(one, Incident) and one.closed_at_ms for one in found)

    with watching(settings, rules, tmp_path / "log"):
        await until(closed, "the region has no active site any more")
