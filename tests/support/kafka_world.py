"""A world of its own on the test broker: worker processes, topics read whole, progress awaited."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S
from vpp_streams.kafka.admin import topic_config
from vpp_streams.kafka.clients import KafkaClients, administering, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings


def plain_http(base_url: str = "") -> httpx.AsyncClient:
    """A client of pages without TLS: one that verifies loads every certificate of the system,
    which takes longer than the request."""
    return httpx.AsyncClient(base_url=base_url, verify=False, timeout=PATIENCE_S)


class Worker:
    """One ``vpp worker`` process of a role, with its log in a file."""

    def __init__(self, role: str, settings: Settings, log_dir: Path, **env: str) -> None:
        self.port = free_port()
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log = log_dir / f"{role}-{self.port}.log"
        command = [sys.executable, "-m", "vpp_streams", "worker", role, "--port", str(self.port)]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "VPP_KAFKA": settings.kafka,
                    "VPP_NAMESPACE": settings.namespace,
                    "VPP_SESSION_TIMEOUT_S": "6",
                    "VPP_SNAPSHOT_MS": "200",
                    **env,
                },
            )

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does, as a machine that sleeps."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE_S)

    async def get(self, path: str) -> dict[str, Any]:
        """JSON of one of its pages."""
        async with plain_http() as http:
            answer: dict[str, Any] = (await http.get(self._url(path))).json()
        return answer

    async def answers(self, path: str) -> bool:
        """Whether a page is there: the worker is up and holds what it asks for.

        Raises `AssertionError` where the worker has ended: nobody waits for it.
        """
        ended = self.process.poll()
        assert ended is None, f"the worker ended with {ended}: {self.why()}"
        try:
            async with plain_http() as http:
                return (await http.get(self._url(path))).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def why(self) -> str:
        """The lines of its log that say how it crashed, or its last ones."""
        lines = self.log.read_text(errors="replace").splitlines()
        crash = [i for i, line in enumerate(lines) if "Crashed reason" in line]
        at = crash[0] if crash else len(lines) - 20
        return "\n".join(lines[max(at, 0) :][:40])

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def workers(settings: Settings, log_dir: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers with the value; those that still run at the end are killed."""
    started: list[Worker] = []

    def start(role: str, **env: str) -> Worker:
        worker = Worker(role, settings, log_dir, **env)
        started.append(worker)
        return worker

    try:
        yield start
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.kill()


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S
) -> None:
    """Wait until a condition holds.

    It is looked at five times a second: most conditions ask processes or the broker, and what
    they take for the answer is missing where the tests wait for them.
    """
    deadline = time.monotonic() + patience_s
    while not await condition():
        assert time.monotonic() < deadline, f"waited {patience_s} s for: {what}"
        await asyncio.sleep(0.2)


async def write(settings: Settings, topic: Topic[Any], record: Any) -> None:
    """Write one record to a topic; it is safe on return."""
    async with producing(KafkaClients(settings)) as producer:
        await Outlet(producer, settings.namespace).write(topic, record)


async def make_again(settings: Settings, topic: Topic[Any]) -> None:
    """Delete a topic and create it again, without its records."""
    name, config = topic.full(settings.namespace), topic_config(topic, 1)

    async def gone() -> bool:
        return name not in await admin.list_topics()

    async def made() -> bool:
        return not any(code for _, code, *_ in (await admin.create_topics([new])).topic_errors)

    new = NewTopic(name, topic.partitions, 1, topic_configs=config)
    async with administering(KafkaClients(settings)) as admin:
        await admin.delete_topics([name])
        await until(gone, f"{name} to be deleted")
        await until(made, f"{name} to be made again")


async def partitions_of(settings: Settings, name: str) -> list[TopicPartition]:
    """The partitions of a topic (full name)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([name])
    finally:
        await admin.close()
    return [TopicPartition(name, p["partition"]) for p in described["partitions"]]


class TopicLog:
    """The records of one topic so far. What was read once is not fetched again."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._records: list[ConsumerRecord] = []

    async def read(self) -> list[ConsumerRecord]:
        """Every record of the topic up to now, partition by partition, in order."""
        consumer, partitions = self._consumer, self._partitions
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for found in (await consumer.getmany(timeout_ms=500)).values():
                self._records += found
        return sorted(self._records, key=lambda r: (r.partition, r.offset))


@asynccontextmanager
async def topic_log(settings: Settings, name: str) -> AsyncIterator[TopicLog]:
    """The log of a topic (full name), for a test that reads it more than once."""
    partitions = await partitions_of(settings, name)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        yield TopicLog(consumer, partitions)
    finally:
        await consumer.stop()


async def read_all(settings: Settings, name: str) -> list[ConsumerRecord]:
    """Every record of a topic (full name), partition by partition, in order."""
    async with topic_log(settings, name) as log:
        return await log.read()


async def write_raw(settings: Settings, *records: tuple[Topic, str, bytes, int]) -> None:
    """Write records, each (topic, key, value, partition); all are stored on return."""
    producer = KafkaClients(settings).producer()
    await producer.start()
    try:
        for topic, key, value, partition in records:
            name = topic.full(settings.namespace)
            await producer.send_and_wait(name, value, key.encode(), partition)
    finally:
        await producer.stop()
