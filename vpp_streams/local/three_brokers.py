"""Three local Kafka brokers, of which one is killed or frozen: for tests and benchmarks."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiokafka.errors import KafkaError

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.local.kafka_process import SHORT_LIVED, KafkaProcess, fetch_jars, find_java
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

NODES = (1, 2, 3)
START_S = 180.0
SILENT_MS = 9000
"""Kafka's own default."""


class ThreeBrokers:
    """A cluster whose brokers are also its controllers."""

    def __init__(self, directory: Path, silent_ms: int) -> None:
        self._silent_ms = silent_ms
        self._ports = {node: free_port() for node in NODES}
        controllers = {node: free_port() for node in NODES}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        libs, java = fetch_jars(Settings().state_dir), find_java()
        self._brokers = {
            node: KafkaProcess(
                directory / f"kafka-{node}",
                self._ports[node],
                libs,
                java,
                SHORT_LIVED,
                properties=self._properties(node, controllers[node], voters),
            )
            for node in NODES
        }
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        """Addresses of all three."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports.values())

    def _properties(self, node: int, controller: int, voters: str) -> dict[str, str]:
        listeners = f"PLAINTEXT://127.0.0.1:{self._ports[node]},CONTROLLER://127.0.0.1:{controller}"
        return {
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "broker.session.timeout.ms": str(self._silent_ms),
            "broker.heartbeat.interval.ms": "500",
        }

    def start(self, node: int) -> None:
        """Start a broker, or start it again on its data."""
        self._processes[node] = self._brokers[node].spawn(outlives_us=False)

    def kill(self, node: int) -> None:
        """End a broker as a power cut does."""
        self._processes[node].kill()
        self._processes[node].wait()

    def freeze(self, node: int) -> None:
        """Stop a broker in the middle of whatever it does: its connections stay open."""
        os.kill(self._java(node), signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self._java(node), signal.SIGCONT)

    def _java(self, node: int) -> int:
        return self._processes[node].pid  # `setpriv` and `sh` have become it

    async def wait_for_all(self) -> None:
        """Return once every broker is in the cluster. Raises `TimeoutError`."""
        async with asyncio.timeout(START_S):
            while not await self._complete():  # noqa: ASYNC110  # Kafka signals it to nobody
                await asyncio.sleep(0.2)

    async def _complete(self) -> bool:
        with suppress(BrokerError, KafkaError):
            async with administering(KafkaClients(Settings(kafka=self.bootstrap))) as admin:
                return len((await admin.describe_cluster())["brokers"]) == len(NODES)
        return False

    def end(self) -> None:
        """Kill every broker, also a frozen one."""
        for process in self._processes.values():
            process.kill()
            process.wait()


@asynccontextmanager
async def three_brokers(directory: Path, silent_ms: int = SILENT_MS) -> AsyncIterator[ThreeBrokers]:
    """A running cluster, with its data in ``directory``.

    A broker that says nothing for ``silent_ms`` loses its partitions to the others.
    """
    cluster = ThreeBrokers(directory, silent_ms)
    try:
        for node in NODES:
            cluster.start(node)
        await cluster.wait_for_all()
        yield cluster
    finally:
        cluster.end()
