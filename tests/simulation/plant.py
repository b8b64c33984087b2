"""The devices of a world: the real `device_sim` client and device, on simulated links."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec
import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from device_sim.fleet import demo_sites, device_token
from device_sim.home import Surroundings
from device_sim.plant import Plant as Physics
from edge import battery
from edge.client import Client
from edge.connection import Connection
from edge.identity.login import Given
from edge.ring import MemoryRing
from edge.session import Device, Patience
from schemas.assets import Site
from schemas.protocol import Ack, Call
from schemas.telemetry import NativeBody, RawLine
from schemas.wire import decode
from tests.simulation import PARTITIONS
from tests.simulation.log import NewRecord, Stored
from tests.simulation.world import World
from tests.support.raw_records import readings_of
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics

PATIENCE = Patience(
    reconnect_first_ms=500, reconnect_most_ms=4000, resend_ms=15_000, refused_ms=2000
)
LOAD_W = 1000.0


def physics(homes: int) -> Physics:
    """Batteries that are all alike, with room up and down."""

    def each(value: float) -> NDArray[np.float64]:
        return np.full(homes, value)

    return Physics(
        battery.typical(each(13_500.0), each(5000.0), each(5000.0)),
        battery.BatteryState(each(0.6), each(20.0)),
        Connection(each(np.inf), each(np.inf)),
        each(0.2),
    )


Name = tuple[str, str, int]
"""Device, boot, number: what a reading is called."""


class Home:
    """One device: what it measured, and the client that runs now."""

    def __init__(self, plant: "Plant", site: Site, row: int) -> None:
        self.site = site
        self.device_id = site.devices[0].device_id
        self.row = row
        self.clock_ms = 0
        self.boots = 0
        self.rng = Random(f"{plant.world.seed}-{self.device_id}")
        self.client: Client
        self.boot = ""
        self._plant = plant
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Boot: what was in memory is gone."""
        if self._running is not None:
            self._running.cancel()
        self.boots += 1
        self.boot = f"b{self.boots}"
        plant = self._plant
        device = Device(
            MemoryRing(self.boot, 300),
            "m",
            "f",
            rng=self.rng,
            counters=plant.counters,
            controls=plant.leases.of(self.row),
            patience=PATIENCE,
        )
        self.client = Client(
            self.device_id,
            device,
            "ws://simulated",
            Given(device_token(self.device_id), None),
            utc_ms=self.utc_ms,
            on_event=lambda: plant.happened(self),
            on_trouble=lambda kind, words: plant.world.note(f"{self.device_id}: {kind}: {words}"),
        )
        self._running = plant.world.loop.spawn(plant.process, self._run())

    async def _run(self) -> None:
        link = asyncio.create_task(self.client.run())
        try:
            await asyncio.sleep(self.rng.random())
            while True:
                if self._plant.measuring and self.client.wants_reading():
                    self._measure()
                else:
                    self.client.tick()
                if link.done():
                    link.result()
                    link = asyncio.create_task(self.client.run())  # it was told of a newer one
                await asyncio.sleep(1.0)
        finally:
            link.cancel()

    def _measure(self) -> None:
        plant = self._plant
        seq = self.client.device.ring.next_seq
        body = plant.read(self)
        plant.measured[self.device_id, self.boot, seq] = body
        self.client.measure(body, None)

    def utc_ms(self) -> int:
        """By the device's own clock."""
        return self._plant.world.utc_ms() + self.clock_ms

    @property
    def quiet(self) -> bool:
        """It is connected, and nothing waits to be sent or acked."""
        return self.client.live and not len(self.client.device.ring)


class Plant:
    """All devices, and what Kafka has of what they measured."""

    def __init__(self, world: World, homes: int) -> None:
        self.world = world
        self.process = world.loop.new_process("devices")
        self.counters: Counter[str] = Counter()
        self.measuring = True
        self.physics = physics(homes)
        """Batteries and what they were asked."""
        self.leases = self.physics.leases
        self.measured: dict[Name, NativeBody] = {}
        self.stored: dict[Name, RawLine] = {}
        """In a raw topic, whole: the first copy."""
        self.copies: dict[Name, list[RawLine]] = {}
        """The same, every copy."""
        self.acked: set[Name] = set()
        self.happened: Callable[[Home], None] = lambda home: None
        sites = demo_sites(homes, 0, 0, regions=("north",))
        self.homes = {
            site.devices[0].device_id: Home(self, site, row) for row, site in enumerate(sites)
        }
        self._made = 0
        raw = {topic.full("sim") for topic in (*topics.LIVE_RAW, topics.RAW_BACKFILL)}
        world.kafka.on_append = lambda tp, records: self._note(records) if tp.topic in raw else None
        world.on_message = self._heard
        self._register(sites)

    async def live(self) -> None:
        """Move the batteries once a second, for ever, and have devices report on commands."""
        rows = len(self.homes)
        homes = list(self.homes.values())
        around = Surroundings(
            np.zeros(rows), np.full(rows, LOAD_W), np.full(rows, 20.0), np.zeros(rows, bool)
        )
        while True:
            await asyncio.sleep(1.0)
            now_ms = np.array([home.client.gateway_ms() for home in homes])
            self.physics.step(now_ms, around, np.zeros(rows), np.full(rows, 60.0), 1.0)
            for row, status in self.leases.take_reports():
                homes[row].client.report(status)

    def sites_of(self, partition: int) -> list[str]:
        """Ids of the sites in a partition."""
        ids = [home.site.site_id for home in self.homes.values()]
        return [id_ for id_ in ids if partition_of(id_, PARTITIONS) == partition]

    def row_of(self, site_id: str) -> int:
        """Row of a site's battery."""
        return next(home.row for home in self.homes.values() if home.site.site_id == site_id)

    def start(self, *, obeying: bool = True) -> None:
        """Switch everything on; ``obeying`` devices move their batteries as they are asked."""
        for home in self.homes.values():
            self.world.loop.call_in(self.process, home.start)
        if obeying:
            self.world.loop.spawn(self.process, self.live())

    def read(self, home: Home) -> NativeBody:
        """What a device measures now: no two readings are the same."""
        self._made += 1
        power_w = float(self.physics.flows.battery_w[home.row]) + self._made / 1e6
        soc = float(self.physics.battery.soc[home.row])
        return NativeBody(t=home.utc_ms(), p=power_w, g=LOAD_W - power_w, pv=0.0, l=LOAD_W, soc=soc)

    def _register(self, sites: list[Site]) -> None:
        name = topics.ASSETS.full("sim")
        for site in sites:
            partition = partition_of(site.site_id, PARTITIONS)
            record = NewRecord(
                site.site_id.encode(), msgspec.json.encode(site), self.world.utc_ms(), ()
            )
            log = self.world.kafka.log(TopicPartition(name, partition))
            log.append([record], None, -1, -1, -1, transactional=False)

    def _note(self, records: list[Stored]) -> None:
        for record in records:
            for reading in readings_of(record.value or b"", record.headers):
                name = (reading.device_id, reading.boot, reading.seq)
                self.stored.setdefault(name, reading)
                self.copies.setdefault(name, []).append(reading)

    def _heard(self, device_id: str, data: bytes) -> None:
        """Every acked reading is in the log."""
        if b'"Ack"' not in data:
            return
        match decode(data):
            case Call(_, Ack() as ack):
                home = self.homes[device_id]
                if ack.b != home.boot:
                    return
                for seq in home.client.device.ring.within(ack.from_, ack.upto):
                    name = (device_id, ack.b, seq)
                    self.acked.add(name)
                    if name not in self.stored:
                        self.world.fail(f"reading {name} is acked, and not in Kafka")
