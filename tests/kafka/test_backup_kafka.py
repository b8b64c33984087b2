"""Topics to a file and back, by the commands of an operator."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.assets import Device, Site
from schemas.entry_frames import encode_entries
from tests.support.kafka_world import read_all, write_raw
from tests.support.ledger_world import INTERVAL_MS, OCTOBER_MS, batch, home_of, interval
from vpp_streams.cli import build_app
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.backup import SOURCES
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
HOMES = [Site(f"home-{n}", "north", (Device(f"home-{n}-pw", "powerwall"),)) for n in range(20)]


def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, *words: str) -> Result:
    monkeypatch.setenv("VPP_KAFKA", settings.kafka)
    monkeypatch.setenv("VPP_NAMESPACE", settings.namespace)
    return CliRunner().invoke(build_app(), ["kafka", *words])


async def content(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Key, value, headers and time of each record, by topic and partition."""
    return {
        topic.name: [
            (r.partition, r.key, r.value, r.headers, r.timestamp)
            for r in sorted(
                await read_all(settings, topic.full(settings.namespace)),
                key=lambda r: (r.partition, r.offset),
            )
        ]
        for topic in SOURCES
    }


async def test_what_is_backed_up_is_restored_record_by_record(
    topics_ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_many(KafkaClients(topics_ready), topics.ASSETS, HOMES)
    rows = interval(OCTOBER_MS, {home_of(3): 31_250}, operator_micros=100_000)
    later = interval(OCTOBER_MS + INTERVAL_MS, {home_of(4): 500_000})
    for found in (rows, later):
        raw = [
            (topics.SETTLEMENT_ENTRIES, "north", encode_entries(batch(entries)), partition)
            for partition, entries in found.items()
        ]
        await write_raw(topics_ready, *raw)
    file = tmp_path / "backup.parquet"

    def commands() -> tuple[Result, Result, Result]:
        saved = run(monkeypatch, topics_ready, "backup", str(file))
        again = run(monkeypatch, topics_ready, "restore", str(file))
        return saved, again, run(monkeypatch, other, "restore", str(file))

    other = topics_ready.model_copy(update={"namespace": f"{topics_ready.namespace}-restored"})
    saved, again, restored = await asyncio.to_thread(commands)
    assert saved.exit_code == 0, saved.output
    assert isinstance(again.exception, InputError)
    assert "has records already" in str(again.exception)
    assert restored.exit_code == 0, restored.output
    before = await content(topics_ready)
    assert sum(map(len, before.values())) >= len(HOMES) + 2
    assert await content(other) == before


def test_another_file_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text("no")
    refused = run(monkeypatch, settings, "restore", str(tmp_path / "other"))
    assert isinstance(refused.exception, InputError)
