"""A complete fleet in one process: one step of the physics a second, one WebSocket a device."""

import asyncio
import math
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from device_sim import vendor
from device_sim.fleet import DEMO_SECRET, device_token
from device_sim.recorded import RecordedHome
from device_sim.world import Measured, World
from edge.client import Client
from edge.identity.login import Given
from edge.ring import MemoryRing
from edge.session import Device, Patience
from schemas.assets import Device as Asset
from schemas.assets import Site
from schemas.bodies import NativeBody
from vpp_streams import clock

_BEAT_S = 1.0
_SLOTS = 50
"""Parts of a beat; each device sends in one of them."""
_SLOTS_A_STEP = 10
"""The physics advance every this many slots: batteries react faster than they report."""


_CONNECT_AT_ONCE = 20
"""Devices that connect in one slot; thousands at once would time out in their handshakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOptions:
    """The options of a simulated fleet."""

    url: str
    """Address of the gateway, ``ws://host:port`` or ``wss://host:port``; several with commas."""
    seed: int = 1
    secret: str = DEMO_SECRET
    vendor_share: float = 0.3
    """Share of devices that use a vendor's form, if their maker has one."""
    outages_per_hour: float = 0.0
    """How often each device loses its link."""
    outage_s: float = 30.0
    """Mean length of such an outage."""
    grid_outages_per_day: float = 0.0
    """How often each site's grid fails."""
    offline_share: float = 0.0
    """Share of each region's homes that never connect."""
    refuse_share: float = 0.0
    """Share of each region's homes (others than those) that reject every setpoint."""
    cut_share: float = 0.0
    """Share of each region's homes that lose their link for good after ``cut_after_s``."""
    cut_after_s: float = 60.0
    """Time from the start to that loss."""
    recorded: RecordedHome | None = None
    """Recording that drives the homes' load and solar power."""
    ring_capacity: int = 3600
    patience: Patience = field(default_factory=Patience)
    tls: ssl.SSLContext | None = None


class Fleet:
    """The running devices. ``counters`` are totals of all of them; see `Device`."""

    def __init__(self, sites: Sequence[Site], options: SimOptions) -> None:
        self.counters: Counter[str] = Counter()
        self.troubles: dict[str, str] = {}
        """The newest sentence on each kind of trouble; a reader may clear it."""
        self._options = options
        self._rng = np.random.default_rng([options.seed, 0x11F7])
        self._happened = asyncio.Event()
        self._measuring = True
        self._at_ms = clock.now_ms() - round(_BEAT_S * 1000)
        devices = [(site, device) for site in sites for device in site.devices]
        self.sites_of_devices = [site for site, _ in devices]
        """By rows of ``world``."""
        self._is_home = np.array([device.kind == "powerwall" for _, device in devices])
        self.world = World(
            devices,
            options.seed,
            self._at_ms,
            recorded=options.recorded,
            grid_outages_per_day=options.grid_outages_per_day,
            counters=self.counters,
        )
        self._vendors = [
            vendor.vendor_of(device, options.vendor_share, options.seed) for _, device in devices
        ]
        # New at every start, as on a real device, and short: it wraps after more than a year.
        boot = f"{clock.now_ms() // 10 % 2**32:08x}"
        self.clients = [
            self._client(row, device, name, boot)
            for row, ((_, device), name) in enumerate(zip(devices, self._vendors, strict=True))
        ]
        self.away = np.zeros(len(devices), bool)
        """Devices without a link that will not get one."""
        self.away[self._some_homes(options.offline_share)] = True
        self.world.leases.refuses[self._some_homes(options.refuse_share)] = True
        self._running: asyncio.Task[None] | None = None

    def _client(self, row: int, asset: Asset, vendor_name: str | None, boot: str) -> Client:
        options = self._options
        rng = random.Random(f"{options.seed}:{asset.device_id}")
        firmware = vendor.firmware_of(asset, vendor_name)
        return Client(
            asset.device_id,
            Device(
                MemoryRing(boot, options.ring_capacity),
                asset.model,
                firmware,
                rng=rng,
                counters=self.counters,
                controls=self.world.leases.of(row),
                patience=options.patience,
            ),
            options.url,
            Given(device_token(asset.device_id, options.secret), options.tls),
            utc_ms=_clock_that_is_off(rng),
            on_event=self._happened.set,
            on_trouble=self.troubles.__setitem__,
        )

    @property
    def connected(self) -> int:
        """Devices whose connection is live."""
        return sum(client.live for client in self.clients)

    @property
    def unacked(self) -> int:
        """Number of readings that the devices still keep."""
        return sum(len(client.device.ring) for client in self.clients)

    def cut(self, share: float) -> list[str]:
        """Cut a share of each region's homes off for good; returns their devices."""
        rows = self._some_homes(share)
        for row in rows:
            self.clients[row].cut(math.inf)
        self.away[rows] = True
        return [self.clients[row].device_id for row in rows]

    def _some_homes(self, share: float) -> list[int]:
        """Rows of a random share of each region's homes that are neither away nor refuse."""
        rows: list[int] = []
        regions = np.array([site.region for site in self.sites_of_devices])
        free = ~self.away & ~self.world.leases.refuses
        for region in np.unique(regions):
            homes = self._is_home & (regions == region)
            draw = self._rng.permutation(np.flatnonzero(homes & free))
            rows += draw[: round(share * np.count_nonzero(homes))].tolist()
        return rows

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; checked once a beat, and whenever a device receives."""
        while not condition():
            if self._running is not None and self._running.done():
                await self._running  # it ends only with an error
            self._happened.clear()
            await self._happened.wait()

    async def finish(self) -> None:
        """Measure no more, and wait until every reading is acked."""
        self._measuring = False
        await self.until(lambda: self.unacked == 0)

    def start(self) -> asyncio.Task[None]:
        """Run every device in a task of its own; cancel it to stop them all."""
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(lambda _: self._happened.set())
        return self._running

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            if self._options.cut_share:
                tasks.create_task(self._cut_later())
            for i, client in enumerate(self.clients):
                if not self.away[i]:
                    tasks.create_task(client.run())
                if i % _CONNECT_AT_ONCE == 0:
                    await asyncio.sleep(_BEAT_S / _SLOTS)

    async def _cut_later(self) -> None:
        await asyncio.sleep(self._options.cut_after_s)
        self.cut(self._options.cut_share)

    async def _beat(self) -> None:
        """Move the world some times a beat, and let each device measure in its own slot of it."""
        loop = asyncio.get_running_loop()
        order = self._rng.permutation(len(self.clients))
        starts_at = loop.time()
        while True:
            self._lose_links()
            for slot in range(_SLOTS):
                await asyncio.sleep(starts_at + _BEAT_S * slot / _SLOTS - loop.time())
                if slot % _SLOTS_A_STEP == 0:
                    measured = self._step_world()
                    self._happened.set()
                rows = order[slot::_SLOTS]
                for i, values in zip(rows.tolist(), measured.values(rows), strict=True):
                    self._let_measure(i, values)
            # A late beat is not made up for: the next one's steps are longer.
            starts_at = max(starts_at + _BEAT_S, loop.time())
            await asyncio.sleep(starts_at - loop.time())

    def _step_world(self) -> Measured:
        """Advance the world to now, and let devices report the outcomes of their commands."""
        self._at_ms = max(clock.now_ms(), self._at_ms + 1)
        known_ms = np.array([client.gateway_ms() for client in self.clients], np.int64)
        measured = self.world.step(self._at_ms, known_ms)
        for row, status in self.world.leases.take_reports():
            self.clients[row].report(status)
        return measured

    def _let_measure(self, i: int, values: tuple[Any, ...]) -> None:
        client, name = self.clients[i], self._vendors[i]
        if not self._measuring or not client.wants_reading():
            client.tick()
            return
        interval_ms = max(client.device.interval_ms, round(_BEAT_S * 1000))
        body = NativeBody(*(client.utc_ms(), *values, interval_ms))
        client.measure(body, None if name is None else vendor.render(name, body))

    def _lose_links(self) -> None:
        chance = self._options.outages_per_hour * _BEAT_S / 3600
        if chance <= 0:
            return
        for i in np.flatnonzero(self._rng.random(len(self.clients)) < chance).tolist():
            self.clients[i].cut(round(self._rng.exponential(self._options.outage_s) * 1000))


@asynccontextmanager
async def running_fleet(sites: Sequence[Site], options: SimOptions) -> AsyncIterator[Fleet]:
    """A fleet whose devices connect and measure during the body, and stop after it."""
    fleet = Fleet(sites, options)
    task = fleet.start()
    try:
        yield fleet
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()):
        raise error


def _clock_that_is_off(rng: random.Random, most_ms: int = 300) -> Callable[[], int]:
    """A device's clock: UTC in ms, ahead or behind by a fixed draw of up to ``most_ms``."""
    offset_ms = rng.randint(-most_ms, most_ms)
    return lambda: clock.now_ms() + offset_ms
