"""The local broker: its life, and the errors a person meets."""

import asyncio
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local import broker, kafka_process
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings


def quiet(_text: str) -> None:
    """Nobody listens."""


@pytest.mark.kafka
async def test_what_is_produced_is_read_back(topics_ready: Settings) -> None:
    topic = topics.TELEMETRY.full(topics_ready.namespace)
    producer = KafkaClients(topics_ready).producer()
    await producer.start()
    sent = await producer.send_and_wait(topic, b"frame", key=b"k", partition=3)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=topics_ready.kafka, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 3)])
    record = await consumer.getone()
    await consumer.stop()
    assert (record.offset, record.value) == (sent.offset, b"frame")


@pytest.mark.kafka
async def test_topics_are_made_once_and_of_the_right_shape(topics_ready: Settings) -> None:
    await asyncio.gather(
        ensure_topics(KafkaClients(topics_ready)), ensure_topics(KafkaClients(topics_ready))
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=topics_ready.kafka)
    await admin.start()
    try:
        there = await admin.describe_topics(
            [topic.full(topics_ready.namespace) for topic in topics.ALL]
        )
    finally:
        await admin.close()
    partitions = {info["topic"]: len(info["partitions"]) for info in there}
    assert partitions == {
        topic.full(topics_ready.namespace): topic.partitions for topic in topics.ALL
    }


@pytest.mark.kafka
async def test_a_topic_of_another_shape_is_told(
    topics_ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = tuple(replace(topic, partitions=topic.partitions + 1) for topic in topics.ALL)
    monkeypatch.setattr(topics, "ALL", grown)
    with pytest.raises(BrokerError, match=r"has \d+ partitions, we need \d+; delete it or choose"):
        await ensure_topics(KafkaClients(topics_ready))


@pytest.mark.kafka
async def test_more_replicas_than_brokers_is_an_error_not_a_wait(
    kafka: str, settings: Settings
) -> None:
    with pytest.raises(BrokerError, match="cannot create topic"):
        await ensure_topics(KafkaClients(settings.model_copy(update={"kafka_replication": 5})))


@pytest.mark.kafka
def test_a_broker_that_answers_is_not_started_again(kafka: str, tmp_path: Path) -> None:
    said: list[str] = []
    found = broker.start(Settings(kafka=kafka, state_dir=tmp_path), said.append)
    assert found.answers
    assert said == [f"Kafka answers at {kafka} already"]


needs_java_engine = pytest.mark.skipif(
    broker.docker_answers(), reason="a Docker engine answers: the Java process is not used here"
)


@pytest.mark.kafka
@needs_java_engine
def test_start_stop_start_keeps_the_data(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(kafka=f"localhost:{port}", state_dir=tmp_path, namespace="kept")
    # The jars are the machine's, whatever the state directory: no test fetches them twice.
    jars = kafka_process.fetch_jars(Settings().state_dir)
    kafka_process.jars_dir(tmp_path).parent.mkdir(parents=True)
    kafka_process.jars_dir(tmp_path).symlink_to(jars)
    try:
        assert broker.start(settings, quiet).engine == "java"
        asyncio.run(_send(settings, b"before"))
        assert broker.stop(settings)
        assert not broker.answers(settings.kafka)
        assert not broker.stop(settings)
        broker.start(settings, quiet)
        assert asyncio.run(_send(settings, b"after")) == 1
    finally:
        broker.stop(settings)


async def _send(settings: Settings, value: bytes) -> int:
    await ensure_topics(KafkaClients(settings))
    producer = KafkaClients(settings).producer()
    await producer.start()
    try:
        sent = await producer.send_and_wait(topics.HEALTH.full(settings.namespace), value)
    finally:
        await producer.stop()
    return int(sent.offset)


@pytest.mark.kafka
@needs_java_engine
def test_the_tests_broker_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from vpp_streams import settings; from vpp_streams.local import broker\n"
        "cache = settings.Settings().state_dir\n"
        "with broker.running_local_kafka(pathlib.Path(sys.argv[1]), cache) as bootstrap:\n"
        "    print(bootstrap, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    bootstrap = parent.stdout.readline().strip()
    pid = kafka_process.running_pid(tmp_path / "kafka")
    assert pid
    assert broker.answers(bootstrap)
    pidfd = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()
    try:
        assert select.select([pidfd], [], [], 30)[0], "the broker outlived its parent"
    finally:
        os.close(pidfd)


class ComposedError(Exception):
    """``docker compose`` would run now, or this process would become it."""


@pytest.fixture(params=["java", "docker"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each engine, whatever this machine has; none is ever started."""

    def compose(_port: int, *words: str) -> str:
        if words[0] == "ps":
            return ""  # no container of ours
        raise ComposedError

    def execute(*_args: object) -> None:
        raise ComposedError

    monkeypatch.setattr(broker, "docker_answers", lambda: request.param == "docker")
    monkeypatch.setattr(broker, "_compose", compose)
    monkeypatch.setattr(os, "execvpe", execute)
    return str(request.param)


@pytest.mark.parametrize("begin", [broker.start, broker.run_in_foreground])
def test_something_that_is_not_kafka_does_not_answer(
    tmp_path: Path, engine: str, begin: Callable[..., Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not broker.answers(f"127.0.0.1:{port}", timeout_s=0.05)
        with pytest.raises(BrokerError, match=f"port {port} is taken.*VPP_KAFKA=localhost:"):
            begin(Settings(kafka=f"localhost:{port}", state_dir=tmp_path), quiet)


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
def test_a_container_of_ours_that_is_starting_may_have_the_port(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "_container_runs", lambda _port: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ComposedError):
            broker.run_in_foreground(Settings(kafka=f"localhost:{port}", state_dir=tmp_path), quiet)


def test_a_broker_elsewhere_is_not_ours_to_start(tmp_path: Path) -> None:
    settings = Settings(kafka="kafka.invalid:9092", state_dir=tmp_path)
    with pytest.raises(BrokerError, match="not on this machine"):
        broker.stop(settings)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(BrokerError, match="'localhost' is no host:port"):
        broker.answers("localhost")


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError, match="apt-get install openjdk-17-jre-headless"):
        kafka_process.find_java()


def test_without_maven_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError, match="apt-get install maven"):
        kafka_process.fetch_jars(tmp_path)


@pytest.mark.parametrize(
    ("told", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 1),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("zsh: command not found", 0),
    ],
)
def test_java_versions_are_read(told: str, major: int) -> None:
    assert kafka_process.java_major(told) == major
