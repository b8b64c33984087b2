"""Keeps processes running on one machine: restarts those that crash, ends all cleanly."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vpp_streams.process.private_files import private_directory

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
GRACE_S = 7.0
"""How long a process may take to end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A process that should be running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(slots=True)
class Child:
    """The process of a `Spec`, and its state."""

    spec: Spec
    log: Path
    state: Literal["waiting", "running", "crashed", "ended"] = "waiting"
    pid: int | None = None
    restarts: int = 0
    last_exit: int | None = None
    """Exit code of the run before this one; negative = the signal that killed it."""


def dies_with_us(command: Sequence[str], how: str) -> list[str]:
    """Wrap a command so that the kernel sends it signal ``how`` if this process ends first.

    Where the system has no ``setpriv`` (only Linux has), the command is returned unchanged.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return list(command)
    # The kernel signals later deaths only: a parent that died before setpriv ran is detected by
    # comparing the parent's process id.
    still_ours = '[ "$PPID" = "$0" ] && exec "$@"'
    return [setpriv, "--pdeathsig", how, "sh", "-c", still_ours, str(os.getpid()), *command]


def next_pause(pause_s: float, ran_s: float) -> float:
    """Seconds before the next restart: doubled each time, reset after a long run."""
    return FIRST_PAUSE_S if ran_s > LONGEST_PAUSE_S else min(pause_s * 2, LONGEST_PAUSE_S)


class Supervisor:
    """Runs every spec in a process group of its own, its output in a log file of its name."""

    def __init__(
        self, specs: Sequence[Spec], logs: Path, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self.children = [Child(spec, logs / f"{spec.name}.log") for spec in specs]
        self._first_pause_s = first_pause_s
        private_directory(logs)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again, by its name."""
        return {child.spec.name: child.restarts for child in self.children}

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep all running until ``stopping`` is set, then end all; none is left after it."""
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(self._keep(child, stopping))

    async def _keep(self, child: Child, stopping: asyncio.Event) -> None:
        pause_s = self._first_pause_s
        while not stopping.is_set():
            started = time.monotonic()
            await self._run_once(child, stopping)
            if stopping.is_set():
                break
            child.state = "crashed"
            child.restarts += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopping.wait()
            pause_s = next_pause(pause_s, time.monotonic() - started)
        child.state = "ended"

    async def _run_once(self, child: Child, stopping: asyncio.Event) -> None:
        with child.log.open("ab" if child.restarts else "wb") as log:
            process = await asyncio.create_subprocess_exec(
                *dies_with_us(child.spec.command, "TERM"),
                env=os.environ | child.spec.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        child.pid, child.state = process.pid, "running"
        ended = asyncio.create_task(process.wait())
        stop_requested = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({ended, stop_requested}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _signal_group(process.pid, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=GRACE_S)
        finally:
            stop_requested.cancel()
            # Also after a clean end: processes that it left in its group end too.
            _signal_group(process.pid, signal.SIGKILL)
            child.last_exit = await ended
            child.pid = None


def _signal_group(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, how)
