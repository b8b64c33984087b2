"""An agent on an Enphase gateway: what is sent of it, and while the gateway hangs."""

from pathlib import Path

import pytest

from edge.drivers.enphase import Options, driver
from tests.support.edge_agent import agent_at, running
from tests.support.enphase_documents import home
from tests.support.enphase_gateway import TOKEN, enphase_gateway
from tests.support.small_gateway import small_gateway
from tests.support.waiting import until

READINGS = "/ivp/meters/readings"


async def test_it_is_measured_only_and_nothing_is_sent_while_its_gateway_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.agent.BEAT_MS", 20)
    monkeypatch.setattr("edge.driver_calls.READ_S", 0.5)
    (tmp_path / "enphase").write_text(TOKEN)
    async with enphase_gateway(home(), tmp_path) as hardware, small_gateway() as gateway:
        gateway.interval_ms = 20
        device = driver(Options(host=hardware.host, token_file=str(tmp_path / "enphase")))
        async with running(agent_at(gateway, tmp_path, device)) as agent:
            await gateway.until(lambda: len(gateway.live) > 3)
            assert gateway.hellos[0].measures_only
            assert gateway.hellos[0].model == "Enphase IQ Gateway"
            assert {power_w for all_w in gateway.powers_w.values() for power_w in all_w} == {-1700}
            hardware.stuck.add(READINGS)
            await until(lambda: agent.counters["driver_read_timeout"] > 0)
            made, beats = agent.counters["made"], agent.beats
            await until(lambda: agent.beats > beats + 1)
            assert agent.counters["made"] == made
            hardware.stuck.clear()
            await until(lambda: agent.counters["made"] > made + 3)
