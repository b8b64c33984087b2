"""``vpp edge check`` as a command: a line for each step as it is done, and the exit code."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path

from edge.commissioning import judge as commissioning
from edge.commissioning.check import Check
from edge.commissioning.judge import Finding
from edge.config import ConfigError, read_config
from edge.run import WRONG_CONFIG
from edge.store import InUseError


def check(path: Path, *, as_json: bool) -> int:
    """Check the home of a configuration file; returns the exit code: 0 = nothing failed."""
    try:
        made = Check(read_config(path), _say_json if as_json else _say_line)
    except InUseError:
        words = "an agent runs on this storage: stop it first (systemctl stop vpp-edge)"
        return _mistake(words)
    except ConfigError as error:
        return _mistake(str(error))
    try:
        asyncio.run(_stoppable(made.run()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("vpp edge: stopped, and the inverter is released\n")
        return 1
    return 0 if commissioning.all_well(made.findings) else 1


async def _stoppable(work: Coroutine[None, None, None]) -> None:
    """Run ``work``; SIGINT and SIGTERM cancel it, so that it releases the inverter."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    await work


def _mistake(words: str) -> int:
    sys.stderr.write(f"vpp edge: {words}\n")
    return WRONG_CONFIG


def _say_line(finding: Finding) -> None:
    todo = f". {finding.what_to_do}" if finding.what_to_do else ""
    sys.stdout.write(f"{finding.outcome:<9}  {finding.step}: {finding.seen}{todo}\n")
    sys.stdout.flush()


def _say_json(finding: Finding) -> None:
    sys.stdout.write(json.dumps(asdict(finding)) + "\n")
    sys.stdout.flush()
