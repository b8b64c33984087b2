"""Several instances of one role as processes, to be killed, frozen and watched."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.duty import Duty
from schemas.health import Health
from tests.support.kafka_world import until
from tests.support.paths import ROOT
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

COMMANDS = {
    "region": ("worker", "region"),
    "optimizer": ("worker", "optimizer"),
    "market": ("market",),
    "settlement": ("settlement", "run"),
    "incidents": ("incidents", "run"),
}
LOST_DUTY = 6
"""Exit code of an instance that was replaced."""


class Standbys:
    """The instances of one role, and what they report, in the order of the log."""

    def __init__(self, role: str, settings: Settings, log_dir: Path) -> None:
        self._role = role
        self._settings = settings
        self._log_dir = log_dir
        self.started: list[subprocess.Popen[bytes]] = []
        self.reports: list[Duty] = []
        self._healths: dict[str, Health] = {}

    def start(self, module: str = "vpp_streams") -> subprocess.Popen[bytes]:
        """Start an instance; ``module`` may be a test's own, which does something to it."""
        environment = {
            **os.environ,
            "VPP_KAFKA": self._settings.kafka,
            "VPP_NAMESPACE": self._settings.namespace,
            "VPP_STATE_DIR": str(self._settings.state_dir),
            "VPP_MARKET_INTERVAL_S": str(self._settings.market_interval_s),
            "VPP_MARKET_GATE_S": str(self._settings.market_gate_s),
        }
        command = [sys.executable, "-m", module, *COMMANDS[self._role]]
        with (self._log_dir / f"{self._role}-{len(self.started)}.log").open("wb") as out:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
        self.started.append(process)
        return process

    def feeds(self) -> tuple[Feed[Duty], Feed[Health]]:
        return Feed(topics.DUTY, self._report), Feed(topics.HEALTH, self._health)

    def _report(self, read: Read[Duty]) -> None:
        if read.record.role == self._role:
            self.reports.append(read.record)

    def _health(self, read: Read[Health]) -> None:
        self._healths[read.record.process_id] = read.record

    async def until_on_duty(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the newest report is this process's."""

        async def on_duty() -> bool:
            assert process.poll() is None, f"it ended with {process.poll()}"
            return bool(self.reports) and self._is(self.reports[-1].process_id, process)

        await until(on_duty, f"{self._role} {process.pid} to be on duty")

    async def until_warm(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it stands by."""

        async def warm() -> bool:
            assert process.poll() is None, f"it ended with {process.poll()}"
            return any(
                self._is(health.process_id, process) and bool(health.gauges.get("warm"))
                for health in self._healths.values()
            )

        await until(warm, f"{self._role} {process.pid} to stand by")

    @staticmethod
    def _is(process_id: str, process: subprocess.Popen[bytes]) -> bool:
        return process_id.endswith(f"-{process.pid}")


@asynccontextmanager
async def standbys(role: str, settings: Settings, log_dir: Path) -> AsyncIterator[Standbys]:
    """Instances of a role; those that still run at the end are killed."""
    found = Standbys(role, settings, log_dir)
    try:
        async with onlooker(KafkaClients(settings)).following(*found.feeds()):
            yield found
    finally:
        for process in found.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


async def until_ended(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process has ended by itself; its exit code."""

    async def ended() -> bool:
        return process.poll() is not None

    await until(ended, f"process {process.pid} to end")
    assert process.returncode is not None
    return int(process.returncode)
