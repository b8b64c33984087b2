"""The whole loop as a person starts it: ``vpp up`` with real processes on a real Kafka."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from vpp_streams.local import demo
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
SMALL_FLEET = ("--homes", "6", "--solar", "2", "--megapacks", "1")


_FLEET = demo.DemoFleet(homes=6, solar=2, megapacks=1, seed=1)
PROCESSES = 1 + len(demo.specs(Settings(), _FLEET))
"""The supervisor, and one of each process that it runs."""


@contextmanager
def started(settings: Settings, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``vpp up`` during the block; whatever happens there, nothing of it runs afterwards."""
    environment = os.environ | {
        "VPP_KAFKA": settings.kafka,
        "VPP_NAMESPACE": settings.namespace,
        "VPP_STATE_DIR": str(settings.state_dir),
    }
    up = subprocess.Popen(
        [sys.executable, "-m", "vpp_streams", "up", *SMALL_FLEET, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield up
    finally:
        with suppress(ProcessLookupError):
            os.killpg(up.pid, signal.SIGTERM)
        up.communicate(timeout=60)


def processes_of(namespace: str) -> list[str]:
    """Command lines of the processes that live in a namespace."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"VPP_NAMESPACE={namespace}".encode() in path.read_bytes():
                found.append(path.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_check_reports_a_fleet_that_arrives_in_full(settings: Settings) -> None:
    with started(settings, "--check", "--seconds", "5") as up:
        out, _ = up.communicate(timeout=240)
    report = json.loads(out)
    # How quick it is depends on the machine; that it works does not.
    speed = ("reading-to-region age p99", "target-to-accepted p99")
    trouble = [reason for reason in report["reasons"] if not reason.startswith(speed)]
    trouble = [reason for reason in trouble if "were rejected" not in reason]
    logs = sorted((settings.state_dir / "logs").rglob("*.log"))
    assert trouble == [], "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)
    assert report["devices"] == 9
    assert report["canonical"] > 0
    assert report["age_p50_ms"] > 0
    assert set(report["coverage"]) == {"coast", "north", "valley"}
    assert up.returncode == (0 if report["healthy"] else 1)
    assert processes_of(settings.namespace) == []


def test_ctrl_c_ends_every_process(settings: Settings) -> None:
    with started(settings, "--check", "--seconds", "600") as up:
        assert up.stderr
        for line in up.stderr:
            if line.startswith("starting"):
                break
        wait_until(lambda: len(processes_of(settings.namespace)) == PROCESSES)
        os.killpg(up.pid, signal.SIGINT)
        out, err = up.communicate(timeout=60)
    assert up.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert processes_of(settings.namespace) == []


def test_a_supervisor_that_is_killed_leaves_nothing_running(settings: Settings) -> None:
    with started(settings, "--check", "--seconds", "600") as up:
        wait_until(lambda: len(processes_of(settings.namespace)) == PROCESSES)
        up.kill()
        up.communicate(timeout=60)
        # They end by themselves, each in its own time.
        assert wait_until(lambda: not processes_of(settings.namespace))
