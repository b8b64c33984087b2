"""Checks what this machine has and what is missing, with how to get it."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from vpp_streams import clock
from vpp_streams.domain import kernels
from vpp_streams.domain.duty import who_works
from vpp_streams.errors import BrokerError, VppError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import check_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.ranges import records_since
from vpp_streams.kafka.topic_settings import other_settings
from vpp_streams.local import broker
from vpp_streams.local.doctor_books import books
from vpp_streams.local.kafka_process import find_java, jars_dir, kafka_version
from vpp_streams.local.machine_check import Check
from vpp_streams.process.ports import is_free
from vpp_streams.settings import Settings

LOCK = Path(__file__).parents[2] / "requirements.lock"
REPORTS_MS = 5_000
"""A process that has reported nothing for this long does not run."""
DISK_NEEDED_BYTES = 2 * 2**30
CHROMIUM_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs that the tests of pages run in, the best first: the shell has the engine without the
windows around it, and takes half the CPU time."""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which a person would fix them."""
    docker = broker.docker_answers()
    return [
        _python(),
        packages(LOCK.read_text(), _installed_version),
        _kernels(),
        Check(
            "docker",
            docker,
            "the engine answers" if docker else "no engine answers",
            "not needed: Kafka runs with Java; to use it, install docker with `docker compose`",
            needed=False,
        ),
        _java(needed=not docker),
        _maven(settings, needed=not docker),
        _kafka(settings),
        _topics(settings),
        *_topic_settings(settings),
        *_duties(settings),
        *(_port(settings.host, name, port) for name, port in _ports(settings)),
        _chromium(),
        _disk(settings),
        *books(settings, kafka_answers=broker.answers(settings.kafka)),
    ]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), found, "make PYTHON=python3.11 setup")


def packages(lock: str, installed_version: Callable[[str], str | None]) -> Check:
    """Whether the packages of a lock file are installed at its versions."""
    wanted = dict(line.split("==") for line in lock.split() if "==" in line)
    other = [
        f"{name} {found or 'missing'} (locked {version})"
        for name, version in wanted.items()
        if (found := installed_version(name)) != version
    ]
    found = ", ".join(other) if other else f"all {len(wanted)} at their locked versions"
    return Check("packages", not other, found, "make clean setup")


def _kernels() -> Check:
    found = f"{kernels.which()}: ingest and fleet"
    way_out = "not needed: a C compiler, then make clean setup, makes them need less CPU"
    return Check("innermost loops", kernels.COMPILED is not None, found, way_out, needed=False)


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _java(*, needed: bool) -> Check:
    try:
        return Check("java", True, find_java(), needed=needed)
    except BrokerError as error:
        return Check(
            "java", False, str(error), "apt-get install openjdk-17-jre-headless", needed=needed
        )


def _maven(settings: Settings, *, needed: bool) -> Check:
    if jars_dir(settings.state_dir).is_dir():
        return Check("kafka jars", True, f"{kafka_version()} in {jars_dir(settings.state_dir)}")
    mvn = shutil.which("mvn")
    found = mvn or "missing; it fetches Kafka's jars once"
    return Check("maven", mvn is not None, found, "apt-get install maven", needed=needed)


def _kafka(settings: Settings) -> Check:
    if settings.kafka_security_protocol != "PLAINTEXT":
        return _secured_kafka(settings)
    answers = broker.answers(settings.kafka)
    found = f"{settings.kafka} {'answers' if answers else 'does not answer'}"
    # `vpp up` starts one itself.
    return Check("kafka", answers, found, "vpp broker start (`vpp up` does it)", needed=False)


def _secured_kafka(settings: Settings) -> Check:
    """Whether it lets us in; an open port alone says nothing."""
    try:
        asyncio.run(check_topics(KafkaClients(settings)))
    except VppError as error:
        return Check("kafka", False, str(error), "docs/kafka-security.md")
    return Check("kafka", True, f"{settings.kafka} answers ({settings.kafka_security_protocol})")


def _topics(settings: Settings) -> Check:
    if settings.kafka_security_protocol == "PLAINTEXT" and not broker.answers(settings.kafka):
        return Check("topics", False, "not checked: no Kafka", "vpp broker start", needed=False)
    try:
        missing = asyncio.run(check_topics(KafkaClients(settings)))
    except VppError as error:
        return Check("topics", False, str(error), "choose another VPP_NAMESPACE")
    namespace = f"namespace {settings.namespace!r}" if settings.namespace else "no namespace"
    found = (
        f"{len(topics.ALL) - len(missing)} exist ({namespace}), {len(missing)} created at the start"
    )
    return Check("topics", True, found)


def _topic_settings(settings: Settings) -> list[Check]:
    """Whether topics have the settings of new ones, which an upgrade alone does not give them."""
    if not broker.answers(settings.kafka):
        return []
    way_out = "vpp kafka topics --alter; leave what you have set yourself"
    try:
        others = asyncio.run(other_settings(KafkaClients(settings)))
    except VppError as error:
        return [Check("topic settings", False, str(error), way_out, needed=False)]
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    found = f"{others[0]}{more}" if others else "as new topics have them"
    return [Check("topic settings", not others, found, way_out, needed=False)]


def _duties(settings: Settings) -> list[Check]:
    """Of each role with standbys that runs in the namespace: who works."""
    if not broker.answers(settings.kafka):
        return []
    try:
        lines = asyncio.run(_who_works(KafkaClients(settings)))
    except BrokerError:
        return []  # no such topics: nothing has run here
    way_out = "start one: each of these roles needs an instance that works"
    return [Check("duty", "NOBODY" not in line, line, way_out, needed=False) for line in lines]


async def _who_works(clients: KafkaClients) -> list[str]:
    now_ms = clock.now_ms()
    since_ms = now_ms - REPORTS_MS
    reports = [read.record async for read in records_since(clients, topics.DUTY, since_ms)]
    healths = [read.record async for read in records_since(clients, topics.HEALTH, since_ms)]
    return who_works(reports, healths, now_ms)


def _ports(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("gateway port", settings.gateway_port),
        ("web port", settings.web_port),
        ("worker port", settings.worker_port),
    ]


def _port(host: str, name: str, port: int) -> Check:
    free = is_free(host, port)
    found = f"{port} is {'free' if free else 'taken'}"
    return Check(name, free, found, "`vpp up` takes another by itself", needed=False)


def _chromium() -> Check:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return Check(
        "chromium",
        found is not None,
        found or "missing; only the dashboard's tests need it",
        "apt-get install chromium-headless-shell, or chromium",
        needed=False,
    )


def _disk(settings: Settings) -> Check:
    there = next(p for p in (settings.state_dir, *settings.state_dir.parents) if p.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 2**30:.1f} GiB free at {there}"
    return Check("disk", free >= DISK_NEEDED_BYTES, found, "make room, or set VPP_STATE_DIR")
