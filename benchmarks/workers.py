"""Worker processes started like `vpp worker`, measured from outside."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import Usage, usage
from vpp_streams.local import broker
from vpp_streams.local.supervisor import dies_with_us
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

ROOT = Path(__file__).parents[1]
GRACE_S = 10.0


@dataclass(slots=True)
class Child:
    """A process of ours, and the path of its output."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0
    """Port of its pages; 0 = it has none."""

    def usage(self) -> Usage:
        """The usage so far. Raises `RuntimeError` with the end of its log if it has ended."""
        found = usage(self.process.pid) if self.process.poll() is None else None
        if found is None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.name} ended with {self.process.poll()}; its log:\n{tail}")
        return found


def spawn(name: str, command: Sequence[str], settings: Settings, logs: Path, **env: str) -> Child:
    """Start a Python module of this project (``-m`` words) with the settings' environment."""
    log = logs / f"{name}.log"
    world = {"VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace,
             "VPP_STATE_DIR": str(settings.state_dir), "PYTHONPATH": str(ROOT)}  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            dies_with_us([sys.executable, "-m", *command], "KILL"),
            cwd=ROOT,
            env=os.environ | world | env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Child(name, process, log)


@contextmanager
def workers(settings: Settings, roles: Mapping[str, int], **env: str) -> Iterator[list[Child]]:
    """Run this many workers of each role during the block."""
    children: list[Child] = []
    with TemporaryDirectory() as logs:
        try:
            for role, number in roles.items():
                for i in range(number):
                    port = free_port()
                    command = ("vpp_streams", "worker", role, "--port", str(port))
                    child = spawn(f"{role}-{i}", command, settings, Path(logs), **env)
                    child.port = port
                    children.append(child)
            yield children
        finally:
            end(children)


def end(children: Sequence[Child]) -> None:
    """Terminate our processes, and kill those that do not end."""
    for child in children:
        child.process.terminate()
    for child in children:
        try:
            child.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def broker_usage(settings: Settings) -> Usage | None:
    """Usage of the local broker; None if another machine or Docker runs it."""
    pid = broker.status(settings).pid
    return usage(pid) if pid else None
