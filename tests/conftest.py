"""Fixtures that every test may use: a real Kafka, and settings with a world of their own."""

import asyncio
import gc
import logging
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import psycopg
import pytest
import pytest_asyncio
import structlog
from aiokafka.errors import KafkaError
from playwright.async_api import Browser, async_playwright, expect
from pydantic import SecretStr
from testcontainers.core.container import DockerContainer

from tests.support.waiting import PATIENCE_S
from vpp_streams.domain import kernels
from vpp_streams.errors import BrokerError, LedgerError
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.local import broker
from vpp_streams.local.doctor import CHROMIUM_NAMES
from vpp_streams.local.kafka_process import kafka_version, single_node
from vpp_streams.local.postgres_process import WAY_OUT, find_postgres, running_postgres
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

# No test depends on how long an example takes. `make test` plays the same examples in each run;
# `make test-all` (--hypothesis-profile=nightly) draws new ones, and more of them.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=500)
hypothesis.settings.load_profile("ci")

# What a page shall show comes late on a busy machine; a test that finds it does not wait so long.
expect.set_options(timeout=PATIENCE_S * 1000)

# structlog's own choice writes out every local value of each frame: seconds for one traceback.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.fixture(autouse=True)
def no_log_handlers_are_left() -> Iterator[None]:
    """Take away what a command that ran in the test's process has logged through.

    Its stream is closed with the test: whatever the next test logs would be an error on stderr.
    """
    before, configuration = logging.root.handlers[:], structlog.get_config()
    yield
    structlog.configure(**configuration)
    for handler in logging.root.handlers[:]:
        if handler not in before and type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@contextmanager
def kafka_in_a_container() -> Iterator[str]:
    """The official image with our settings, on a free port; removed after the block."""
    port, controller_port = free_port(), 19093
    environment = {
        "KAFKA_" + name.upper().replace(".", "_"): value
        for name, value in single_node("0.0.0.0", port, controller_port).items()
    }
    container = DockerContainer(f"apache/kafka:{kafka_version()}").with_envs(**environment)
    with container.with_bind_ports(port, port):
        bootstrap = f"localhost:{port}"
        broker.wait_until_it_works(bootstrap)
        yield bootstrap


def choose_kafka(directory: Path) -> tuple[str, AbstractContextManager[str]]:
    """What the tests run on, in words, and the context that starts it.

    A broker that VPP_KAFKA names is used as it is; one that does not answer is an error when
    the first test needs it: integration tests are never skipped for want of Kafka.
    """
    if named := os.environ.get("VPP_KAFKA"):
        return f"VPP_KAFKA={named}", nullcontext(named)
    if broker.docker_answers():
        return f"testcontainers, apache/kafka:{kafka_version()}", kafka_in_a_container()
    words = f"local Java broker, Apache Kafka {kafka_version()}, ended with the tests"
    return words, broker.running_local_kafka(directory, Settings().state_dir)


def memory_disk() -> str | None:
    """A directory in memory for a broker's files, if there is enough; else None.

    Each test creates and deletes hundreds of directories of partitions: on a disk the broker takes
    three times the CPU time for it.
    """
    disk = "/dev/shm"
    enough = Path(disk).is_dir() and shutil.disk_usage(disk).free >= 2 * 2**30
    return disk if enough else None


KAFKA = pytest.StashKey[str]()
"""What the tests run on, in words."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where tests run side by side (``-n``), start the one broker that all of them share.

    The processes that run them inherit its address.
    """
    running = ExitStack()
    files = TemporaryDirectory(prefix="vpp-tests-", dir=memory_disk())
    directory = Path(running.enter_context(files))
    config.add_cleanup(running.close)
    config.stash[KAFKA], kafka = choose_kafka(directory)
    if config.getoption("tx", None) and "VPP_KAFKA" not in os.environ:
        try:
            os.environ["VPP_KAFKA"] = running.enter_context(kafka)
        except BrokerError as error:
            raise pytest.UsageError(str(error)) from None
    if config.getoption("tx", None) and find_postgres() is not None:
        os.environ[POSTGRES] = running.enter_context(running_postgres("fsync=off")).url


POSTGRES = "VPP_TEST_POSTGRES"
"""Variable with the URL of a server that tests which run side by side share."""


def pytest_report_header(config: pytest.Config) -> list[str]:
    without_nightly = "not nightly" in config.getoption("markexpr")
    left_out = "without those marked nightly (`make test-all` has them)"
    return [
        f"kafka: {config.stash[KAFKA]}",
        f"postgres: {find_postgres() or WAY_OUT}",
        f"innermost loops: {kernels.which()}",
        f"tests: {left_out if without_nightly else 'all that are selected'}",
    ]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without the garbage collector, and leave what was imported out of it.

    All of that lasts as long as the process: to look through its half a million objects again and
    again takes a third of the time of the collection, and a part of each test's.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests, those on Kafka, begin first: at the end no process waits for the other.

    With ``--dist worksteal`` each process begins with a run of consecutive tests: an equal share
    of the long ones, then one of the others. Tests of a file stay together: those with deadlines
    would otherwise start their processes in the same moment.
    """
    long = [item for item in items if item.get_closest_marker("kafka")]
    others = [item for item in items if not item.get_closest_marker("kafka")]
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

    def share(n: int, of: list[pytest.Item]) -> list[pytest.Item]:
        return of[len(of) * n // shares : len(of) * (n + 1) // shares]

    items[:] = [item for n in range(shares) for item in (*share(n, long), *share(n, others))]


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap server of a real Kafka that starts when the first test asks for it."""
    with ExitStack() as stack:
        files = TemporaryDirectory(prefix="vpp-tests-", dir=memory_disk())
        _, running = choose_kafka(Path(stack.enter_context(files)))
        bootstrap = stack.enter_context(running)
        if not broker.answers(bootstrap):
            pytest.fail(
                f"no Kafka answers at {bootstrap}; unset VPP_KAFKA to have the tests start one"
            )
        yield bootstrap


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings in a namespace of the test's own, whose topics are deleted after the test.

    With the broker's address where the test is marked ``kafka`` or asks for the fixture.
    """
    needs_kafka = request.node.get_closest_marker("kafka") or "kafka" in request.fixturenames
    where = {"kafka": request.getfixturevalue("kafka")} if needs_kafka else {}
    found = Settings(namespace=f"t-{uuid.uuid4().hex[:12]}", state_dir=tmp_path / "state", **where)
    yield found
    if needs_kafka:
        asyncio.run(delete_topics(found))


async def delete_topics(settings: Settings) -> None:
    """Delete a world's topics: a broker with those of a hundred worlds is slow, and has files open.

    A broker that the test has stopped is left as it is.
    """
    with suppress(KafkaError, BrokerError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S), administering(KafkaClients(settings)) as admin:
            # Some tests add worlds whose names begin with theirs.
            ours = [t for t in await admin.list_topics() if t.startswith(settings.namespace)]
            if ours:
                await admin.delete_topics(ours)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL server, ended with the tests.

    A test that needs it is skipped where there is none, and fails in CI.
    """
    if shared := os.environ.get(POSTGRES):
        yield shared
        return
    if find_postgres() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(WAY_OUT)
        pytest.skip(WAY_OUT)
    try:
        with running_postgres("fsync=off") as server:
            yield server.url
    except LedgerError as error:
        pytest.fail(str(error))


@pytest.fixture
def postgres_ledger(postgres: str) -> Iterator[str]:
    """URL of an empty database of the test's own, removed after it."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The test's settings, with an empty ledger in each kind of database in turn."""
    if request.param == "sqlite":
        return settings
    url = SecretStr(request.getfixturevalue("postgres_ledger"))
    return settings.model_copy(update={"ledger": url})


@pytest_asyncio.fixture
async def topics_ready(kafka: str, settings: Settings) -> Settings:
    """The test's settings, once its topics are there."""
    await ensure_topics(KafkaClients(settings))
    return settings


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium for all tests of a process, each in a window of its own.

    A test that uses it runs in the session's event loop (``asyncio(loop_scope="session")``). It is
    skipped where there is no Chromium, and fails in CI.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        way_out = "no Chromium: install it (Debian: apt-get install chromium-headless-shell)"
        if os.environ.get("CI") == "true":
            pytest.fail(way_out)
        pytest.skip(way_out)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()
