"""A record of ``grid.frequency`` moves the simulated grid, and armed batteries answer it."""

import asyncio

import pytest

from device_sim.fleet import demo_sites
from device_sim.runner import SimOptions, running_fleet
from schemas.encoding import encode_json
from schemas.grid import Droop, FrequencyEvent
from schemas.protocol import Setpoint
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local.simulated_fleet import frequency_into
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
HANGS_S = 60
NOBODY = "ws://127.0.0.1:9"


def armed(rank: int) -> Setpoint:
    now_ms = clock.now_ms()
    return Setpoint(
        epoch=1,
        rank=rank,
        p=0.0,
        not_before=now_ms - 1000,
        valid_until=now_ms + HANGS_S * 1000,
        ramp_w_s=1e5,
        droop=Droop(nominal_hz=60.0, dead_band_hz=0.2),
    )


async def test_an_event_becomes_the_regions_frequency(topics_ready: Settings) -> None:
    settings = topics_ready
    producer = KafkaClients(settings).producer(linger_ms=0)
    await producer.start()
    topic = topics.GRID_FREQUENCY.full(settings.namespace)

    async def write(value: bytes) -> None:
        await producer.send_and_wait(topic, value, key=b"north", partition=0)

    def event(hz: float, at_ms: int) -> bytes:
        return encode_json(FrequencyEvent(region="north", hz=hz, at_ms=at_ms, for_ms=3_000))

    sites = demo_sites(6, 0, 0, regions=("north", "coast"))
    try:
        async with (
            asyncio.timeout(HANGS_S),
            running_fleet(sites, SimOptions(url=NOBODY)) as fleet,
            onlooker(KafkaClients(settings)).following(frequency_into(fleet)),
        ):
            for row in range(6):
                assert fleet.world.leases.offer(row, "c1", armed(1), clock.now_ms(), 1).status
            await fleet.until(lambda: bool(fleet.world.leases.held["applied"].all()))
            await write(b"not an event")
            await write(event(58.0, clock.now_ms() - 60_000))  # over long ago
            await write(event(59.0, clock.now_ms()))
            await fleet.until(lambda: bool((fleet.world.flows.battery_w[::2] > 500).any()))
            assert abs(fleet.world.flows.battery_w[1::2]).max() < 1, "another region's grid"
            await fleet.until(lambda: bool(abs(fleet.world.flows.battery_w).max() < 1))
    finally:
        await producer.stop()
