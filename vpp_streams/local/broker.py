"""A local Apache Kafka 4 for the demo, development and tests.

It runs in Docker where an engine answers, else as a Java process
(`vpp_streams.local.kafka_process`), with the same version and settings. ``VPP_KAFKA`` points at any
other cluster.
"""

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aiokafka.errors import KafkaError

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local.kafka_process import (
    SHORT_LIVED,
    KafkaProcess,
    fetch_jars,
    find_java,
    jars_dir,
    kafka_version,
    running_pid,
    stop_process,
)
from vpp_streams.process.ports import free_port, is_free
from vpp_streams.process.private_files import locked
from vpp_streams.settings import Settings, load_settings

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
START_PATIENCE_S = 90.0
LONGEST_START_S = 900.0
_OURS = frozenset({"localhost", "127.0.0.1", "::1"})

Engine = Literal["docker", "java"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """The state of the broker at `Settings.kafka`."""

    kafka: str
    answers: bool
    engine: Engine | None
    """What runs it; None where we did not start it."""
    pid: int | None = None
    log: Path | None = None


def answers(bootstrap: str, timeout_s: float = 2.0) -> bool:
    """Whether a Kafka broker (not just an open port) answers at one of ``host:port,...``."""
    return any(_answers_at(*_host_and_port(server), timeout_s) for server in bootstrap.split(","))


def _answers_at(host: str, port: int, timeout_s: float) -> bool:
    # ApiVersions v0 is the one request that every broker answers to anyone, in 14 bytes.
    api_versions, version, correlation_id, no_client = 18, 0, 1, -1
    request = struct.pack(">ihhih", 10, api_versions, version, correlation_id, no_client)
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(request)
            head = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 8 and struct.unpack(">ii", head)[1] == correlation_id


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BrokerError(f"VPP_KAFKA: {server!r} is no host:port, for example localhost:9092")
    return host.strip("[]"), int(port)


def docker_answers() -> bool:
    """Whether a Docker engine with ``docker compose`` answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return all(
            subprocess.run(
                [docker, *words], capture_output=True, timeout=10, check=False
            ).returncode
            == 0
            for words in (("info",), ("compose", "version"))
        )
    except subprocess.TimeoutExpired:
        return False


def start(settings: Settings, say: Say) -> BrokerStatus:
    """Start a broker at `Settings.kafka` if none answers there, and wait until it works.

    Raises `BrokerError` where it cannot: another host, no Java, no Maven, a port that is taken.
    """
    if answers(settings.kafka):
        say(f"Kafka answers at {settings.kafka} already")
        return status(settings)
    port = _local_port(settings)
    with locked(settings.state_dir / "broker.lock"):
        if answers(settings.kafka):  # another process started it first
            return status(settings)
        if docker_answers():
            _check_port_of_container(port)
            say(f"starting Apache Kafka {kafka_version()} in Docker on port {port}")
            _compose(port, "up", "--detach", "--wait", "kafka")
            wait_until_it_works(settings.kafka)
        else:
            local = _process(settings, port, say)
            say(f"starting Apache Kafka {kafka_version()} (Java) on port {port}")
            spawn_and_wait(local, outlives_us=True)
    say(f"Kafka answers at {settings.kafka}")
    return status(settings)


@contextmanager
def answering(settings: Settings, say: Say) -> Iterator[None]:
    """A broker at `Settings.kafka` for the block; one that was started for it is stopped again."""
    if settings.kafka_security_protocol != "PLAINTEXT":
        yield  # never ours, and its port says nothing to strangers
        return
    ours = not answers(settings.kafka)
    start(settings, say)
    try:
        yield
    finally:
        if ours:
            stop(settings)


def run_in_foreground(settings: Settings, say: Say) -> None:
    """Become the broker: this process ends when Kafka does, and Ctrl-C stops it."""
    port = _local_port(settings)
    if answers(settings.kafka):
        raise BrokerError(f"Kafka answers at {settings.kafka} already; `vpp broker stop` ends ours")
    if docker_answers():
        _check_port_of_container(port)
        command, environment = _compose_command(port, "up", "kafka")
    else:
        command, environment = _process(settings, port, say).command(), dict(os.environ)
    os.execvpe(command[0], command, environment)


def stop(settings: Settings) -> bool:
    """Stop the broker that `start` started; False where there is none."""
    port = _local_port(settings)
    if stop_process(_home(settings, port)):
        return True
    if docker_answers() and _container_runs(port):
        _compose(port, "down")
        return True
    return False


def status(settings: Settings) -> BrokerStatus:
    """The state of the broker; changes nothing."""
    answering = answers(settings.kafka)
    host, port = _host_and_port(settings.kafka.split(",")[0])
    home = _home(settings, port)
    if host not in _OURS:
        return BrokerStatus(settings.kafka, answering, None)
    if pid := running_pid(home):
        return BrokerStatus(settings.kafka, answering, "java", pid, home / "kafka.log")
    engine: Engine | None = "docker" if docker_answers() and _container_runs(port) else None
    return BrokerStatus(settings.kafka, answering, engine)


@contextmanager
def running_local_kafka(directory: Path, cache: Path) -> Iterator[str]:
    """A Java broker on a free port with its data in ``directory``, stopped after the block.

    Yields its bootstrap server. The kernel ends it with this process if that is killed.
    """
    home = directory / "kafka"
    local = KafkaProcess(home, free_port(), fetch_jars(cache), find_java(), SHORT_LIVED)
    process = spawn_and_wait(local, outlives_us=False)
    try:
        yield f"localhost:{local.port}"
    finally:
        process.kill()  # its data goes with its directory: nothing to save
        process.wait()


def _local_port(settings: Settings) -> int:
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise BrokerError(
            "the local Kafka has no users and no TLS; unset VPP_KAFKA_SECURITY_PROTOCOL to use it,"
            " or start yours first"
        )
    host, port = _host_and_port(settings.kafka)
    if host not in _OURS:
        raise BrokerError(
            f"VPP_KAFKA={settings.kafka} is not on this machine: start that one where it runs,"
            " or unset VPP_KAFKA for a local broker"
        )
    return port


def _home(settings: Settings, port: int) -> Path:
    return settings.state_dir / "broker" / str(port)


def _check_port(port: int) -> None:
    if not is_free("127.0.0.1", port):
        raise BrokerError(
            f"port {port} is taken by something that is not Kafka; choose another:"
            f" VPP_KAFKA=localhost:{free_port()}"
        )


def _check_port_of_container(port: int) -> None:
    # One of ours that is still starting has the port and does not answer yet: compose waits.
    if not is_free("127.0.0.1", port) and not _container_runs(port):
        _check_port(port)


def _process(settings: Settings, port: int, say: Say) -> KafkaProcess:
    _check_port(port)
    java = find_java()
    if not jars_dir(settings.state_dir).is_dir():
        say(f"fetching Apache Kafka {kafka_version()} with Maven (43 MB, only this once)")
    return KafkaProcess(_home(settings, port), port, fetch_jars(settings.state_dir), java)


def spawn_and_wait(local: KafkaProcess, *, outlives_us: bool) -> subprocess.Popen[bytes]:
    """Start a broker and return once it can create topics. Raises `BrokerError`."""
    process = local.spawn(outlives_us=outlives_us)

    def progress() -> int:
        if process.poll() is not None:
            raise BrokerError(f"Kafka ended while it started: {local.why_it_ended()}")
        return local.log.stat().st_size

    try:
        wait_until_it_works(f"localhost:{local.port}", progress)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def wait_until_it_works(bootstrap: str, progress: Callable[[], int] = lambda: 0) -> None:
    """Wait until the broker at ``bootstrap`` can create topics.

    ``progress`` returns another number with each sign of life (after an unclean end Kafka first
    reads all its data), and raises where waiting has become pointless. Raises `BrokerError` after
    `START_PATIENCE_S` without such a sign, and after `LONGEST_START_S` in any case.
    """
    started, newest = time.monotonic(), progress()
    last_sign = started
    while not (answers(bootstrap) and asyncio.run(_has_registered(bootstrap))):
        now = time.monotonic()
        if (sign := progress()) != newest:
            last_sign, newest = now, sign
        if now > min(last_sign + START_PATIENCE_S, started + LONGEST_START_S):
            raise BrokerError(f"Kafka does not answer at {bootstrap} after {now - started:.0f} s")
        time.sleep(0.1)


async def _has_registered(bootstrap: str) -> bool:
    """Whether the broker has joined its cluster: shortly after it first answers; topics need it."""
    admin = KafkaClients(load_settings(kafka=bootstrap)).admin(request_timeout_ms=5000)
    try:
        with suppress(KafkaError, OSError):
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
    finally:
        await admin.close()
    return False


def _compose_command(port: int, *words: str) -> tuple[list[str], dict[str, str]]:
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), *words]
    return command, os.environ | {"VPP_KAFKA_PORT": str(port)}


def _compose(port: int, *words: str) -> str:
    command, environment = _compose_command(port, *words)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise BrokerError(f"`docker compose {words[0]}` failed: {last}")
    return done.stdout


def _container_runs(port: int) -> bool:
    return bool(_compose(port, "ps", "--quiet", "--status", "running", "kafka").strip())
