"""Topics that an earlier version created: what differs is named, and changed only on request."""

import asyncio

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from tests.support.kafka_world import until
from vpp_streams.cli import build_app
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.kafka.topic import Topic
from vpp_streams.kafka.topic_settings import alter_settings, other_settings
from vpp_streams.local import doctor
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
LAG = "min.compaction.lag.ms"
SET_BY_SOMEBODY = "7200000"


@pytest.fixture
async def clients(settings: Settings) -> KafkaClients:
    """Of a world in which an earlier version created two topics, and somebody set one of them."""
    found = KafkaClients(settings)
    old: dict[Topic, dict[str, str]] = {
        topics.PREFERENCES: {"cleanup.policy": "compact", "segment.ms": SET_BY_SOMEBODY},
        topics.SITE_WINDOWS: {"cleanup.policy": "delete", "retention.ms": str(DAY_MS)},
    }
    async with administering(found) as admin:
        await admin.create_topics(
            [
                NewTopic(found.full(topic), topic.partitions, 1, topic_configs=config)
                for topic, config in old.items()
            ]
        )

        async def listed() -> bool:
            return {found.full(topic) for topic in old} <= set(await admin.list_topics())

        await until(listed, "the broker to list the topics")
    return found


async def test_what_differs_is_named_and_altered_and_the_rest_stays(clients: KafkaClients) -> None:
    others = await other_settings(clients)
    found = {(one.topic, one.name): (one.found, one.wanted) for one in others}
    preferences, windows = clients.full(topics.PREFERENCES), clients.full(topics.SITE_WINDOWS)
    assert found[preferences, LAG] == ("0", str(topics.PREFERENCES.uncompacted_ms))
    assert found[windows, "retention.ms"] == (str(DAY_MS), str(topics.SITE_WINDOWS.retention_ms))
    assert {one.topic for one in others} == {preferences, windows}
    await alter_settings(clients, others)

    async def altered() -> bool:
        return await other_settings(clients) == []

    await until(altered, "the settings of new topics")
    assert await segment_ms(clients, preferences) == SET_BY_SOMEBODY


async def segment_ms(clients: KafkaClients, topic: str) -> str:
    """A setting that is none of ours."""
    async with administering(clients) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return next(value for key, value, *_ in answer.resources[0][4] if key == "segment.ms")


async def test_the_command_and_doctor_name_them(
    clients: KafkaClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = clients.settings
    monkeypatch.setenv("VPP_KAFKA", settings.kafka)
    monkeypatch.setenv("VPP_NAMESPACE", settings.namespace)
    monkeypatch.setenv("VPP_STATE_DIR", str(settings.state_dir))
    runner, app = CliRunner(), build_app()
    name = clients.full(topics.PREFERENCES)

    def check() -> Check:
        return {one.name: one for one in doctor.examine(settings)}["topic settings"]

    found = await asyncio.to_thread(check)
    assert not found.ok
    assert not found.needed
    assert found.found.startswith(f"{name}: ")
    assert found.found.endswith("(and 3 more)")
    listed = await asyncio.to_thread(runner.invoke, app, ["kafka", "topics"])
    assert f"{name}: {LAG} is 0, a new topic has" in listed.stdout
    assert "--alter" in listed.stdout
    assert await other_settings(clients) != []
    altered = await asyncio.to_thread(runner.invoke, app, ["kafka", "topics", "--alter"])
    assert altered.exit_code == 0, altered.output

    async def none() -> bool:
        return (await asyncio.to_thread(check)).ok

    await until(none, "the settings of new topics")
