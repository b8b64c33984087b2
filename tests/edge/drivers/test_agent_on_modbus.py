"""An agent on an inverter that speaks Modbus: commands, its own death, and a link that is cut."""

import asyncio
from pathlib import Path

import pandas as pd
import pytest

from edge.drivers import sunspec
from edge.drivers.sunspec import SunSpec
from tests.support.edge_agent import DEVICE_ID, agent_at, agent_process, running
from tests.support.modbus_world import ModbusWorld, modbus_world
from tests.support.small_gateway import SmallGateway, small_gateway

MINUTE_MS = 60_000


def driver_of(world: ModbusWorld) -> SunSpec:
    """A driver of the world's inverter on the machine's clock, as an agent has it."""
    return sunspec.driver(sunspec.Options(host="127.0.0.1", port=world.port))


@pytest.mark.parametrize("make", ["der", "hybrid"])
async def test_an_agent_that_is_killed_in_a_lease_leaves_it_to_the_inverters_timer(
    make: str, tmp_path: Path
) -> None:
    async with small_gateway() as gateway, modbus_world(make) as world:  # type: ignore[arg-type]
        own_w = (await world.inverter.advance()).battery_w
        driver = f'name = "sunspec"\nhost = "127.0.0.1"\nport = {world.port}'
        agent = agent_process(tmp_path, gateway, driver)
        try:
            await gateway.until(lambda: len(gateway.live) > 0)
            await gateway.command(DEVICE_ID, 1, -3000.0, lasts_ms=10 * MINUTE_MS)
            reports = gateway.reports.setdefault(DEVICE_ID, [])
            await gateway.until(lambda: len(reports) == 1)
        finally:
            agent.kill()
        await asyncio.to_thread(agent.communicate)
        assert (reports[0].state, reports[0].p) == ("applied", -3000)
        world.now_ms += 20_000
        assert (await world.inverter.advance()).battery_w == pytest.approx(-3000, abs=2)
        world.now_ms += 41_000
        assert (await world.inverter.advance()).battery_w == pytest.approx(own_w, abs=2)


def assert_each_reading_arrived_once(world: ModbusWorld, gateway: SmallGateway) -> None:
    """The inverter's own log and what the gateway received are the same, in order."""
    log = pd.DataFrame({"battery_w": [taken.battery_w for taken in world.taken[1:]]})
    arrived = pd.DataFrame(
        [(seq, len(powers), powers[0]) for (_, seq), powers in gateway.powers_w.items()],
        columns=["seq", "times", "battery_w"],
    ).sort_values("seq", ignore_index=True)
    assert arrived.seq.tolist() == list(range(len(arrived)))
    assert gateway.times_ms.keys() == gateway.powers_w.keys()
    assert all(len(times) == 1 for times in gateway.times_ms.values()), "a name is given once"
    assert len(set(log.battery_w)) > len(log) / 2, "its load changes"
    # Readings that were taken just before the end had no time to arrive.
    pd.testing.assert_series_equal(
        arrived.battery_w, log.battery_w[: len(arrived)], check_dtype=False
    )


@pytest.mark.parametrize(
    ("beat_ms", "readings"), [(20, 150), pytest.param(1000, 600, marks=pytest.mark.nightly)]
)
async def test_a_cut_link_loses_no_reading_and_doubles_none(
    beat_ms: int, readings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.agent.BEAT_MS", beat_ms)
    monkeypatch.setattr("tests.support.small_gateway.HANGS_S", 60 + readings * beat_ms / 500)
    async with small_gateway() as gateway, modbus_world("der", load_w=2000.0) as world:
        gateway.interval_ms = beat_ms

        long_enough = asyncio.Event()

        def as_time_passes() -> None:
            world.day_ms += MINUTE_MS
            if len(world.taken) >= readings:
                long_enough.set()

        world.on_taken = as_time_passes
        async with running(agent_at(gateway, tmp_path, driver_of(world))) as agent:
            await gateway.until(lambda: len(gateway.live) > 5)
            gateway.refuse = True
            gateway.sockets[DEVICE_ID].transport.abort()
            await long_enough.wait()
            assert len(agent.ring) > readings / 2
            gateway.refuse = False
            await gateway.until(lambda: set(range(readings)) <= gateway.seqs())
    assert_each_reading_arrived_once(world, gateway)
