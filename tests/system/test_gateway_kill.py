"""A gateway killed with -9 at 500 devices: no reading is missing or counts twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from device_sim.fleet import demo_sites
from device_sim.runner import Fleet, SimOptions, running_fleet
from edge.session import Patience
from tests.support.kafka_world import read_all
from tests.support.paths import ROOT
from tests.support.raw_records import readings_of
from tests.support.waiting import PATIENCE_S
from vpp_streams.domain.telemetry.dedupe import SeqLedger
from vpp_streams.gateway.lines import usual_boot
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.local import demo
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

Name = tuple[str, str, int]
"""A reading's name: device, boot, number."""
QUICK = Patience(reconnect_first_ms=200, reconnect_most_ms=1000)


@contextmanager
def gateway_process(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``vpp gateway`` as a process; killed with -9 at the block's end."""
    command = [sys.executable, "-m", "vpp_streams", "gateway"]
    command += ["--port", str(settings.gateway_port)]
    env = {**os.environ, "VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace}
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def made_by(fleet: Fleet) -> set[Name]:
    return {
        (client.device_id, usual_boot(client.device.ring.boot), seq)
        for client in fleet.clients
        for seq in range(client.device.ring.next_seq)
    }


class Measured(msgspec.Struct):
    """What a native and a vendor body have in common."""

    t: int


Times = defaultdict[Name, set[int]]


async def stored(settings: Settings, times: Times, *of: Topic) -> Counter[Name]:
    """How often each reading is there; adds the times that it says it was measured at."""
    names: Counter[Name] = Counter()
    for topic in of:
        for record in await read_all(settings, topic.full(settings.namespace)):
            for line in readings_of(record.value, record.headers):
                name = (line.device_id, line.boot, line.seq)
                names[name] += 1
                times[name].add(msgspec.json.decode(line.body, type=Measured).t)
    return names


def counted(names: Counter[Name]) -> int:
    """How many readings the fleet role's ledger takes in, each of them as often as it is there."""
    row_of = {device_id: row for row, device_id in enumerate({name[0] for name in names})}
    ledger = SeqLedger()
    ledger.boot = np.zeros(len(row_of), np.uint32)
    ledger.run_start, ledger.run_end = np.zeros((2, len(row_of)), np.int64)
    readings = [(row_of[device], int(boot, 16), seq) for device, boot, seq in names.elements()]
    rows, boots, seqs = np.array(readings, np.int64).T
    return int(ledger.accept(rows, boots.astype(np.uint32), seqs).sum())


async def test_a_killed_gateway_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"gateway_port": free_port()})
    sites = demo_sites(homes=450, solar=45, megapacks=5)
    await demo.register(settings, sites)
    log = tmp_path / "gateway.log"
    options = SimOptions(url=f"ws://127.0.0.1:{settings.gateway_port}", patience=QUICK)
    async with asyncio.timeout(PATIENCE_S), running_fleet(sites, options) as fleet:
        with gateway_process(settings, log):
            await fleet.until(lambda: fleet.connected == 500 and fleet.counters["acked"] > 1000)
            in_flight = fleet.unacked
        await fleet.until(lambda: fleet.connected == 0)
        made_at_loss = fleet.counters["made"]
        await fleet.until(lambda: fleet.counters["made"] > made_at_loss + 1000)
        with gateway_process(settings, log):
            await fleet.until(lambda: fleet.connected == 500)
            await fleet.finish()
            times: Times = defaultdict(set)
            live = await stored(settings, times, *topics.LIVE_RAW)
            backfilled = await stored(settings, times, topics.RAW_BACKFILL)
    assert in_flight > 0, "it was killed with readings on their way"
    assert fleet.counters["reconnects"] >= 500
    assert fleet.counters["dropped"] == fleet.counters["refused"] == 0
    assert backfilled, "what was made in between came as backfill"
    made = made_by(fleet)
    assert live.keys() | backfilled.keys() == made
    assert len(made) == fleet.counters["made"] == fleet.counters["acked"]
    # A reading that Kafka had and whose ack was lost comes again, as backfill, and only so.
    assert set(live.values()) == {1}
    assert live.keys() & backfilled.keys(), "the kill left readings stored and not acked"
    assert counted(live + backfilled) == len(made)
    assert all(len(measured) == 1 for measured in times.values()), "copies of one reading differ"
