"""A gateway killed with -9 under 500 devices: no reading is missing, and none counts twice."""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from device_sim.device import Patience
from device_sim.fleet import demo_sites
from device_sim.runner import Fleet, SimOptions, running_fleet
from schemas.telemetry import RawLine
from tests.kafka_world import PATIENCE_S, ROOT, read_all
from vpp_streams import demo, topics
from vpp_streams.domain.dedupe import SeqLedger
from vpp_streams.kafka_process import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

DEVICES = 500
SOON = Patience(reconnect_first_ms=200, reconnect_most_ms=1000)
"""Devices come back sooner than they would outside of a test."""

Name = tuple[str, int, int]
"""device_id, boot, seq"""


class Measured(msgspec.Struct):
    """What a native and a vendor body have in common."""

    t: int


_lines = msgspec.json.Decoder(RawLine)
_measured = msgspec.json.Decoder(Measured)


@contextmanager
def gateway_process(settings: Settings, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``vpp gateway`` in a process of its own; killed with -9 at the end if not before."""
    command = [sys.executable, "-m", "vpp_streams", "gateway", "--port", str(port)]
    env = {**os.environ, "VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace}
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def made_by(fleet: Fleet) -> set[Name]:
    devices = [(client.device_id, client.device) for client in fleet.clients]
    return {
        (device_id, int(device.boot, 16), seq)
        for device_id, device in devices
        for seq in range(device.ring.next_seq)
    }


async def stored(settings: Settings) -> tuple[list[Name], dict[Name, set[int]]]:
    """Names of all lines in the raw topics, live ones first, and the times each was measured at."""
    names = []
    measured_ms: dict[Name, set[int]] = defaultdict(set)
    for topic in (*topics.LIVE_RAW, topics.RAW_BACKFILL):
        for record in await read_all(settings, topic.full(settings.namespace)):
            for line in _lines.decode_lines(record.value):
                names.append((line.device_id, int(line.boot, 16), line.seq))
                measured_ms[names[-1]].add(_measured.decode(line.body).t)
    return names, measured_ms


def counted_once(names: list[Name]) -> int:
    """How many of them the fleet role's ledger takes in."""
    row_of = {device_id: row for row, device_id in enumerate(sorted({n[0] for n in names}))}
    ledger = SeqLedger()
    ledger.boot = np.zeros(len(row_of), np.uint32)
    ledger.run_start, ledger.run_end = np.zeros((2, len(row_of)), np.int64)
    rows = np.array([row_of[device_id] for device_id, _, _ in names], np.int64)
    boots = np.array([boot for _, boot, _ in names], np.uint32)
    seqs = np.array([seq for _, _, seq in names], np.int64)
    return int(ledger.accept(rows, boots, seqs).sum())


async def test_a_killed_gateway_loses_and_doubles_nothing(topics_ready, tmp_path):
    settings, port, log = topics_ready, free_port(), tmp_path / "gateway.log"
    sites = demo_sites(homes=DEVICES - 22, solar=20, megapacks=2)
    await demo.register(settings, sites)
    options = SimOptions(f"ws://127.0.0.1:{port}", patience=SOON)
    async with asyncio.timeout(PATIENCE_S), running_fleet(sites, options) as fleet:
        count = fleet.counters
        with gateway_process(settings, port, log):
            await fleet.until(lambda: fleet.connected == DEVICES)
            # Acked before, and at the kill some are sent and not acked: stored ones and lost ones.
            await fleet.until(lambda: count["acked"] >= DEVICES and fleet.unacked >= DEVICES)
        await fleet.until(lambda: fleet.connected == 0)
        made_before = count["made"]
        await fleet.until(lambda: count["made"] >= made_before + 2 * DEVICES)
        with gateway_process(settings, port, log):
            await fleet.until(lambda: fleet.connected == DEVICES)
            await fleet.finish()
        made = made_by(fleet)
    assert count["reconnects"] >= DEVICES
    assert (count["dropped"], count["refused"], count["acked"]) == (0, 0, len(made))
    names, measured_ms = await stored(settings)
    assert set(names) == made
    assert len(names) > len(made), "some were stored before the kill, and came again as Backfill"
    assert all(len(times) == 1 for times in measured_ms.values()), "copies of one reading differ"
    assert counted_once(names) == len(made)
