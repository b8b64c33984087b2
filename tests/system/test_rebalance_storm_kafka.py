"""Fleet workers start, stop, die and freeze at random: after each, all is owned and exact again.

nightly has twenty rounds of it, and the other tests a drill of three.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import frame_headers
from schemas.telemetry import SCHEMA_NAME
from tests.support.kafka_world import Worker, until, workers
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

MOST_WORKERS = 3
T0 = 1_800_000_000_000


def site_in(partition: int) -> str:
    return next(s for i in range(1000) if partition_of(s := f"home-{i}", 8) == partition)


SITES = [site_in(partition) for partition in range(PARTITIONS)]


class Fleet:
    """The workers that run, those that are frozen, and what was measured so far."""

    def __init__(
        self, role: str, start: Callable[..., Worker], outlet: Outlet, rng: random.Random
    ) -> None:
        self._role = role
        self._start = start
        self._outlet = outlet
        self._rng = rng
        self.running: list[Worker] = []
        self.frozen: list[Worker] = []
        self.readings = 0

    def start(self, count: int = 1) -> None:
        """Start workers in the same moment."""
        self.running += [self._start(self._role) for _ in range(count)]

    def shake(self) -> str:
        """Do something to one of them; returns what."""
        able = ["start"] if len(self.running) < MOST_WORKERS else []
        if len(self.running) < MOST_WORKERS - 1:
            able.append("start two")
        if len(self.running) > 1:
            able += ["stop", "kill", "freeze"]
        if self.frozen:
            able += ["thaw"] * 2
        what = self._rng.choice(able)
        match what:
            case "start" | "start two":
                self.start(1 + (what == "start two"))
            case "thaw":
                worker = self.frozen.pop(self._rng.randrange(len(self.frozen)))
                worker.thaw()
                self.running.append(worker)
            case _:
                worker = self.running.pop(self._rng.randrange(len(self.running)))
                getattr(worker, what)()
                if what == "freeze":
                    self.frozen.append(worker)
        return what

    async def measure(self) -> None:
        """One reading of every device."""
        self.readings += 1
        for partition, site_id in enumerate(SITES):
            at_ms = T0 + self.readings * 1000
            row = {
                "device_id": f"{site_id}-pw",
                "site_id": site_id,
                "seq": self.readings,
                "measured_at_ms": at_ms,
                "received_at_ms": at_ms,
                "battery_w": 3600.0,
            }
            headers = frame_headers(SCHEMA_NAME, "test", f"{partition}-{self.readings}")
            await self._outlet.send(
                topics.TELEMETRY, make_batch([row]), partition=partition, headers=headers
            )
        await self._outlet.flush()

    async def whole(self) -> bool:
        """Whether every worker answers for every site, exactly, and commands it."""
        self.running = [w for w in self.running if w.process.poll() is None] or [
            self._start(self._role)  # who ended loudly is started again, as its supervisor does
        ]
        for worker in self.running:
            for site_id in SITES:
                if not await self._exact(worker, site_id):
                    return False
        return True

    async def _exact(self, worker: Worker, site_id: str) -> bool:
        try:
            page = await worker.get(f"/sites/{site_id}/twin")
        except httpx.TransportError:
            return False
        devices = page.get("devices") or [{}]
        counted = devices[0].get("readings", 0)
        assert counted <= self.readings, f"{site_id}: {counted} of {self.readings} readings"
        return bool(page.get("commanded")) and counted == self.readings


@pytest.mark.parametrize("role", ["fleet", "flow"])
@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.nightly)])
async def test_after_each_shake_every_partition_is_owned_commanded_and_exact(
    topics_ready: Settings, tmp_path: Path, rounds: int, role: str
) -> None:
    """Frames that others write are not echoed: a worker that does both halves fetches them."""
    clients = KafkaClients(topics_ready)
    took_s: list[tuple[float, str]] = []
    with workers(topics_ready, tmp_path) as start:
        async with producing(clients) as producer:
            outlet = Outlet(producer, topics_ready.namespace)
            for site_id in SITES:
                site = Site(site_id, "north", (Device(f"{site_id}-pw", "powerwall"),))
                await outlet.send(topics.ASSETS, site)
            fleet = Fleet(role, start, outlet, random.Random(7))
            fleet.start(2)
            for number in range(rounds):
                await fleet.measure()
                what = fleet.shake() if number else "start two"
                await fleet.measure()
                began = time.monotonic()
                await until(fleet.whole, f"the fleet to be whole after round {number}: {what}")
                took_s.append((round(time.monotonic() - began, 1), what))
    print("seconds until whole:", took_s)  # noqa: T201  # the figure of the storm
